"""Long work is left to a job: the answer says so, shows how far it is, and becomes the result, come what may."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import update

from assistant.chat import lookups, work
from assistant.chat.replay import ReplayEngine
from assistant.chat.services import Services
from assistant.database.tables import WorkRow
from assistant.domain import Answer, now
from assistant.memory import people, threads
from assistant.memory import work as kept
from tests.chat.conftest import Provider
from tests.chat.test_engine import Office, db, in_process, index, migrated_file, office
from tests.chat.test_tools import POLICIES, able

__all__ = ["db", "in_process", "index", "migrated_file", "office"]
LONG = {
    f"rules/{n}.md": f"# Rule {n}\n\nRule {n} says that the door has {n} locks. Doors are closed at night.\n"
    for n in range(5)
}


@pytest.fixture
async def house(office: Office) -> Office:
    await office.index.sync({**POLICIES, **LONG})
    return office


async def begun(house: Office, services: Services, question: str = "Summarise the folder rules") -> Answer:
    answer, _ = await house.ask(services, question, thread=str(uuid4()))
    assert answer.text.startswith("This takes a while.")
    assert [t.outcome for t in answer.receipt.tools] == ["started"]
    return answer


async def told(house: Office, answer: Answer) -> str:
    opened = await threads.reopen(house.index.db, house.ada, answer.thread)
    return opened.messages[-1].text


async def test_the_result_takes_the_place_of_the_answer_that_announced_it(house: Office) -> None:
    services = house.services()
    answer = await begun(house, services)
    assert await work.run_next(services)
    text = await told(house, answer)
    assert text.startswith("What 5 documents of this folder are about:")
    assert "Rule 3 says that the door has 3 locks. [" in text
    receipt = await threads.receipt(house.index.db, house.ada, answer.id)
    assert [(t.name, t.outcome) for t in receipt.tools] == [("summarise_folder", "ok")]
    assert {p.document for p in receipt.passages if p.cited} == set(LONG)
    assert all(c.verdict != "unsupported" for c in receipt.verification)
    row = await kept.of_answer(house.index.db, house.ada, answer.id)
    assert row is not None
    assert (row.state, row.done, row.total, row.kept) == ("done", 5, 5, {})
    assert not await work.run_next(services)


async def test_a_small_model_writes_the_summaries_and_they_are_paid_for(house: Office, provider: Provider) -> None:
    provider.picks = lambda _: [("summarise_folder", {"folder": "rules"})]
    provider.reply = "It is about locks [1]."
    services = house.services(able(provider))
    answer = await begun(house, services)
    await work.run_next(services)
    assert "[Rule 3](/documents/" in await told(house, answer)
    receipt = await threads.receipt(house.index.db, house.ada, answer.id)
    assert [a.feature for a in receipt.attempts] == ["folder"] * 5
    assert receipt.tools[0].by == "model"


async def test_long_documents_are_compared_as_a_job(house: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LONG", 1)
    services = house.services()
    answer = await begun(house, services, "Compare the travel policy 2023 with the travel policy 2026")
    await work.run_next(services)
    assert "150 euros a night. [2]" in await told(house, answer)


async def test_a_job_whose_process_died_is_taken_up_where_it_was(
    house: Office, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.picks = lambda _: [("summarise_folder", {"folder": "rules"})]
    provider.reply = "It is about locks [1]."
    services = house.services(able(provider))
    answer = await begun(house, services)
    provider.requests.clear()
    monkeypatch.setattr(work, "NOTED_EVERY_S", 0.02)
    provider.pause_s = 0.05
    running = asyncio.create_task(work.run_next(services))
    while len(provider.requests) < 4:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    running.cancel()  # as a kill would leave it
    await asyncio.wait([running])
    row = await kept.of_answer(house.index.db, house.ada, answer.id)
    assert row is not None
    assert (row.state, row.total) == ("running", 5)
    assert row.done >= 2
    next_one = replace(services, owner="next")
    assert not await work.run_next(next_one)  # its process may still live
    async with house.index.db.write() as session:
        await session.exec(update(WorkRow).values(beat_at=now() - timedelta(seconds=60)))
    before = len(provider.requests)
    assert await work.run_next(next_one)
    assert len(provider.requests) - before <= 5 - row.done
    assert (await told(house, answer)).count("It is about locks") == 5


async def test_it_is_done_under_the_rights_of_that_moment(house: Office) -> None:
    services = house.services()
    answer, _ = await house.ask(services, "Summarise the folder finance", who=house.fin, thread="t-fin")
    assert answer.receipt.tools[0].outcome == "started"
    await people.set_groups(house.index.db, "fin@example.test", [])
    await work.run_next(services)
    opened = await threads.reopen(house.index.db, house.fin, "t-fin")
    assert opened.messages[-1].state == "failed"
    assert "dollars" not in opened.messages[-1].text


async def test_what_cannot_be_done_says_so_and_a_deleted_talk_is_left_alone(house: Office) -> None:
    services = house.services()
    answer = await begun(house, services)
    async with house.index.db.write() as session:
        await session.exec(update(WorkRow).values(tries=kept.TRIES))
    await work.run_next(services)
    assert await told(house, answer) == "This could not be done. Ask again in a moment."
    gone = await begun(house, services)
    await threads.delete(house.index.db, house.ada, gone.thread)
    await work.run_next(services)
    await threads.restore(house.index.db, house.ada, gone.thread)
    assert (await told(house, gone)).startswith("This takes a while.")


async def test_of_one_person_only_some_wait_and_a_replay_waits_itself(house: Office) -> None:
    services = house.services()
    for _ in range(kept.WAITING):
        answer = await begun(house, services)
    more, _ = await house.ask(services, "Summarise the folder rules")
    assert more.text.startswith("What 5 documents")
    await work.run_next(services)
    past = await threads.answered(house.index.db, answer.id)
    engine = ReplayEngine(services, house.ada, past.thread_id)
    async for _ in engine.turn(past.question, past.question_id, str(uuid4())):
        pass
    assert engine.answer is not None
    assert engine.answer.text.startswith("What 5 documents")


async def test_nobody_else_sees_how_far_it_is(house: Office) -> None:
    answer = await begun(house, house.services())
    assert await kept.of_answer(house.index.db, house.fin, answer.id) is None


async def test_only_work_that_keeps_nothing_anew_is_given_up(house: Office) -> None:
    services = house.services()
    answer = await begun(house, services)
    db = house.index.db
    for _ in range(2 * kept.TRIES):
        row = await kept.claim(db, "one")
        assert row is not None
        assert row.tries <= 2
        done = len(row.kept) + 1
        assert await kept.note(db, answer.id, "one", done, 9, {str(n): "x" for n in range(done)})
        assert await kept.free(db, {"one"}) == 1
    for tries in range(2, kept.TRIES + 2):
        row = await kept.claim(db, "one")
        assert row is not None
        assert row.tries == tries
        await kept.note(db, answer.id, "one", row.done + 1, 9, row.kept)  # far, and nothing of it kept
        assert await kept.free(db, {"two"}) == 0
        await kept.free(db, {"one"})
