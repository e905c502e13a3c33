"""When a source is due: by the words of cron, in UTC, or because something was pushed into it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cronsim import CronSim
from sqlalchemy import or_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import SourceRow
from assistant.domain import now
from assistant.index.sources.opening import location
from assistant.settings import Source

# What is pushed in so short a time is indexed together.
SOON = timedelta(seconds=2)
# A run that was started and never came to its source is started again after so long.
AGAIN = timedelta(minutes=5)


def following(words: str, after: datetime) -> datetime | None:
    """The first moment of a schedule after another; None where there is no schedule or it never comes."""
    return next(CronSim(words, after), None) if words else None


async def remember(session: AsyncSession, source: Source, home: Path, configured: bool = True) -> None:
    """Note a source as the settings have it, and when it is due next."""
    row = await session.get(SourceRow, source.name) or SourceRow(name=source.name, location="")
    row.kind, row.location, row.configured = source.kind, location(source, home), configured
    row.settings = source.model_dump(mode="json") if configured else {}
    row.next_run, row.updated_at = following(source.schedule, now()), now()
    session.add(row)


async def plan(db: Database, sources: Iterable[Source], home: Path) -> None:
    """Note the sources that are new, or whose schedule has changed."""
    async with db.read() as session:
        rows = {r.name: r for r in (await session.exec(select(SourceRow))).all()}
    new = [s for s in sources if s.name not in rows or rows[s.name].settings.get("schedule", "") != s.schedule]
    if new:
        async with db.write() as session:
            for source in new:
                await remember(session, source, home)


async def soon(db: Database, name: str) -> None:
    """Let a source be indexed in a moment, because it holds something new."""
    moment = now() + SOON
    async with db.write() as session:
        later = or_(col(SourceRow.next_run).is_(None), col(SourceRow.next_run) > moment)
        await session.exec(update(SourceRow).where(col(SourceRow.name) == name, later).values(next_run=moment))


async def take_due(db: Database, names: Iterable[str]) -> list[str]:
    """Of these sources those that are due. They are due again later, unless a run comes to them before."""
    moment = now()
    async with db.write() as session:
        due = col(SourceRow.next_run) <= moment
        rows = (await session.exec(select(SourceRow).where(due, col(SourceRow.name).in_(set(names))))).all()
        for row in rows:
            row.next_run = moment + AGAIN
            session.add(row)
    return sorted(r.name for r in rows)
