"""What runs by itself: one process of the installation holds a lease in SQL and does it for all.

Every process also holds a lease of its own while it lives, so that others can tell a cut answer from a running one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import LeaseRow, Message
from assistant.domain import now
from assistant.errors import AssistantError
from assistant.memory import threads, work

log = logging.getLogger(__name__)
LEASE_S = 30.0
BEAT_S = 8.0
# Clocks of machines that share a database may differ by less.
KEPT = timedelta(hours=1)
RUNNER = "jobs"
_PROCESS = "process:"


@dataclass(frozen=True)
class Job:
    """Something to do again and again, by whoever holds the lease."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]


async def take(db: Database, name: str, owner: str, seconds: float = LEASE_S) -> bool:
    """Take a lease, or renew one's own. False while another owner holds it."""
    moment = now()
    async with db.write() as session:
        await insert_new(session, LeaseRow(name=name, owner=owner, until=moment))
        row = await session.get(LeaseRow, name, with_for_update=True)
        # Of a process of this machine that was killed nobody waits until its lease runs out.
        if row is None or (row.owner != owner and row.until > moment and _runs(row.owner, True)):
            return False
        row.owner, row.until = owner, moment + timedelta(seconds=seconds)
        session.add(row)
    return True


async def give_back(db: Database, owner: str) -> None:
    """End the leases of a process that stops, so that another need not wait for them."""
    async with db.write() as session:
        await session.exec(delete(LeaseRow).where(col(LeaseRow.owner) == owner))


async def forget_ended(db: Database) -> int:
    """Forget the leases that processes which were killed left behind, long after they ran out. Returns how many."""
    async with db.write() as session:
        ended = await session.exec(delete(LeaseRow).where(col(LeaseRow.until) < now() - KEPT))
        return int(ended.rowcount)


async def mark_cut_answers(db: Database, us: str) -> int:
    """Mark the answers whose process is gone as interrupted; `us` names this one. Returns how many."""
    async with db.read() as session:
        owners = (await session.exec(select(Message.owner).where(Message.state == "streaming").distinct())).all()
        alive = {us} | await _living(session, owners)
    # The usual case takes no lock for writing.
    return 0 if alive.issuperset(owners) else await threads.mark_interrupted(db, alive)


async def free_left_work(db: Database, us: str) -> int:
    """Let the long work of processes that are gone be taken up at once; `us` names this one. Returns how much."""
    async with db.read() as session:
        owners = await work.owners(session)
        living = await _living(session, owners)
    return await work.free(db, {o for o in owners if o != us} - living)


async def _living(session: AsyncSession, owners: Sequence[str]) -> set[str]:
    """Those of the processes that are still there."""
    names = [f"{_PROCESS}{o}" for o in owners]
    living = select(LeaseRow.owner).where(col(LeaseRow.name).in_(names), LeaseRow.until > now())
    leased = set((await session.exec(living)).all())
    return {o for o in owners if _runs(o, o in leased)}


def _runs(owner: str, leased: bool) -> bool:
    """Whether another process that streams an answer is there: on this machine we see it, elsewhere its lease tells."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return leased
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def run(db: Database, owner: str, jobs: Sequence[Job]) -> None:
    """Hold the leases and do the jobs for as long as the process runs; cancel to end."""
    ours = asyncio.Event()
    loops = [asyncio.create_task(_again(job, ours), name=f"job {job.name}") for job in jobs]
    failing = ""
    try:
        while True:
            failing = await _guarded(lambda: _beat(db, owner, ours), "leases", failing)
            await asyncio.sleep(BEAT_S)
    finally:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        # Where the database is gone they run out by themselves.
        with contextlib.suppress(AssistantError):
            await asyncio.shield(give_back(db, owner))


async def _beat(db: Database, owner: str, ours: asyncio.Event) -> None:
    await take(db, f"{_PROCESS}{owner}", owner)
    if await take(db, RUNNER, owner):
        ours.set()
    else:
        ours.clear()


async def _again(job: Job, ours: asyncio.Event) -> None:
    failing = ""
    while True:
        await ours.wait()
        failing = await _guarded(job.work, job.name, failing)
        await asyncio.sleep(job.every_s)


async def _guarded(work: Callable[[], Awaitable[object]], name: str, failing: str) -> str:
    """Do a job. Returns why it failed, which is logged once: what is down for a night would fill the log.

    `failing` is why it failed the last time, empty where it did not.
    """
    try:
        await work()
    except AssistantError as error:
        why = f"{error} ({' '.join(str(error.__cause__).split())[:200]})" if error.__cause__ else str(error)
        if why != failing:
            log.error("the job %s failed and is tried again: %s", name, why)
        return why
    except Exception as error:
        # The edge of what runs by itself: it must outlive a bad moment of the database.
        why = f"{type(error).__name__}: {error}"
        if why != failing:
            log.exception("the job %s failed; it goes on", name)
        return why
    if failing:
        log.warning("the job %s works again", name)
    return ""
