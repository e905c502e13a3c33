"""What our documents do not answer can be asked of whoever looks after them; that person sees the question alone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import OutboxRow, OwnerQuestion
from assistant.domain import Asker, Nearest
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory import people, questions, threads
from tests.memory.test_threads import plain

NEAR = Nearest(document_id=7, document="leave.md", title="Leave", owner="Bob, People team")


async def declined(db: Database, who: Asker, *near: Nearest, abstained: bool = True) -> str:
    """The id of an answer that says our documents do not answer, and names these."""
    thread, question, answer = (str(uuid4()) for _ in range(3))
    await threads.open_turn(db, who, thread, question, "May I bring a dog?", answer_id=answer, owner="p")
    told = plain(thread, answer, "no").model_copy(update={"abstained": abstained, "nearest": near})
    await threads.close_turn(db, who, told, [])
    return answer


async def test_the_owner_sees_the_question_and_who_asked_and_the_asker_sees_the_reply(
    db: Database, ada: Asker, bob: Asker
) -> None:
    answer = await declined(db, ada, NEAR)
    await questions.send(db, ada, answer, NEAR, "  May I bring a dog?  ")
    (asked,) = await questions.sent_to(db, bob)
    assert (asked.row.text, asked.asker, asked.email, asked.to) == (
        "May I bring a dog?", "Ada", "ada@example.test", "Bob",
    )  # fmt: skip
    assert await questions.waiting(db, bob) == (1, 0)
    await questions.reply(db, bob, asked.row.id, "Yes, on Fridays.")
    told = await questions.of_answer(db, ada, answer)
    assert told is not None
    assert (told.row.reply, told.row.replied_by) == ("Yes, on Fridays.", "Bob")
    assert await questions.waiting(db, bob) == (0, 0)
    with pytest.raises(NotFoundError):
        await threads.receipt(db, bob, answer)


async def test_a_reply_is_news_until_it_was_seen_and_so_is_a_changed_one(db: Database, ada: Asker, bob: Asker) -> None:
    sent = await questions.send(db, ada, await declined(db, ada, NEAR), NEAR, "Dogs?")
    await questions.saw(db, ada, await questions.sent_by(db, ada))
    for text in ("Yes.", "No, I was wrong."):
        await questions.reply(db, bob, sent.id, text)
        assert await questions.waiting(db, ada) == (0, 1)
        shown = await questions.sent_by(db, ada)
        await questions.saw(db, bob, shown)
        assert await questions.waiting(db, ada) == (0, 1)
        await questions.saw(db, ada, shown)
        assert await questions.waiting(db, ada) == (0, 0)


async def test_nobody_sends_or_replies_for_another(db: Database, ada: Asker, bob: Asker, admin: Asker) -> None:
    answer = await declined(db, ada, NEAR)
    for other in (bob, admin):
        with pytest.raises(NotFoundError):
            await questions.send(db, other, answer, NEAR, "x")
        assert await questions.of_answer(db, other, answer) is None
    sent = await questions.send(db, ada, answer, NEAR, "x")
    with pytest.raises(NotFoundError):
        await questions.reply(db, ada, sent.id, "my own reply")
    assert await questions.sent_to(db, ada) == await questions.sent_by(db, bob) == []
    await questions.reply(db, admin, sent.id, "in their place")


async def test_sending_twice_sends_once_and_only_about_a_declined_answer(db: Database, ada: Asker, bob: Asker) -> None:
    answer = await declined(db, ada, NEAR)
    first = await questions.send(db, ada, answer, NEAR, "one", lambda _: ("webhook",))
    assert (await questions.send(db, ada, answer, NEAR, "two", lambda _: ("webhook",))).id == first.id
    assert [q.row.text for q in await questions.sent_to(db, bob)] == ["one"]
    answered = await declined(db, ada, NEAR, abstained=False)
    with pytest.raises(NotFoundError):
        await questions.send(db, ada, answered, NEAR, "x")
    async with db.read() as session:
        told = (await session.exec(select(OutboxRow).where(OutboxRow.kind == "alert"))).all()
    assert [(r.subject, r.payload) for r in told] == [("webhook", {"question": first.id})]  # not what was asked


async def test_one_owner_is_offered_once_and_a_document_without_one_not(db: Database, ada: Asker) -> None:
    other = NEAR.model_copy(update={"document_id": 8})
    nobody = NEAR.model_copy(update={"document_id": 9, "owner": " "})
    answer = await declined(db, ada, nobody, NEAR, other)
    assert await questions.offers(db, ada, answer) == (NEAR,)


async def test_a_question_goes_with_its_talk(db: Database, ada: Asker, bob: Asker) -> None:
    answer = await declined(db, ada, NEAR)
    sent = await questions.send(db, ada, answer, NEAR, "x")
    await threads.delete(db, ada, sent.thread_id)
    assert await questions.sent_to(db, bob) == []
    with pytest.raises(NotFoundError):
        await questions.reply(db, bob, sent.id, "too late")
    await threads.erase(db, ada, sent.thread_id)
    async with db.read() as session:
        assert (await session.exec(select(OwnerQuestion))).all() == []


async def test_so_many_a_day_and_no_longer_than_a_page(
    db: Database, ada: Asker, bob: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "A_DAY", 2)
    for text in ("", "  ", "x" * 2_001):
        with pytest.raises(InputError):
            await questions.send(db, ada, await declined(db, ada, NEAR), NEAR, text)
    for _ in range(2):
        await questions.send(db, ada, await declined(db, ada, NEAR), NEAR, "x")
    with pytest.raises(LimitError):
        await questions.send(db, ada, await declined(db, ada, NEAR), NEAR, "x")


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("Bob Lee, People team", "bob@example.test"),
        ("People team (BOB@example.test)", "bob@example.test"),
        ("bob lee", "bob@example.test"),
        ("Mara Lindt and Bob Lee", "mara@example.test"),
        ("Bobby Leeds", None),
        ("Bob", None),
        ("notbob@example.test", None),
        ("gone@example.test", None),
        ("Sam Twin", None),
        ("", None),
        ("%", None),
    ],
)
async def test_the_owner_is_the_account_that_the_document_names(db: Database, text: str, email: str | None) -> None:
    for address, name in (("bob", "Bob Lee"), ("mara", "Mara Lindt"), ("one", "Sam Twin"), ("two", "Sam Twin")):
        await people.add(db, f"{address}@example.test", name=name)
    await people.add(db, "gone@example.test", name="")
    await people.set_active(db, "gone@example.test", False)
    found = await people.named_in(db, text)
    assert (found.email if found else None) == email
