"""What runs by itself runs once in an installation, outlives a bad moment, and tells cut answers from running ones."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import LeaseRow, Message, Thread, WorkRow
from assistant.domain import Asker, now
from assistant.errors import BusyError, UnreachableError
from assistant.memory import threads
from assistant.ops import jobs
from tests.ops.conftest import answered


async def streaming(db: Database, asker: Asker, owner: str) -> str:
    thread, question, answer = str(uuid4()), str(uuid4()), str(uuid4())
    await threads.open_turn(db, asker, thread, question, "How many days?", answer_id=answer, owner=owner)
    return answer


async def state(db: Database, answer: str) -> str:
    async with db.read() as session:
        return (await session.exec(select(Message.state).where(Message.id == answer))).one()


async def expire(db: Database, name: str) -> None:
    async with db.write() as session:
        await session.exec(update(LeaseRow).where(LeaseRow.name == name).values(until=now() - timedelta(seconds=1)))


async def test_of_twenty_who_ask_at_once_one_gets_the_lease(db: Database) -> None:
    got = await asyncio.gather(*(jobs.take(db, "jobs", f"host:{n}") for n in range(20)))
    assert sum(got) == 1


async def test_a_lease_is_renewed_by_its_owner_and_taken_over_when_it_runs_out(db: Database) -> None:
    assert await jobs.take(db, "jobs", "a")
    assert await jobs.take(db, "jobs", "a")
    assert not await jobs.take(db, "jobs", "b")
    await expire(db, "jobs")
    assert await jobs.take(db, "jobs", "b")
    assert not await jobs.take(db, "jobs", "a")


async def test_jobs_run_in_one_process_and_in_the_next_when_it_stops(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.05)
    ran: list[str] = []
    changed = asyncio.Event()

    def job(name: str) -> jobs.Job:
        async def work() -> None:
            ran.append(name)
            changed.set()

        return jobs.Job("count", 0.01, work)

    first = asyncio.create_task(jobs.run(db, "first", [job("first")]))
    await asyncio.wait_for(changed.wait(), 10)
    second = asyncio.create_task(jobs.run(db, "second", [job("second")]))
    await asyncio.sleep(0.3)
    assert set(ran) == {"first"}
    first.cancel()
    await asyncio.wait([first])
    ran.clear()
    changed.clear()
    await asyncio.wait_for(changed.wait(), 10)
    second.cancel()
    await asyncio.wait([second])
    assert set(ran) == {"second"}


async def test_a_job_that_fails_is_done_again(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            enough.set()
        raise OSError("a bad moment")

    running = asyncio.create_task(jobs.run(db, "a", [jobs.Job("moody", 0.01, work)]))
    await asyncio.wait_for(enough.wait(), 10)
    running.cancel()
    await asyncio.wait([running])
    assert "moody" in caplog.text


async def test_what_is_down_for_a_night_is_logged_once_and_so_is_its_end(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise UnreachableError("The database does not answer.") from OSError("connection\nrefused")
        enough.set()
        await asyncio.sleep(60 * (tries > 6))

    running = asyncio.create_task(jobs.run(db, "a", [jobs.Job("patient", 0.001, work)]))
    await asyncio.wait_for(enough.wait(), 10)
    while tries < 7:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert [r.getMessage() for r in caplog.records if "patient" in r.getMessage()] == [
        "the job patient failed and is tried again: The database does not answer. (connection refused)",
        "the job patient works again",
    ]


async def test_a_database_that_is_busy_at_the_start_only_delays_the_jobs(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, busy, done = jobs.take, [True], asyncio.Event()

    async def taken(*lease: Any) -> bool:
        if busy:
            busy.clear()
            raise BusyError("The database is in use.")
        return await take(*lease)

    async def work() -> None:
        done.set()

    monkeypatch.setattr(jobs, "take", taken)
    monkeypatch.setattr(jobs, "BEAT_S", 0.01)
    running = asyncio.create_task(jobs.run(db, "a", [jobs.Job("patient", 0.01, work)]))
    await asyncio.wait_for(done.wait(), 20)
    running.cancel()
    await asyncio.wait([running])


async def test_an_answer_of_another_machine_is_marked_as_cut_when_its_lease_runs_out(db: Database, ada: Asker) -> None:
    owner = "elsewhere:4711:ab"
    answer = await streaming(db, ada, owner)
    await jobs.take(db, f"process:{owner}", owner)
    assert await jobs.mark_cut_answers(db, "us") == 0
    await expire(db, f"process:{owner}")
    assert await jobs.mark_cut_answers(db, "us") == 1
    assert await state(db, answer) == "interrupted"


async def test_on_this_machine_a_cut_answer_is_known_at_once(db: Database, ada: Asker) -> None:
    host, us = socket.gethostname(), f"{socket.gethostname()}:{os.getpid()}:now"
    ours = await streaming(db, ada, us)
    neighbour = await streaming(db, ada, f"{host}:{os.getppid()}:x")
    namesake = await streaming(db, ada, f"{host}:{os.getpid()}:before")
    gone = await streaming(db, ada, f"{host}:999999999:x")
    await jobs.take(db, f"process:{host}:999999999:x", f"{host}:999999999:x")
    assert await jobs.mark_cut_answers(db, us) == 2
    assert [await state(db, a) for a in (ours, neighbour, namesake, gone)] == [
        "streaming", "streaming", "interrupted", "interrupted",
    ]  # fmt: skip


async def test_threads_leave_when_their_time_is_over_and_younger_ones_stay(db: Database, ada: Asker) -> None:
    old = [(await answered(db, ada)).thread for _ in range(3)]
    young = (await answered(db, ada)).thread
    async with db.write() as session:
        moment = now() - timedelta(days=31)
        await session.exec(update(Thread).where(Thread.id.in_(old)).values(updated_at=moment))  # type: ignore[attr-defined]
    assert await threads.forget_old(db, 30) == 3
    assert [t.id for t in await threads.list_of(db, ada)] == [young]


async def test_a_killed_neighbours_lease_and_work_are_taken_up_at_once(db: Database, ada: Asker) -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    dead, other = f"{socket.gethostname()}:{ended.pid}:aa", "elsewhere:1:bb"
    for owner in (dead, other):
        assert await jobs.take(db, f"lease of {owner}", owner)
        answer = await answered(db, ada)
        async with db.write() as session:
            row = WorkRow(id=answer.id, thread_id=answer.thread, person_id=ada.person_id, tool="x")
            row.state, row.owner = "running", owner
            session.add(row)
    await jobs.take(db, f"process:{other}", other)
    assert await jobs.take(db, f"lease of {dead}", "us")
    assert not await jobs.take(db, f"lease of {other}", "us")
    assert await jobs.free_left_work(db, "us") == 1
    async with db.read() as session:
        found = dict((await session.exec(select(WorkRow.owner, WorkRow.state))).all())
    assert found == {"": "waiting", other: "running"}


async def test_leases_of_killed_processes_are_forgotten_and_those_in_force_stay(db: Database) -> None:
    for owner in ("elsewhere:1", "elsewhere:2", "elsewhere:3"):
        assert await jobs.take(db, f"process:{owner}", owner)
    await expire(db, "process:elsewhere:2")
    async with db.write() as session:
        long_ago = update(LeaseRow).where(LeaseRow.name == "process:elsewhere:1")
        await session.exec(long_ago.values(until=now() - timedelta(days=1)))
    assert await jobs.forget_ended(db) == 1
    async with db.read() as session:
        left = set((await session.exec(select(LeaseRow.owner))).all())
    assert left == {"elsewhere:2", "elsewhere:3"}
