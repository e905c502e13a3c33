"""Nothing is lost while Langfuse is away, and nothing arrives twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update

from assistant.database.engine import Database
from assistant.database.tables import OutboxRow
from assistant.domain import Asker, now
from assistant.masking import mask
from assistant.memory import feedback
from assistant.ops import outbox
from assistant.ops.trace import Tracer
from assistant.settings import Settings, TraceSettings
from tests.fakes.langfuse import FakeLangfuse
from tests.fakes.serve import standing_in
from tests.ops.conftest import answered, waiting


@pytest.fixture
async def langfuse() -> AsyncIterator[FakeLangfuse]:
    async with standing_in(FakeLangfuse()) as fake:
        yield fake


def tracer(fake: FakeLangfuse, monkeypatch: pytest.MonkeyPatch, host: str = "") -> Tracer:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-test")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-test")
    return Tracer(Settings(trace=TraceSettings(host=host or fake.base)))


async def due_now(db: Database) -> None:
    async with db.write() as session:
        await session.exec(update(OutboxRow).values(next_try=now()))


async def test_a_turn_becomes_a_trace_with_its_steps_model_tokens_cost_prompt_and_release(
    db: Database, ada: Asker, langfuse: FakeLangfuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await answered(db, ada)
    assert await outbox.deliver_due(db, tracer(langfuse, monkeypatch)) == 1
    spans = {s["name"]: s for s in langfuse.spans.values() if s["name"] != "answer"}
    assert set(spans) == {"turn", "guard", "retrieve"}
    assert spans["retrieve"]["parent"] != ""
    assert spans["turn"]["attributes"]["langfuse.release"] == "3"
    assert {s["trace"] for s in langfuse.spans.values()} == {answer.receipt.trace_id}
    good = next(s for s in langfuse.spans.values() if s["attributes"].get("langfuse.observation.model.name") == "b-1")
    assert '"output": 50' in good["attributes"]["langfuse.observation.usage_details"]
    assert '"total": 0.00123' in good["attributes"]["langfuse.observation.cost_details"]
    assert good["attributes"]["langfuse.observation.prompt.name"] == "answer"
    assert all(s["end"] >= s["start"] for s in langfuse.spans.values())


async def test_a_rating_becomes_a_score_on_the_same_trace_changed_and_withdrawn(
    db: Database, ada: Asker, langfuse: FakeLangfuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = tracer(langfuse, monkeypatch)
    answer = await answered(db, ada)
    rating = await feedback.rate(db, ada, answer.id, 0, "wrong year")
    await outbox.deliver_due(db, sender)
    trace = next(iter(langfuse.spans.values()))["trace"]
    assert langfuse.scores[rating]["traceId"] == trace
    assert langfuse.scores[rating]["value"] == 0
    await feedback.rate(db, ada, answer.id, 1)
    await outbox.deliver_due(db, sender)
    assert {k: v["value"] for k, v in langfuse.scores.items()} == {rating: 1}
    await feedback.withdraw(db, ada, rating)
    await outbox.deliver_due(db, sender)
    assert langfuse.scores == {}
    assert await waiting(db) == 0


@pytest.mark.parametrize("fault", ["500", "401", "refused"])
async def test_while_the_server_is_down_everything_waits_and_arrives_once_later(
    db: Database, ada: Asker, langfuse: FakeLangfuse, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    sender = tracer(langfuse, monkeypatch, host="http://127.0.0.1:9" if fault == "refused" else "")
    langfuse.mode = fault
    for i in range(3):
        answer = await answered(db, ada, f"question {i}")
        await feedback.rate(db, ada, answer.id, 1)
    await due_now(db)
    assert await outbox.deliver_due(db, sender) == 0
    assert await waiting(db) == 6
    langfuse.mode = "ok"
    sender = tracer(langfuse, monkeypatch)
    await due_now(db)
    assert await outbox.deliver_due(db, sender) == 6
    assert await outbox.deliver_due(db, sender) == 0
    assert len({s["trace"] for s in langfuse.spans.values()}) == 3
    assert langfuse.received == {"traces": 3, "scores": 3}


async def test_storing_a_turn_does_not_wait_for_a_slow_server(
    db: Database, ada: Asker, langfuse: FakeLangfuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    langfuse.mode = "slow"
    tracer(langfuse, monkeypatch)
    began = time.monotonic()
    await answered(db, ada)
    assert time.monotonic() - began < 1


def test_without_keys_nothing_is_sent() -> None:
    assert not Tracer(Settings(trace=TraceSettings(host="http://127.0.0.1:9"))).on


async def test_keys_addresses_and_account_numbers_leave_masked(
    db: Database, ada: Asker, langfuse: FakeLangfuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    canaries = ["sk-abcdefghijklmnop1234", "DE89 3704 0044 0532 0130 00", "ada.private@example.test"]
    await answered(db, ada, f"why is {canaries[0]} refused?", f"Pay to {canaries[1]} or ask {canaries[2]} [1].")
    await outbox.deliver_due(db, tracer(langfuse, monkeypatch))
    assert langfuse.raw
    for canary in [*canaries, "ada@example.test"]:
        assert canary.encode() not in langfuse.raw
    assert mask("call +49 421 5550 or pay 4111 1111 1111 1111") == "call [phone] or pay [card]"
