"""What the Knowledge page shows, read from SQL page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ActiveRelease, DocumentRow, ReleaseRow, RunRow
from assistant.domain import now
from assistant.web import reindex

PAGE = 25
SHOWN_RELEASES = 8
# Problems first: they are what an admin comes for.
STATES = ("failed", "empty", "pending", "indexed")


@dataclass(frozen=True)
class State:
    """Which release people are answered from."""

    release: int | None
    documents: int
    passages: int
    since: datetime | None
    by: str


@dataclass(frozen=True)
class Run:
    """The newest run; `running` is whether its process still speaks."""

    row: RunRow | None
    running: bool
    share: int
    left_s: int | None

    @property
    def abandoned(self) -> bool:
        return self.row is not None and self.row.state == "running" and not self.running


@dataclass(frozen=True)
class Documents:
    rows: list[DocumentRow]
    after: str
    q: str
    state: str
    first: bool


async def state(db: Database) -> State:
    async with db.read() as session:
        active = await session.get(ActiveRelease, 1)
        release = await session.get(ReleaseRow, active.release_id) if active and active.release_id else None
    if active is None or release is None:
        return State(None, 0, 0, None, "")
    return State(
        release.id, release.documents, release.passages, release.activated_at or active.updated_at, active.activated_by
    )


async def run_view(db: Database) -> Run:
    row = await reindex.latest_run(db)
    speaking = reindex.is_running(row)
    running = speaking or reindex.is_starting()
    if row and running and not speaking:
        row = None  # the run before; the new one has not said anything yet
    share = min(100, round(100 * row.done / row.total)) if row and row.total else 0
    left = None
    if row and running and 0 < row.done < row.total:
        took = (now() - row.started_at).total_seconds()
        left = max(1, round(took / row.done * (row.total - row.done)))
    return Run(row, running, share, left)


async def releases(db: Database) -> list[ReleaseRow]:
    async with db.read() as session:
        statement = (
            select(ReleaseRow)
            .where(ReleaseRow.state != "dropped")
            .order_by(col(ReleaseRow.id).desc())
            .limit(SHOWN_RELEASES)
        )
        return list((await session.exec(statement)).all())


async def counts(db: Database) -> dict[str, int]:
    """How many documents there are in each state."""
    async with db.read() as session:
        rows = await session.exec(select(DocumentRow.state, func.count()).group_by(col(DocumentRow.state)))
        found = dict(rows.all())
    return {s: int(found.get(s, 0)) for s in STATES}


async def documents(db: Database, q: str = "", state_: str = "", after: str = "") -> Documents:
    """A page of documents, by path, after the last one seen; searched in title, path and reason."""
    statement = select(DocumentRow).where(col(DocumentRow.state).in_(STATES))
    if state_ in STATES:
        statement = statement.where(DocumentRow.state == state_)
    if q:
        statement = statement.where(
            col(DocumentRow.title).icontains(q, autoescape=True)
            | col(DocumentRow.path).icontains(q, autoescape=True)
            | col(DocumentRow.reason).icontains(q, autoescape=True)
        )
    if after:
        statement = statement.where(col(DocumentRow.path) > after)
    statement = statement.order_by(col(DocumentRow.path)).limit(PAGE + 1)
    async with db.read() as session:
        rows = list((await session.exec(statement)).all())
    return Documents(rows[:PAGE], rows[PAGE - 1].path if len(rows) > PAGE else "", q, state_, not after)
