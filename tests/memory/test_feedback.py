"""Ratings: one for each person and answer, its owner's alone."""

from __future__ import annotations

import asyncio

import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import FeedbackRow, Message, OutboxRow
from assistant.domain import Answer, Asker
from assistant.errors import InputError, NotFoundError
from assistant.memory import feedback, threads
from tests.ops.conftest import answered


async def kept(db: Database) -> list[FeedbackRow]:
    async with db.read() as session:
        return list((await session.exec(select(FeedbackRow))).all())


async def outbox(db: Database, *kinds: str) -> list[OutboxRow]:
    async with db.read() as session:
        rows = (await session.exec(select(OutboxRow))).all()
        return sorted((r for r in rows if r.kind in kinds), key=lambda r: r.seq or 0)


@pytest.fixture
async def answer(db: Database, ada: Asker) -> Answer:
    return await answered(db, ada)


async def test_a_rating_is_kept_and_its_score_waits_to_be_delivered(db: Database, ada: Asker, answer: Answer) -> None:
    rating = await feedback.rate(db, ada, answer.id, 0, "the wrong year")
    (row,) = await kept(db)
    assert (row.id, row.value, row.comment) == (rating, 0, "the wrong year")
    (score,) = await outbox(db, "score")
    assert score.subject == rating
    assert score.payload == {"trace": answer.id, "value": 0, "comment": "the wrong year"}


async def test_the_last_of_two_ratings_wins_in_one_row(db: Database, ada: Asker, answer: Answer) -> None:
    first = await feedback.rate(db, ada, answer.id, 0, "the wrong year")
    assert await feedback.rate(db, ada, answer.id, 1) == first
    (row,) = await kept(db)
    assert (row.value, row.comment) == (1, "")
    assert [s.payload["value"] for s in await outbox(db, "score")] == [0, 1]


async def test_ratings_sent_at_once_make_one_row(db: Database, ada: Asker, answer: Answer) -> None:
    ids = await asyncio.gather(*(feedback.rate(db, ada, answer.id, i % 2) for i in range(10)))
    assert len(set(ids)) == 1
    (row,) = await kept(db)
    assert row.id == ids[0]
    assert len(await outbox(db, "score")) == 10


@pytest.mark.parametrize("value", [5, -1, 2, 10**30])
async def test_a_value_that_is_none_is_refused(db: Database, ada: Asker, answer: Answer, value: int) -> None:
    with pytest.raises(InputError, match=r"1 \(good\) or 0 \(bad\)"):
        await feedback.rate(db, ada, answer.id, value)
    assert await kept(db) == []


async def test_a_comment_of_a_megabyte_is_refused_and_the_rating_before_it_stays(
    db: Database, ada: Asker, answer: Answer
) -> None:
    await feedback.rate(db, ada, answer.id, 1, "good")
    with pytest.raises(InputError, match="4,000"):
        await feedback.rate(db, ada, answer.id, 0, "x" * 1_000_000)
    (row,) = await kept(db)
    assert (row.value, row.comment) == (1, "good")
    await feedback.rate(db, ada, answer.id, 0, "x" * feedback.COMMENT_CHARS)


@pytest.mark.parametrize(
    "comment",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "'; DROP TABLE feedback; --",
        "{{7*7}} & <b>",
        "日本語 🙂",
    ],
)
async def test_a_comment_is_kept_as_it_was_written(db: Database, ada: Asker, answer: Answer, comment: str) -> None:
    await feedback.rate(db, ada, answer.id, 0, comment)
    (row,) = await kept(db)
    assert row.comment == comment
    assert (await feedback.bad_ones(db))[0][0].comment == comment


async def test_another_persons_answer_a_question_and_an_unknown_id_read_the_same(
    db: Database, ada: Asker, bob: Asker, admin: Asker, answer: Answer
) -> None:
    async with db.read() as session:
        question = (await session.exec(select(Message).where(Message.role == "user"))).one().id
    told = set()
    hostile = ["", "../../etc/passwd", "x" * 10_240, "' OR '1'='1", "\x00", "\ud800", "not-a-uuid"]
    for who, what in [(bob, answer.id), (admin, answer.id), (ada, question), *((ada, h) for h in hostile)]:
        with pytest.raises(NotFoundError) as caught:
            await feedback.rate(db, who, what, 1)
        told.add(str(caught.value))
    assert len(told) == 1
    assert await kept(db) == []
    assert await outbox(db, "score") == []


async def test_a_rating_is_withdrawn_by_its_owner_only(
    db: Database, ada: Asker, bob: Asker, admin: Asker, answer: Answer
) -> None:
    rating = await feedback.rate(db, ada, answer.id, 0, "mine")
    told = set()
    for who, what in [(bob, rating), (admin, rating), (ada, "unknown"), (ada, answer.id), (ada, "\x00"), (ada, "../")]:
        with pytest.raises(NotFoundError) as caught:
            await feedback.withdraw(db, who, what)
        told.add(str(caught.value))
    assert len(told) == 1
    assert len(await kept(db)) == 1
    await feedback.withdraw(db, ada, rating)
    assert await kept(db) == []
    assert [r.subject for r in await outbox(db, "score_removed")] == [rating]
    with pytest.raises(NotFoundError):
        await feedback.withdraw(db, ada, rating)


async def test_withdrawn_twice_at_once_it_goes_once(db: Database, ada: Asker, answer: Answer) -> None:
    rating = await feedback.rate(db, ada, answer.id, 0)
    ended = await asyncio.gather(*(feedback.withdraw(db, ada, rating) for _ in range(4)), return_exceptions=True)
    assert sorted(type(e).__name__ for e in ended) == ["NoneType"] + ["NotFoundError"] * 3
    assert len(await outbox(db, "score_removed")) == 1


async def test_after_the_conversation_is_deleted_its_answers_cannot_be_rated(
    db: Database, ada: Asker, answer: Answer
) -> None:
    rating = await feedback.rate(db, ada, answer.id, 0)
    await threads.delete(db, ada, answer.thread)
    with pytest.raises(NotFoundError):
        await feedback.rate(db, ada, answer.id, 1)
    with pytest.raises(NotFoundError):
        await feedback.withdraw(db, ada, rating)
    assert await feedback.bad_ones(db) == []
    await threads.erase(db, ada, answer.thread)
    assert await kept(db) == []


async def test_rating_while_the_conversation_is_deleted_ends_in_words_and_leaves_nothing(
    db: Database, ada: Asker
) -> None:
    for _ in range(5):
        answer = await answered(db, ada)
        ended = await asyncio.gather(
            feedback.rate(db, ada, answer.id, 0, "secret"),
            threads.delete(db, ada, answer.thread),
            feedback.rate(db, ada, answer.id, 1, "secret"),
            return_exceptions=True,
        )
        assert {type(e) for e in ended} <= {str, type(None), NotFoundError}
    assert await threads.erase_deleted(db, minutes=0) == 5
    assert await kept(db) == []
    assert await outbox(db, "score") == []


async def test_bad_ratings_are_listed_newest_first_with_their_answers(db: Database, ada: Asker, bob: Asker) -> None:
    answers = [await answered(db, who, text=f"answer {i}") for i, who in enumerate((ada, bob, ada))]
    for who, given, value in zip((ada, bob, ada), answers, (0, 0, 1), strict=True):
        await feedback.rate(db, who, given.id, value)
    listed = await feedback.bad_ones(db)
    assert [m.text for _, m in listed] == ["answer 1", "answer 0"]
    assert len(await feedback.bad_ones(db, first=1)) == 1
