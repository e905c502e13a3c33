from __future__ import annotations

from uuid import uuid4

import pytest
from sqlmodel import col, select

from assistant.chat.receipt import trace_id
from assistant.database.engine import Database
from assistant.database.tables import OutboxRow
from assistant.domain import Answer, Asker, Attempt, Decision, Level, PromptUse, Receipt, StepTime, now
from assistant.memory import people, threads
from tests.databases import db, migrated_file, postgres

__all__ = ["db", "migrated_file", "postgres"]


@pytest.fixture
async def ada(db: Database) -> Asker:
    return people.asker_of(await people.add(db, "ada@example.test", name="Ada", groups=["finance"]))


async def waiting(db: Database) -> int:
    """How many items of the outbox have not been delivered."""
    async with db.read() as session:
        rows = await session.exec(select(OutboxRow.seq).where(col(OutboxRow.delivered_at).is_(None)))
        return len(rows.all())


async def answered(db: Database, asker: Asker, question: str = "How many days?", text: str = "Ten [1].") -> Answer:
    """A finished turn, stored as the engine stores it."""
    thread, question_id, answer_id = str(uuid4()), str(uuid4()), str(uuid4())
    await threads.open_turn(db, asker, thread, question_id, question, answer_id=answer_id, owner="test")
    attempts = (
        Attempt(feature="answer", tier="strong", provider="openai", model_asked="a", outcome="http_500", ms=20),
        Attempt(
            feature="answer", tier="strong", provider="openai", model_asked="b", model_served="b-1", ms_first=100,
            ms=300, tokens_in=1000, tokens_out=50, tokens_cached=100, cost_nano=1_230_000,
        ),
    )  # fmt: skip
    receipt = Receipt(
        id=answer_id,
        thread=thread,
        asked=question,
        searched=question,
        release=3,
        decision=Decision(level=Level.ANSWERED),
        prompts=(PromptUse(name="answer", version="1"),),
        attempts=attempts,
        steps=(StepTime(name="guard", ms=1), StepTime(name="retrieve", ms=12.5, note="6 passages")),
        segment="finance",
        tokens_in=1000,
        tokens_out=50,
        cost_nano=1_230_000,
        ms_first=120,
        ms=340,
        trace_id=trace_id(answer_id),
        created_at=now(),
    )
    answer = Answer(id=answer_id, thread=thread, text=text, abstained=False, receipt=receipt)
    await threads.close_turn(db, asker, answer, attempts)
    return answer
