"""Programs ask as the person whom an admin named, within that person's rights, and reach nothing else of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, ApiQuestionRow, DocumentRow, ReceiptRow
from assistant.memory import keys, people
from tests.web.conftest import Chat, Site
from tests.web.test_api import on

ADA, FIN, ROOT = "ada@demo.example", "fin@demo.example", "root@demo.example"
Opener = Callable[[str], Awaitable[httpx.AsyncClient]]


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    sources = [{"name": "crm", "kind": "push"}]
    made = Site(tmp_path_factory.mktemp("ask"), sources=sources, web={"key_questions_per_minute": 5})
    yield made
    made.end()


@pytest.fixture
async def program(asking: Site) -> AsyncIterator[Opener]:
    opened: list[httpx.AsyncClient] = []

    async def client(email: str) -> httpx.AsyncClient:
        async def key(db: Database) -> str:
            person = await people.by_email(db, email)
            assert person is not None
            return (await keys.add_to_ask(db, "Bot", person, "root"))[1]

        opened.append(asking.client(Authorization=f"Bearer {await on(asking, key)}"))
        return opened[-1]

    yield client
    for one in opened:
        await one.aclose()


async def test_an_answer_comes_with_its_passages_its_checks_and_its_receipt(asking: Site, program: Opener) -> None:
    bot = await program(ADA)
    answer = await bot.post("/v1/questions", json={"question": "May I carry over days?", "wait": 20})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["state"], body["level"], body["abstained"]) == ("complete", "answered", False)
    assert "ten unused days" in body["answer"]
    (citation,) = body["citations"]
    assert (citation["n"], citation["document"], citation["place"]) == (1, "leave.md", "page 2 · Carrying days over")
    assert "may be carried into the next calendar year" in citation["text"]
    assert body["checked"] == {"supported": 1, "unsupported": 1, "uncited": 0}
    assert (await bot.get(f"/v1/questions/{body['id']}")).json() == body

    async def receipt(db: Database) -> ReceiptRow | None:
        async with db.read() as session:
            return await session.get(ReceiptRow, body["receipt"])

    assert (await on(asking, receipt)).person_id


async def test_who_does_not_wait_asks_for_it_later_and_goes_on_with_the_talk(asking: Site, program: Opener) -> None:
    bot = await program(ADA)
    begun = await bot.post("/v1/questions", json={"question": "A long question of days"})
    assert begun.status_code == 202
    body = begun.json()
    assert (body["state"], "answer" in body) == ("answering", False)
    busy = await bot.post("/v1/questions", json={"question": "And mine?", "thread": body["thread"]})
    assert busy.status_code == 409
    # Whether somebody else's talk is under way is not told.
    foreign = await (await program(FIN)).post("/v1/questions", json={"question": "Hm?", "thread": body["thread"]})
    assert foreign.status_code == 404
    for _ in range(200):
        if (found := (await bot.get(f"/v1/questions/{body['id']}")).json())["state"] == "complete":
            break
        await asyncio.sleep(0.1)
    assert found["answer"]
    more = await bot.post("/v1/questions", json={"question": "And mine?", "thread": body["thread"], "wait": 20})
    assert (more.status_code, more.json()["thread"]) == (200, body["thread"])


async def test_it_has_the_rights_of_its_person_and_never_those_of_an_admin(asking: Site, program: Opener) -> None:
    for email, knows in ((ADA, False), (FIN, True), (ROOT, False)):
        body = (await (await program(email)).post("/v1/questions", json={"question": "pay?", "wait": 20})).json()
        assert ("61,000" in body["answer"]) is knows, email
        assert bool(body["citations"]) is knows

    async def to_admins(db: Database, groups: list[str]) -> None:
        async with db.write() as session:
            row = await session.get(DocumentRow, 2)
            assert row is not None
            rule = await session.get(AccessRule, row.rule_id)
            assert rule is not None
            rule.groups = groups
            session.add(rule)

    await on(asking, lambda db: to_admins(db, ["admins"]))
    body = (await (await program(ROOT)).post("/v1/questions", json={"question": "pay?", "wait": 20})).json()
    assert "61,000" not in body["answer"]
    await on(asking, lambda db: to_admins(db, ["finance"]))


async def test_an_answer_is_withheld_once_the_person_may_no_longer_read_what_it_rests_on(
    asking: Site, program: Opener
) -> None:
    bot = await program(FIN)
    body = (await bot.post("/v1/questions", json={"question": "pay?", "wait": 20})).json()
    await on(asking, lambda db: people.set_groups(db, FIN, []))
    try:
        now = (await bot.get(f"/v1/questions/{body['id']}")).json()
        assert (now["answer"], now["withheld"], now["citations"]) == (None, True, [])
        assert "61,000" not in str(now)
    finally:
        await on(asking, lambda db: people.set_groups(db, FIN, ["finance"]))
    await on(asking, lambda db: people.set_active(db, FIN, False))
    try:
        assert (await bot.get(f"/v1/questions/{body['id']}")).status_code == 403
        assert (await bot.post("/v1/questions", json={"question": "pay?"})).status_code == 403
    finally:
        await on(asking, lambda db: people.set_active(db, FIN, True))


async def test_a_key_reads_and_goes_on_with_what_it_asked_itself_and_with_nothing_else(
    asking: Site, program: Opener
) -> None:
    person = await asking.signed_in(ADA)
    chat = await Chat(asking, person).open()
    await chat.ask("Days, please?")
    bot, twin, other = await program(ADA), await program(ADA), await program(FIN)
    asked = (await bot.post("/v1/questions", json={"question": "Days?", "wait": 20})).json()
    for stranger in (twin, other):
        assert (await stranger.get(f"/v1/questions/{asked['id']}")).status_code == 404
        more = await stranger.post("/v1/questions", json={"question": "And?", "thread": asked["thread"]})
        assert more.status_code == 404
    for id_ in (chat.answer_id, str(uuid4()), "x", "%00"):
        assert (await bot.get(f"/v1/questions/{id_}")).status_code == 404
    into = await bot.post("/v1/questions", json={"question": "And?", "thread": chat.thread})
    assert into.status_code == 404
    # The person sees what was asked in their name, and by whom; deleting it takes it from the program.
    assert "Bot: Days?" in (await person.get("/me")).text
    await person.post(f"/me/threads/{asked['thread']}/delete")
    assert (await bot.get(f"/v1/questions/{asked['id']}")).status_code == 404
    more = await bot.post("/v1/questions", json={"question": "And?", "thread": asked["thread"], "wait": 20})
    assert more.status_code == 404
    await person.post(f"/me/threads/{asked['thread']}/erase")

    async def left(db: Database) -> int:
        async with db.read() as session:
            found = select(ApiQuestionRow).where(ApiQuestionRow.thread_id == asked["thread"])
            return len((await session.exec(found)).all())

    assert await on(asking, left) == 0
    await chat.close()
    await person.aclose()


async def test_only_a_key_to_ask_asks(asking: Site, program: Opener) -> None:
    async def made(db: Database) -> tuple[str, str]:
        person = await people.by_email(db, ADA)
        assert person is not None
        key_id, revoked = await keys.add_to_ask(db, "old", person, "root")
        await keys.revoke(db, key_id, "root")
        return (await keys.add(db, "push", "crm", "root"))[1], revoked

    push, revoked = await on(asking, made)
    async with asking.client() as client:
        for authorization, status in (
            (f"Bearer {push}", 403),
            (f"Bearer {revoked}", 401),
            ("", 401),
            ("Bearer x", 401),
        ):
            headers = {"authorization": authorization}
            posted = await client.post("/v1/questions", json={"question": "Days?"}, headers=headers)
            assert posted.status_code == status
            assert (await client.get("/v1/questions/x", headers=headers)).status_code == status
    bot = await program(ADA)
    assert (
        await bot.put("/v1/documents/a.txt", content=b"x", headers={"content-type": "text/plain"})
    ).status_code == 403
    person = await asking.signed_in(ADA)
    assert (await person.post("/v1/questions", json={"question": "Days?"})).status_code == 401
    await person.aclose()


async def test_a_key_asks_so_many_questions_a_minute_and_another_is_not_held_up(asking: Site, program: Opener) -> None:
    bot = await program(ADA)
    posted = await asyncio.gather(*(bot.post("/v1/questions", json={"question": f"Days {n}?"}) for n in range(9)))
    assert sorted(p.status_code for p in posted) == [202] * 5 + [429] * 4
    assert "5 questions a minute" in next(p for p in posted if p.status_code == 429).json()["detail"]
    assert (await (await program(ADA)).post("/v1/questions", json={"question": "Days?"})).status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"question": ""}, 422),
        ({"question": 5}, 422),
        ({"question": "Days?", "as": "root@demo.example"}, 422),
        ({"question": "Days?", "wait": 1e9}, 422),
        ({"question": "x" * 90_000}, 400),
        ({"question": "Days?", "thread": "../x"}, 404),
    ],
)
async def test_what_is_no_question_is_refused(program: Opener, body: dict[str, object], status: int) -> None:
    answer = await (await program(ADA)).post("/v1/questions", json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_a_fault_on_the_way_tells_nothing_of_itself(asking: Site, program: Opener) -> None:
    answer = await (await program(ADA)).post("/v1/questions", json={"question": "explode", "wait": 5})
    assert answer.status_code == 500
    assert "canary" not in answer.text
    assert "sk-canary" not in asking.log()
