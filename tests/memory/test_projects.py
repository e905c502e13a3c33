"""Talks are bundled into projects, by their owner and for their owner alone."""

from __future__ import annotations

from uuid import uuid4

import pytest

from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory import projects, threads


async def talk(db: Database, who: Asker) -> str:
    thread = str(uuid4())
    await threads.open_turn(db, who, thread, str(uuid4()), "How many days?")
    return thread


async def test_a_talk_is_in_one_project_at_most_which_gives_it_instructions_and_documents(
    db: Database, ada: Asker
) -> None:
    one = await projects.create(db, ada, " Audit  2026 ", "Answer in one line.")
    two = await projects.create(db, ada, "Move")
    await projects.choose(db, ada, one.id, [3, 1, 3])
    thread = await talk(db, ada)
    assert await db.reading(lambda session: projects.of_thread(session, ada, thread)) == projects.Given()
    await projects.put(db, ada, thread, one.id)
    assert await db.reading(lambda session: projects.of_thread(session, ada, thread)) == projects.Given(
        "Answer in one line.", frozenset({1, 3}), name="Audit 2026"
    )
    await projects.search_only(db, ada, one.id, True)
    assert (await db.reading(lambda session: projects.of_thread(session, ada, thread))).only
    await projects.choose(db, ada, one.id, [])
    assert not (await db.reading(lambda session: projects.of_thread(session, ada, thread))).only
    await projects.put(db, ada, thread, two.id)
    assert [(p.name, n) for p, n in await projects.list_of(db, ada)] == [("Audit 2026", 0), ("Move", 1)]
    await projects.change(db, ada, two.id, "Moving", "Be kind.")
    assert (await db.reading(lambda session: projects.of_thread(session, ada, thread))).instructions == "Be kind."
    await projects.delete(db, ada, two.id)
    assert await db.reading(lambda session: projects.of_thread(session, ada, thread)) == projects.Given()
    assert (await threads.of(db, ada, thread)).project_id is None


async def test_nobody_uses_a_project_or_a_talk_of_another(db: Database, ada: Asker, bob: Asker) -> None:
    mine = await projects.create(db, ada, "Mine", "secret")
    thread, other = await talk(db, ada), await talk(db, bob)
    for act in (
        projects.put(db, bob, thread, ""),
        projects.put(db, bob, other, mine.id),
        projects.change(db, bob, mine.id, "x", ""),
        projects.choose(db, bob, mine.id, [1]),
        projects.search_only(db, bob, mine.id, True),
        projects.delete(db, bob, mine.id),
    ):
        with pytest.raises(NotFoundError):
            await act
    await projects.put(db, ada, thread, mine.id)
    assert await db.reading(lambda session: projects.of_thread(session, bob, thread)) == projects.Given()
    assert await projects.list_of(db, bob) == []


async def test_there_are_limits_and_a_name_is_needed(db: Database, ada: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, instructions in (("", ""), ("  ", ""), ("x" * 81, ""), ("x", "y" * 1_001)):
        with pytest.raises(InputError):
            await projects.create(db, ada, name, instructions)
    monkeypatch.setattr(projects, "PROJECTS", 1)
    one = await projects.create(db, ada, "one")
    with pytest.raises(LimitError):
        await projects.create(db, ada, "two")
    with pytest.raises(LimitError):
        await projects.choose(db, ada, one.id, range(1, 32))
