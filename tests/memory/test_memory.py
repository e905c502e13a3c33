"""What is remembered, searched, branched, shared and brought back. tests/web/test_me.py holds the pages over it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import Message, NoteRow
from assistant.domain import Asker
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory import people, recall, sharing, threads
from assistant.memory.branches import path, versions
from tests.memory.test_threads import HOSTILE, asked, begun, plain, turns_of
from tests.ops.conftest import answered


async def turn(db: Database, who: Asker, thread: str, question: str, beside: str = "") -> tuple[str, str]:
    """A whole turn: the ids of its question and its answer."""
    question_id, answer_id = str(uuid4()), str(uuid4())
    await threads.open_turn(db, who, thread, question_id, question, beside=beside, answer_id=answer_id, owner="p")
    await threads.close_turn(db, who, plain(thread, answer_id, f"on {question}"), [])
    return question_id, answer_id


async def shown(db: Database, who: Asker, thread: str) -> list[str]:
    return [m.text for m in (await threads.reopen(db, who, thread)).messages]


# Branches


async def test_an_edited_question_begins_a_branch_and_the_old_one_can_be_shown_again(db: Database, ada: Asker) -> None:
    thread = str(uuid4())
    await turn(db, ada, thread, "one")
    two, answer_two = await turn(db, ada, thread, "two")
    await turn(db, ada, thread, "three")
    _, answer_edit = await turn(db, ada, thread, "two, but better", beside=two)
    await turn(db, ada, thread, "four")
    assert await shown(db, ada, thread) == [
        "one", "on one", "two, but better", "on two, but better", "four", "on four",
    ]  # fmt: skip
    past = (await turns_of(db, ada, thread, 10, before="next")).window
    assert [t.question for t in past] == ["one", "two, but better", "four"]
    assert await threads.versions_of(db, ada, answer_edit) == [answer_two, answer_edit]
    await threads.show_version(db, ada, answer_two)
    assert await shown(db, ada, thread) == ["one", "on one", "two", "on two", "three", "on three"]
    await turn(db, ada, thread, "five")
    assert (await shown(db, ada, thread))[-4:] == ["three", "on three", "five", "on five"]


async def test_versions_are_reached_by_their_owner_only(db: Database, ada: Asker, bob: Asker) -> None:
    thread = str(uuid4())
    question, answer = await turn(db, ada, thread, "one")
    other, _ = await turn(db, bob, str(uuid4()), "one")
    for reach in (threads.show_version, threads.versions_of, threads.question_of):
        for who, what in [(bob, answer), *((ada, h) for h in HOSTILE)]:
            with pytest.raises(NotFoundError):
                await reach(db, who, what)
    assert (await threads.question_of(db, ada, answer)).id == question
    with pytest.raises(NotFoundError):
        await threads.open_turn(db, ada, thread, str(uuid4()), "x", beside=other)


def test_a_ring_of_parents_ends() -> None:
    ring = [
        Message(id="a", thread_id="t", role="user", parent_id="b"),
        Message(id="b", thread_id="t", role="assistant", parent_id="a"),
    ]
    assert [m.id for m in path(ring, "b")] == ["a", "b"]
    assert path([], None) == []
    assert versions(ring) == {}


# What came before


async def test_of_turns_before_the_window_the_questions_and_the_newest_summary_are_told(
    db: Database, ada: Asker
) -> None:
    thread, questions = str(uuid4()), []
    for i in range(8):
        questions.append((await turn(db, ada, thread, f"q{i}"))[0])
    past = await turns_of(db, ada, thread, 3, before="next")
    assert [t.question for t in past.window] == ["q5", "q6", "q7"]
    assert [text for _, text in past.earlier] == ["q0", "q1", "q2", "q3", "q4"]
    assert past.summary is None
    await threads.summarise(db, ada, thread, questions[2], "three turns", 3, {4, 1})
    await threads.summarise(db, ada, thread, questions[6], "too far", 7, set())
    past = await turns_of(db, ada, thread, 3, before="next")
    assert past.summary is not None
    assert (past.summary.text, past.summary.turns, past.summary.documents) == ("three turns", 3, [1, 4])
    # In another branch, which leaves after the second turn, that summary tells of what was not said.
    await turn(db, ada, thread, "other", beside=questions[1])
    for i in range(4):
        await turn(db, ada, thread, f"r{i}")
    assert (await turns_of(db, ada, thread, 3, before="next")).summary is None


# Searching


@given(words=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4), query=st.text(max_size=40))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_query_raises_and_the_words_of_a_text_find_it(
    migrated_file: Path, tmp_path: Path, words: list[str], query: str
) -> None:
    async def run() -> None:
        # Other tests copy that file and want it empty.
        file = tmp_path / "own.db"
        if not file.exists():
            shutil.copy(migrated_file, file)
        db = Database(f"sqlite+aiosqlite:///{file}")
        try:
            who = people.asker_of(await people.add(db, f"s{uuid4().hex}@example.test"))
            thread, _ = await asked(db, who, " ".join(words))
            await threads.list_of(db, who, search=query)
            for term in " ".join(words).split():
                clean = "".join("\ufffd" if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in term)
                assert [t.id for t in await threads.list_of(db, who, search=clean)] == [thread], term
        finally:
            await db.close()

    asyncio.run(run())


@pytest.mark.parametrize("query", ['"', "a OR b", "NEAR(a b)", "a*", "words:a", "-a", "^a", "(", "a & !b", "a:*", "\\"])
async def test_operators_of_a_full_text_engine_are_plain_characters(db: Database, ada: Asker, query: str) -> None:
    thread, _ = await asked(db, ada, f"what of {query} then")
    await asked(db, ada, "what of a and b then near words")
    assert [t.id for t in await threads.list_of(db, ada, search=query)] == [thread]


async def test_words_are_found_by_their_beginning_without_case_and_accents(db: Database, ada: Asker) -> None:
    thread, _ = await asked(db, ada, "Wie viele Überstunden verfallen in der Straße?")
    for query in ("uberst", "ÜBER", "strasse", "überstunden verfallen", "stra"):
        assert [t.id for t in await threads.list_of(db, ada, search=query)] == [thread], query
    for query in ("stunden", "xüber", "überstunden lapse"):
        assert await threads.list_of(db, ada, search=query) == [], query


async def test_what_was_erased_or_is_still_being_written_is_not_found(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada, "plain")
    await begun(db, ada, thread, question, "a1")
    await threads.grow(db, {"a1": "quagga so far"})
    assert await threads.list_of(db, ada, search="quagga") == []
    await threads.mark_interrupted(db, set())
    assert [t.id for t in await threads.list_of(db, ada, search="quagga")] == [thread]
    await threads.delete(db, ada, thread)
    assert await threads.list_of(db, ada, search="quagga") == []
    await threads.erase(db, ada, thread)
    if db.is_sqlite:
        async with db.read() as session:
            matching = text("SELECT count(*) FROM message_fts WHERE message_fts MATCH 'quagga'")
            assert (await (await session.connection()).execute(matching)).scalar() == 0


# Undo


async def test_a_deleted_talk_is_erased_when_its_time_is_over_and_not_before(db: Database, ada: Asker) -> None:
    answer = await answered(db, ada)
    await threads.delete(db, ada, answer.thread)
    assert [t.id for t in await threads.list_of(db, ada, deleted=True)] == [answer.thread]
    assert await threads.erase_deleted(db) == 0
    await threads.restore(db, ada, answer.thread)
    assert await threads.erase_deleted(db, minutes=0) == 0
    assert (await threads.receipt(db, ada, answer.id)) == answer.receipt
    await threads.delete(db, ada, answer.thread)
    with pytest.raises(NotFoundError):
        await threads.receipt(db, ada, answer.id)
    assert await threads.erase_deleted(db, minutes=0) == 1
    with pytest.raises(NotFoundError):
        await threads.restore(db, ada, answer.thread)


async def test_an_answer_that_ends_after_the_deletion_is_there_when_it_is_undone(db: Database, ada: Asker) -> None:
    thread, question = await asked(db, ada)
    await begun(db, ada, thread, question, "a1")
    await threads.delete(db, ada, thread)
    await threads.close_turn(db, ada, plain(thread, "a1", "whole"), [])
    await threads.restore(db, ada, thread)
    assert (await shown(db, ada, thread))[-1] == "whole"


# Sharing


async def test_a_shared_talk_opens_by_its_key_alone_and_not_after_its_end(db: Database, ada: Asker, bob: Asker) -> None:
    answer = await answered(db, ada)
    for nothing in HOSTILE:
        with pytest.raises(NotFoundError):
            await sharing.shared(db, bob, nothing)
    key = await sharing.share(db, ada, answer.thread)
    opened, owner = await sharing.shared(db, bob, key)
    assert (opened.thread.id, owner, opened.ratings) == (answer.thread, "Ada", {})
    await people.set_active(db, ada.email, active=False)
    with pytest.raises(NotFoundError):
        await sharing.shared(db, bob, key)
    await people.set_active(db, ada.email, active=True)
    await sharing.end(db, ada, answer.thread)
    with pytest.raises(NotFoundError):
        await sharing.shared(db, bob, key)


# Notes


async def test_notes_belong_to_one_person_and_are_kept_once(db: Database, ada: Asker, bob: Asker) -> None:
    note = await recall.remember(db, ada, "  I work \n in Leeds ")
    await asyncio.gather(*(recall.remember(db, ada, "I work in Leeds") for _ in range(5)))
    assert [n.text for n in await db.reading(lambda session: recall.notes(session, ada))] == ["I work in Leeds"]
    assert await db.reading(lambda session: recall.notes(session, bob)) == []
    for who, what in [(bob, note.id), *((ada, h) for h in HOSTILE)]:
        with pytest.raises(NotFoundError):
            await recall.change(db, who, what, "mine")
        with pytest.raises(NotFoundError):
            await recall.forget(db, who, what)
    await recall.change(db, ada, note.id, "I work in York")
    assert [n.text for n in await db.reading(lambda session: recall.notes(session, ada))] == ["I work in York"]
    await recall.forget(db, ada, note.id)
    assert await db.reading(lambda session: recall.notes(session, ada)) == []


async def test_notes_are_limited_in_number_and_length_also_when_many_come_at_once(db: Database, ada: Asker) -> None:
    for bad in ("", "   ", "x" * (recall.NOTE_CHARS + 1)):
        with pytest.raises(InputError):
            await recall.remember(db, ada, bad)
    ended = await asyncio.gather(
        *(recall.remember(db, ada, f"note {i}") for i in range(recall.NOTES + 6)), return_exceptions=True
    )
    assert sum(isinstance(e, LimitError) for e in ended) == 6
    async with db.read() as session:
        kept = (await session.exec(select(NoteRow).where(col(NoteRow.person_id) == ada.person_id))).all()
    assert len(kept) == recall.NOTES
