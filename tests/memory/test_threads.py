"""Conversations: kept before they are answered, reached by their owner only, in the order they were had."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Table, func, update
from sqlmodel import SQLModel, col, select

from assistant.database.engine import Database
from assistant.database.tables import CaseRow, FeedbackRow, Message, OutboxRow, ReceiptRow, Thread, UsageRow
from assistant.domain import Answer, Asker, Decision, Level, Receipt, now
from assistant.errors import NotFoundError
from assistant.memory import feedback, people, sharing, threads
from tests.ops.conftest import answered

HOSTILE = ["", "not-a-uuid", "../../etc/passwd", "x" * 10_240, "' OR '1'='1", "%", "\x00", "\ud800", "🙂", str(uuid4())]


async def turns_of(db: Database, asker: Asker, thread: str, turns: int, *, before: str) -> threads.Past:
    return await db.reading(lambda session: threads.past(session, asker, thread, turns, before=before))


async def asked(db: Database, asker: Asker, text: str = "How many days?", thread: str = "") -> tuple[str, str]:
    """A stored question: its thread and its own id."""
    thread, question = thread or str(uuid4()), str(uuid4())
    await threads.open_turn(db, asker, thread, question, text)
    return thread, question


async def begun(db: Database, asker: Asker, thread: str, question: str, answer: str, owner: str = "p") -> None:
    """An answer under way to a question that is stored."""
    assert not await threads.open_turn(db, asker, thread, question, "", answer_id=answer, owner=owner)


async def count(db: Database, table: type[SQLModel]) -> int:
    async with db.read() as session:
        return int((await session.exec(select(func.count()).select_from(table))).one())


def plain(thread: str, answer: str, text: str = "Ten.") -> Answer:
    receipt = Receipt(
        id=answer, thread=thread, asked="q", searched="q", decision=Decision(level=Level.ANSWERED), created_at=now()
    )
    return Answer(id=answer, thread=thread, text=text, abstained=False, receipt=receipt)


# Ownership

Reach = Callable[[Database, Asker, str], Awaitable[object]]
REACHES: dict[str, Reach] = {
    "of": threads.of,
    "reopen": threads.reopen,
    "rename": lambda db, who, thread: threads.rename(db, who, thread, "taken over"),
    "pin": lambda db, who, thread: threads.pin(db, who, thread, pinned=True),
    "share": sharing.share,
    "end sharing": sharing.end,
    "delete": threads.delete,
    "restore": threads.restore,
    "erase": threads.erase,
    "close a turn": lambda db, who, thread: threads.close_turn(db, who, plain(thread, "a"), []),
}


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
async def test_somebody_elses_conversation_reads_exactly_like_an_unknown_one(
    db: Database, ada: Asker, bob: Asker, admin: Asker, reach: Reach
) -> None:
    thread, _ = await asked(db, ada)
    told = set()
    for who, what in [(bob, thread), (admin, thread), *((ada, h) for h in HOSTILE)]:
        with pytest.raises(NotFoundError) as caught:
            await reach(db, who, what)
        told.add(str(caught.value))
    assert told == {"There is no such conversation. It may have been deleted; start a new one."}
    mine = await threads.reopen(db, ada, thread)
    assert [m.text for m in mine.messages] == ["How many days?"]
    assert mine.thread.title == "How many days?"


async def test_a_question_put_into_somebody_elses_conversation_is_refused_in_the_same_words(
    db: Database, ada: Asker, bob: Asker
) -> None:
    thread, question = await asked(db, ada)
    other, _ = await asked(db, bob)
    told = set()
    unknown = [h for h in HOSTILE if h != HOSTILE[-1] and h != "not-a-uuid"]
    attempts = [(thread, str(uuid4())), (thread, question), (other, question), *((u, str(uuid4())) for u in unknown)]
    for into, message in [*attempts, *((other, u) for u in unknown)]:
        with pytest.raises(NotFoundError) as caught:
            await threads.open_turn(db, bob, into, message, "let me in", answer_id=str(uuid4()), owner="p")
        told.add(str(caught.value))
    assert len(told) == 1
    assert await count(db, Message) == 2
    assert await count(db, Thread) == 2


async def test_an_answer_is_closed_only_in_the_conversation_it_belongs_to(db: Database, ada: Asker, bob: Asker) -> None:
    thread, question = await asked(db, ada)
    await begun(db, ada, thread, question, "a1")
    other, _ = await asked(db, bob)
    for who, answer in [(bob, plain(thread, "a1")), (bob, plain(other, "a1")), (ada, plain(thread, question))]:
        if answer.id == question:
            continue
        with pytest.raises(NotFoundError):
            await threads.close_turn(db, who, answer, [])
    assert await count(db, ReceiptRow) == 0


async def test_a_receipt_is_for_its_owner_and_for_admins(db: Database, ada: Asker, bob: Asker, admin: Asker) -> None:
    answer = await answered(db, ada)
    assert await threads.receipt(db, ada, answer.id) == answer.receipt
    assert await threads.receipt(db, admin, answer.id) == answer.receipt
    told = set()
    for who, what in [(bob, answer.id), *((ada, h) for h in HOSTILE), (ada, answer.thread)]:
        with pytest.raises(NotFoundError) as caught:
            await threads.receipt(db, who, what)
        told.add(str(caught.value))
    assert len(told) == 1


async def test_the_past_of_somebody_elses_conversation_is_empty(db: Database, ada: Asker, bob: Asker) -> None:
    answer = await answered(db, ada)
    assert len((await turns_of(db, ada, answer.thread, 5, before="next")).window) == 1
    for who, what in [(bob, answer.thread), *((ada, h) for h in HOSTILE)]:
        assert (await turns_of(db, who, what, 5, before="next")).window == []


async def test_lists_and_searches_hold_only_ones_own(db: Database, ada: Asker, bob: Asker) -> None:
    thread, _ = await asked(db, ada, "the secret plan")
    mine, _ = await asked(db, bob, "a plan")
    assert [t.id for t in await threads.list_of(db, bob, search="plan")] == [mine]
    assert [t.id for t in await threads.list_of(db, bob)] == [mine]
    assert await threads.list_of(db, bob, search="secret") == []
    assert [t.id for t in await threads.list_of(db, ada)] == [thread]


async def test_the_ratings_of_others_are_not_shown_with_a_conversation(db: Database, ada: Asker, bob: Asker) -> None:
    answer = await answered(db, ada)
    async with db.write() as session:
        session.add(FeedbackRow(message_id=answer.id, person_id=bob.person_id, value=0, comment="not mine"))
    assert (await threads.reopen(db, ada, answer.thread)).ratings == {}


# Keeping


async def test_a_question_sent_again_with_the_same_ids_changes_nothing(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada, "first")
    before = await threads.of(db, ada, thread)
    await threads.open_turn(db, ada, thread, question, "something else")
    opened = await threads.reopen(db, ada, thread)
    assert [m.text for m in opened.messages] == ["first"]
    assert opened.thread == before


async def test_a_question_sent_many_times_at_once_is_kept_once(db: Database, ada: Asker) -> None:
    thread, question = str(uuid4()), str(uuid4())
    await asyncio.gather(*(threads.open_turn(db, ada, thread, question, "once") for _ in range(10)))
    assert await count(db, Message) == 1
    assert await count(db, Thread) == 1


async def test_twenty_chats_at_once_lose_no_row(db: Database) -> None:
    askers = [people.asker_of(await people.add(db, f"p{i}@example.test")) for i in range(20)]

    async def chat(asker: Asker) -> list[str]:
        thread, expected = str(uuid4()), []
        for turn in range(3):
            question, answer = str(uuid4()), str(uuid4())
            text = f"{asker.email} asks {turn}"
            await threads.open_turn(db, asker, thread, question, text, answer_id=answer, owner="p")
            await threads.grow(db, {answer: "…"})
            await threads.close_turn(db, asker, plain(thread, answer, f"{asker.email} hears {turn}"), [])
            await feedback.rate(db, asker, answer, turn % 2)
            expected += [text, f"{asker.email} hears {turn}"]
        assert [m.text for m in (await threads.reopen(db, asker, thread)).messages] == expected
        return expected

    chats = await asyncio.gather(*(chat(a) for a in askers))
    assert await count(db, Message) == sum(map(len, chats)) == 120
    assert await count(db, ReceiptRow) == await count(db, FeedbackRow) == 60
    assert await count(db, OutboxRow) == 120
    assert await count(db, Thread) == 20


async def test_a_conversation_that_two_people_open_at_once_belongs_to_one_and_keeps_its_owner(
    db: Database, ada: Asker, bob: Asker
) -> None:
    for _ in range(10):
        thread = str(uuid4())
        ended = await asyncio.gather(
            *(threads.open_turn(db, who, thread, str(uuid4()), who.email) for who in (ada, bob) * 3),
            return_exceptions=True,
        )
        owner = await threads.author(db, thread)
        assert owner in {ada.person_id, bob.person_id}
        assert [e is True for e in ended] == [who.person_id == owner for who in (ada, bob) * 3]
        assert all(isinstance(e, NotFoundError | bool) for e in ended)
        await asyncio.gather(*(threads.rename(db, ada if owner == ada.person_id else bob, thread, "x") for _ in "ab"))
        assert await threads.author(db, thread) == owner


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800 a character", "x" * 1_000_000, "", "日本語 🙂 \u202ertl"])
async def test_every_question_is_kept_whatever_characters_it_has(db: Database, ada: Asker, text: str) -> None:
    thread, _ = await asked(db, ada, text)
    (message,) = (await threads.reopen(db, ada, thread)).messages
    assert len(message.text) == len(text)
    await begun(db, ada, thread, message.id, "a1")
    receipt = plain(thread, "a1").receipt.model_copy(update={"asked": text, "searched": text})
    await threads.close_turn(db, ada, plain(thread, "a1", text).model_copy(update={"receipt": receipt}), [])
    assert (await threads.receipt(db, ada, "a1")).asked == text


async def test_an_answer_its_receipt_its_ledger_and_its_outbox_row_are_stored_together(
    db: Database, ada: Asker
) -> None:
    answer = await answered(db, ada)
    opened = await threads.reopen(db, ada, answer.thread)
    assert [(m.role, m.state) for m in opened.messages] == [("user", "complete"), ("assistant", "complete")]
    assert opened.messages[1].text == answer.text
    assert opened.receipts == {answer.id: answer.receipt}
    async with db.read() as session:
        ledger = (await session.exec(select(UsageRow))).all()
        outbox = (await session.exec(select(OutboxRow))).all()
    assert [(r.turn, r.outcome) for r in ledger] == [(answer.id, "http_500"), (answer.id, "ok")]
    assert [(r.kind, r.subject) for r in outbox] == [("trace", answer.id)]
    assert await db.reading(lambda session: threads.spent_today(session, ada.person_id)) == answer.receipt.cost_nano


async def test_when_one_part_of_an_answer_cannot_be_stored_none_is(
    db: Database, ada: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, question = await asked(db, ada)
    await begun(db, ada, thread, question, "a1")

    def fail(**_: object) -> OutboxRow:
        raise ZeroDivisionError

    monkeypatch.setattr(threads, "OutboxRow", fail)
    with pytest.raises(ZeroDivisionError):
        await threads.close_turn(db, ada, plain(thread, "a1"), [])
    opened = await threads.reopen(db, ada, thread)
    assert (opened.messages[1].state, opened.messages[1].text, opened.receipts) == ("streaming", "", {})


async def test_a_growing_answer_is_kept_as_it_grows_and_not_after_its_end(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    await begun(db, ada, thread, question, "a1")
    await threads.grow(db, {"a1": "Ten da"})
    assert (await threads.reopen(db, ada, thread)).messages[1].text == "Ten da"
    await threads.close_turn(db, ada, plain(thread, "a1", "Ten days."), [])
    await threads.grow(db, {"a1": "late"})
    assert (await threads.reopen(db, ada, thread)).messages[1].text == "Ten days."


async def test_answers_of_a_process_that_is_gone_are_marked_and_no_others(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    for answer, owner in (("a1", "dead"), ("a2", "alive"), ("a3", "dead")):
        await begun(db, ada, thread, question, answer, owner)
        await threads.grow(db, {answer: "so far"})
    await threads.close_turn(db, ada, plain(thread, "a3"), [])
    assert await threads.mark_interrupted(db, {"alive"}) == 1
    async with db.read() as session:
        answers = (await session.exec(select(Message).where(Message.role == "assistant"))).all()
    states = {m.id: (m.state, m.text) for m in answers}
    assert states == {"a1": ("interrupted", "so far"), "a2": ("streaming", "so far"), "a3": ("complete", "Ten.")}
    assert await threads.mark_interrupted(db, set()) == 1
    assert await threads.mark_interrupted(db, set()) == 0


# Order


async def test_messages_stand_in_the_order_they_were_stored_even_when_the_clock_runs_backwards(
    db: Database, ada: Asker
) -> None:
    thread = str(uuid4())
    for i in range(6):
        await asked(db, ada, f"question {i}", thread)
    async with db.write() as session:
        for message in (await session.exec(select(Message))).all():
            message.created_at = now() - timedelta(days=int(message.text[-1]))
            session.add(message)
    texts = [f"question {i}" for i in range(6)]
    assert [m.text for m in (await threads.reopen(db, ada, thread)).messages] == texts
    assert [t.question for t in (await turns_of(db, ada, thread, 10, before="next")).window] == texts


async def test_the_window_holds_the_last_turns_before_a_message_oldest_first(db: Database, ada: Asker) -> None:
    thread, questions = str(uuid4()), []
    for i in range(5):
        _, question = await asked(db, ada, f"q{i}", thread)
        questions.append(question)
        if i != 3:  # one that was never answered
            await begun(db, ada, thread, question, f"a{i}")
            await threads.close_turn(db, ada, plain(thread, f"a{i}", f"answer {i}"), [])
    past = (await turns_of(db, ada, thread, 3, before="not stored yet")).window
    assert [(t.question, t.answer, t.state) for t in past] == [
        ("q2", "answer 2", "complete"),
        ("q3", "", ""),
        ("q4", "answer 4", "complete"),
    ]
    assert [t.question for t in (await turns_of(db, ada, thread, 2, before=questions[3])).window] == ["q1", "q2"]
    assert (await turns_of(db, ada, thread, 2, before=questions[0])).window == []
    for none in (0, -1):
        assert (await turns_of(db, ada, thread, none, before="next")).window == []
    assert len((await turns_of(db, ada, thread, 50, before="next")).window) == 5


async def test_of_two_answers_to_one_question_the_window_holds_the_newer(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    for answer in ("a1", "a2"):
        await begun(db, ada, thread, question, answer)
        await threads.close_turn(db, ada, plain(thread, answer, answer), [])
    (turn,) = (await turns_of(db, ada, thread, 3, before="next")).window
    assert turn.answer == "a2"


# The sidebar


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_paging_shows_every_conversation_once_even_when_all_have_the_same_time(
    db: Database, ada: Asker, size: int
) -> None:
    made = {(await asked(db, ada, f"t{i}"))[0] for i in range(10)}
    same = now()
    async with db.write() as session:
        await session.exec(update(Thread).values(updated_at=same))
        early = sorted(made)[:3]
        await session.exec(update(Thread).where(col(Thread.id).in_(early)).values(updated_at=same - timedelta(days=1)))
    seen: list[str] = []
    before = None
    while page := await threads.list_of(db, ada, first=size, before=before):
        seen += [t.id for t in page]
        before = (page[-1].updated_at, page[-1].id)
    assert len(seen) == len(set(seen))
    assert set(seen) == made
    assert set(seen[-3:]) == set(early)


async def test_the_conversation_that_was_last_written_in_stands_first(db: Database, ada: Asker) -> None:
    first, _ = await asked(db, ada, "one")
    second, _ = await asked(db, ada, "two")
    assert [t.id for t in await threads.list_of(db, ada)] == [second, first]
    await asked(db, ada, "more", first)
    assert [t.id for t in await threads.list_of(db, ada)] == [first, second]


@pytest.mark.parametrize("wanted", ["100 %", "a_b", "C:\\new", "O'Brien", '"quoted"', "--", "Überstunden", "[x]*?"])
async def test_a_search_takes_every_character_for_itself(db: Database, ada: Asker, wanted: str) -> None:
    thread, _ = await asked(db, ada, f"what of {wanted} here")
    await asked(db, ada, "what of axb C:new OBrien 100 quoted here")
    assert [t.id for t in await threads.list_of(db, ada, search=wanted)] == [thread]
    assert [t.id for t in await threads.list_of(db, ada, search=wanted.swapcase())] == [thread]


@pytest.mark.parametrize("wanted", ["%", "_", "\\", "'", "\x00", "\ud800", "x" * 10_000])
async def test_a_search_for_what_is_nowhere_finds_nothing(db: Database, ada: Asker, wanted: str) -> None:
    await asked(db, ada, "plain words")
    assert await threads.list_of(db, ada, search=wanted) == []


async def test_a_search_finds_titles_and_words_of_answers(db: Database, ada: Asker) -> None:
    answer = await answered(db, ada, "How long?", "Five working days.")
    await threads.rename(db, ada, answer.thread, "  Leave \n and   travel ")
    assert (await threads.of(db, ada, answer.thread)).title == "Leave and travel"
    for wanted in ("leave", "working days", "how long"):
        assert [t.id for t in await threads.list_of(db, ada, search=wanted)] == [answer.thread]


async def test_a_title_has_one_line_of_a_bounded_length(db: Database, ada: Asker) -> None:
    thread, _ = await asked(db, ada, "word \n" * 1000)
    title = (await threads.of(db, ada, thread)).title
    assert "\n" not in title
    assert len(title) <= threads.TITLE_CHARS


# Deleting

CANARY = "canary-7f3a"


async def test_deleting_a_conversation_removes_its_text_everywhere_and_leaves_the_sums(
    db: Database, ada: Asker, bob: Asker
) -> None:
    answer = await answered(db, ada, f"why {CANARY}?", f"because {CANARY} [1].")
    rating = await feedback.rate(db, ada, answer.id, 0, f"no {CANARY}")
    await feedback.withdraw(db, ada, rating)
    await feedback.rate(db, ada, answer.id, 0, f"still no {CANARY}")
    async with db.write() as session:
        session.add(CaseRow(id="rated-1", message_id=answer.id, body={"turns": [f"why {CANARY}?"]}))
    other = await answered(db, bob)
    spent = await db.reading(lambda session: threads.spent_today(session, ada.person_id))
    assert CANARY in await everything(db)
    await threads.delete(db, ada, answer.thread)
    await threads.erase(db, ada, answer.thread)
    assert CANARY not in await everything(db)
    assert await db.reading(lambda session: threads.spent_today(session, ada.person_id)) == spent
    with pytest.raises(NotFoundError):
        await threads.of(db, ada, answer.thread)
    assert len((await threads.reopen(db, bob, other.thread)).messages) == 2
    assert await count(db, ReceiptRow) == 1


async def everything(db: Database) -> str:
    """Every value of every table."""
    tables: list[Table] = SQLModel.metadata.sorted_tables
    async with db.read() as session:
        connection = await session.connection()
        return "\n".join([repr(row) for table in tables for row in (await connection.execute(table.select())).all()])


async def test_a_turn_that_ends_after_its_conversation_was_deleted_stores_nothing(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    await begun(db, ada, thread, question, "a1")
    await threads.delete(db, ada, thread)
    with pytest.raises(NotFoundError):
        await threads.open_turn(db, ada, thread, question, CANARY, answer_id="a2", owner="p")
    await threads.erase(db, ada, thread)
    await threads.grow(db, {"a1": CANARY})
    with pytest.raises(NotFoundError):
        await threads.close_turn(db, ada, plain(thread, "a1", CANARY), [])
    assert CANARY not in await everything(db)


async def test_deleting_while_turns_go_on_ends_in_words_and_leaves_no_orphan(db: Database, ada: Asker) -> None:
    for _ in range(8):
        thread, question = await asked(db, ada)
        await begun(db, ada, thread, question, f"a-{thread}")
        ended = await asyncio.gather(
            begun(db, ada, thread, question, f"b-{thread}"),
            threads.close_turn(db, ada, plain(thread, f"a-{thread}"), []),
            threads.delete(db, ada, thread),
            threads.rename(db, ada, thread, "new"),
            return_exceptions=True,
        )
        assert {type(e) for e in ended} <= {type(None), NotFoundError}
        assert ended[2] is None
        await threads.erase(db, ada, thread)
    assert await count(db, Message) == await count(db, ReceiptRow) == await count(db, Thread) == 0


async def test_declined_questions_are_listed_newest_first(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    for i, level in enumerate((Level.DECLINED, Level.ANSWERED, Level.DECLINED)):
        await begun(db, ada, thread, question, f"a{i}")
        answer = plain(thread, f"a{i}")
        receipt = answer.receipt.model_copy(update={"decision": Decision(level=level), "release": 1})
        await threads.close_turn(db, ada, answer.model_copy(update={"receipt": receipt}), [])
    # What was refused before anything was searched says nothing about the documents.
    await begun(db, ada, thread, question, "refused")
    answer = plain(thread, "refused")
    decision = Decision(level=Level.DECLINED, reason="InputError")
    receipt = answer.receipt.model_copy(update={"decision": decision, "release": None})
    await threads.close_turn(db, ada, answer.model_copy(update={"receipt": receipt}), [])
    assert [r.id for r in await threads.asked_declined(db)] == ["a2", "a0"]
    assert [r.id for r in await threads.asked_declined(db, first=1)] == ["a2"]
