"""Who is to be told is told: over a real webhook and a real mail server, each once, also when one of them was down."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from sqlalchemy import update
from sqlmodel import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assistant.database.engine import Database
from assistant.database.tables import OutboxRow
from assistant.domain import Nearest, now
from assistant.index import told as runs_told
from assistant.memory import people, questions, threads
from assistant.ops import alerts, outbox
from assistant.settings import AlertSettings, Settings
from tests.fakes.serve import serving
from tests.memory.test_questions import declined
from tests.ops.conftest import waiting

CONFIGURED = Settings(
    company="Larkfeld",
    alerts=AlertSettings(
        webhook_env="HOOK", email=["ada@example.test", "bob@example.test"], smtp_env="MAIL", sender="bot@larkfeld.test"
    ),
)


class Hook:
    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.app = Starlette(routes=[Route("/secret-path", self._post, methods=["POST"])])

    async def _post(self, request: Request) -> Response:
        if self.status == 200:
            self.got.append({**await request.json(), "key": request.headers["idempotency-key"]})
        return Response(status_code=self.status)


@pytest.fixture
async def hook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hook]:
    made = Hook()
    async with serving(made.app) as base:
        monkeypatch.setenv("HOOK", f"{base}/secret-path")
        yield made


class Inbox:
    def __init__(self) -> None:
        self.got: list[tuple[list[str], Any]] = []
        self.port = 0

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 kept"


@pytest.fixture
async def inbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inbox]:
    made = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("MAIL", f"smtp://127.0.0.1:{made.port}")
    yield made
    server.close()


async def happened(db: Database, text: str = "Indexing run 7 failed: no room.") -> None:
    async with db.write() as session:
        runs_told.tell(session, alerts.channels(CONFIGURED), "run failed", text)


async def due_now(db: Database) -> None:
    async with db.write() as session:
        await session.exec(update(OutboxRow).values(next_try=now()))


async def test_every_channel_is_told_once(db: Database, hook: Hook, inbox: Inbox) -> None:
    await happened(db)
    assert await alerts.deliver(db, CONFIGURED) == 3
    await due_now(db)
    assert await alerts.deliver(db, CONFIGURED) == 0
    (told,) = hook.got
    assert (told["company"], told["event"], told["text"]) == (
        "Larkfeld", "run failed", "Indexing run 7 failed: no room."
    )  # fmt: skip
    assert told["id"] == told["key"]
    assert sorted(to for to, _ in inbox.got) == [["ada@example.test"], ["bob@example.test"]]
    message = inbox.got[0][1]
    assert (message["subject"], message["from"]) == ("Larkfeld: run failed", "bot@larkfeld.test")
    assert "no room" in message.get_payload()
    assert len({m["message-id"] for _, m in inbox.got}) == 2


async def test_an_alert_says_where_to_look_once_the_address_of_the_site_is_known(
    db: Database, hook: Hook, inbox: Inbox
) -> None:
    await happened(db)
    own = CONFIGURED.web.model_copy(update={"public_url": "https://ask.larkfeld.test/"})
    assert await alerts.deliver(db, CONFIGURED.model_copy(update={"web": own})) == 3
    (told,) = hook.got
    assert told["address"] == "https://ask.larkfeld.test/admin"
    text = inbox.got[0][1].get_payload()
    assert text.index("no room") < text.index("https://ask.larkfeld.test/admin") < text.index(told["at"])


async def test_a_channel_that_is_down_holds_up_no_other_and_is_told_later(
    db: Database, hook: Hook, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 503
    await happened(db)
    await happened(db, "Another.")
    assert await alerts.deliver(db, CONFIGURED) == 4
    assert await alerts.deliver(db, CONFIGURED) == 0
    async with db.read() as session:
        waiting = (await session.exec(select(OutboxRow).where(OutboxRow.subject == "webhook"))).all()
    assert [(w.tries, w.error) for w in waiting] == [(1, "HTTPStatusError")] * 2
    assert all(w.next_try > now() for w in waiting)
    assert "secret-path" not in caplog.text
    hook.status = 200
    await due_now(db)
    assert await alerts.deliver(db, CONFIGURED) == 2
    assert [t["text"] for t in hook.got] == ["Indexing run 7 failed: no room.", "Another."]
    assert len(inbox.got) == 4


@pytest.mark.parametrize("server", ["", "nonsense", "http://127.0.0.1", "smtp://name:word@127.0.0.1:{port}"])
async def test_without_a_mail_server_that_can_be_used_the_message_waits_and_no_password_is_sent_in_the_clear(
    db: Database, hook: Hook, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("MAIL", server.format(port=inbox.port))
    await happened(db)
    assert await alerts.deliver(db, CONFIGURED) == 1
    assert inbox.got == []
    assert await waiting(db) == 2


async def test_traces_and_alerts_do_not_wait_for_each_other(db: Database, hook: Hook, inbox: Inbox) -> None:
    async with db.write() as session:
        session.add(OutboxRow(kind="trace", subject="x"))
    await happened(db)
    assert {r.kind for r in await outbox.claim(db, outbox.TRACES)} == {"trace"}
    assert await alerts.deliver(db, CONFIGURED) == 3


async def test_where_nobody_is_to_be_told_nothing_is_noted(db: Database) -> None:
    async with db.write() as session:
        runs_told.tell(session, alerts.channels(Settings()), "run failed", "x")
    assert await waiting(db) == 0


async def test_the_owner_of_a_document_gets_a_question_by_mail_and_one_that_is_gone_is_not_sent(
    db: Database, hook: Hook, inbox: Inbox
) -> None:
    ada = people.asker_of(await people.add(db, "ada@example.test", name="Ada"))
    await people.add(db, "owner@example.test", name="Olga Owner")
    near = Nearest(document_id=1, document="a.md", title="A", owner="Olga Owner, Legal")
    for text in ("May I bring a dog?", "May I bring a cat?"):
        answer = await declined(db, ada, near)
        kept = await questions.send(db, ada, answer, near, text, partial(alerts.channels_to, CONFIGURED))
    await threads.delete(db, ada, kept.thread_id)
    assert await alerts.deliver(db, CONFIGURED) == 2
    (told,) = hook.got
    ((to_whom, mail),) = inbox.got
    assert to_whom == ["owner@example.test"]
    for said in (told["text"], mail.get_payload()):
        assert "Ada (ada@example.test)" in said
        assert "dog" in said
    assert {r.kind for r in await outbox.claim(db, (*outbox.TRACES, "alert"))} == {"trace"}
