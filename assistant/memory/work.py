"""Long work that an answer waits for: kept in SQL, so that a reload, a restart and another process find it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, or_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import Message, Thread, WorkRow
from assistant.domain import Asker, now
from assistant.memory.threads import own

# Whoever works on it says so more often than this.
SILENT_S = 20
TRIES = 3
WAITING = 3


async def begin(
    db: Database, asker: Asker, thread_id: str, answer_id: str, tool: str, arguments: Mapping[str, Any], by: str,
    language: str,
) -> bool:  # fmt: skip
    """Let a tool's call be done as a job for an answer of one's own. False when too many of the asker's wait."""
    async with db.write() as session:
        await own(session, asker, thread_id, hold=True)
        mine = select(WorkRow).where(WorkRow.person_id == asker.person_id, col(WorkRow.finished_at).is_(None))
        if len((await session.exec(mine.limit(WAITING))).all()) >= WAITING:
            return False
        session.add(
            WorkRow(
                id=answer_id,
                thread_id=thread_id,
                person_id=asker.person_id,
                tool=tool,
                arguments={k: str(v) for k, v in arguments.items()},
                chosen_by=by,
                language=language,
            )
        )
    return True


async def claim(db: Database, owner: str) -> WorkRow | None:
    """The oldest that nobody works on, now the owner's; one whose process fell silent is taken up again."""
    silent = now() - timedelta(seconds=SILENT_S)
    free = or_(col(WorkRow.state) == "waiting", and_(col(WorkRow.state) == "running", col(WorkRow.beat_at) < silent))
    # The answer that announces it is stored first: what comes of it takes that answer's place.
    stored = select(WorkRow).join(Message, col(Message.id) == col(WorkRow.id)).where(Message.state != "streaming")
    statement = stored.where(free).order_by(col(WorkRow.created_at)).limit(1)
    async with db.read() as session:
        if (await session.exec(statement)).first() is None:
            return None  # the usual case takes no lock for writing
    async with db.write() as session:
        row: WorkRow | None = (await session.exec(statement.with_for_update(skip_locked=True, of=WorkRow))).first()
        if row is not None:
            row.state, row.owner, row.beat_at, row.tries = "running", owner, now(), row.tries + 1
            session.add(row)
    return row


async def note(db: Database, row_id: str, owner: str, done: int, total: int, kept: Mapping[str, str]) -> bool:
    """Note how far it is, and what is kept of it. False when it is no longer the owner's, or its talk was deleted.

    Whatever is kept anew ends the count of tries: only what brings its process down again and again is given up.
    """
    async with db.write() as session:
        row = await session.get(WorkRow, row_id, with_for_update=True)
        thread = await session.get(Thread, row.thread_id) if row else None
        if row is None or row.owner != owner or thread is None or thread.deleted_at is not None:
            return False
        if len(kept) > len(row.kept):
            row.tries = 1
        row.done, row.total, row.kept, row.beat_at = done, total, dict(kept), now()
        session.add(row)
    return True


async def finish(db: Database, row_id: str, owner: str, state: str) -> None:
    """It is over: `done` or `failed`. Nothing is kept of it but how it went."""
    async with db.write() as session:
        await session.exec(
            update(WorkRow)
            .where(col(WorkRow.id) == row_id, col(WorkRow.owner) == owner)
            .values(state=state, kept={}, finished_at=now())
        )


async def owners(session: AsyncSession) -> Sequence[str]:
    """The processes that work on something, or did until they were killed."""
    statement = select(WorkRow.owner).where(WorkRow.state == "running").distinct()
    return (await session.exec(statement)).all()


async def free(db: Database, gone: Collection[str]) -> int:
    """Let what these processes worked on be taken up by the next one at once. Returns how much that is."""
    if not gone:
        return 0
    async with db.write() as session:
        found = await session.exec(
            update(WorkRow)
            .where(col(WorkRow.state) == "running", col(WorkRow.owner).in_(gone))
            .values(state="waiting", owner="")
        )
    return int(found.rowcount)


async def of_answer(db: Database, asker: Asker, answer_id: str) -> WorkRow | None:
    """The work that an answer of one's own waits for, or waited for."""
    async with db.read() as session:
        row = await session.get(WorkRow, answer_id)
    return row if row is not None and row.person_id == asker.person_id else None
