"""What state the index is in, for the top of a page: who is answered from what, what waits, how far the run is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ActiveRelease, ReleaseChange, ReleaseReport, ReleaseRow, RunRow
from assistant.domain import now
from assistant.errors import NotFoundError
from assistant.index import release
from assistant.ops import runs

SHOWN_RELEASES = 25


@dataclass(frozen=True)
class State:
    """Which release people are answered from, which one waits for an admin, and what the gate found of that one."""

    release: int | None
    documents: int
    passages: int
    since: datetime | None
    by: str
    held: ReleaseRow | None
    report: dict[str, Any] | None


@dataclass(frozen=True)
class Run:
    """The newest run. `running` is whether its process still speaks; `rate` is in documents a second."""

    row: RunRow | None
    running: bool
    share: int
    left_s: int | None
    rate: float | None

    @property
    def abandoned(self) -> bool:
        return self.row is not None and self.row.state == "running" and not self.running


@dataclass(frozen=True)
class Seen:
    """A release with what the gate found of it, and what accepting it would do to the documents."""

    row: ReleaseRow
    report: dict[str, Any] | None
    against: int | None
    changes: Counter[str]


async def state(db: Database) -> State:
    async with db.read() as session:
        active = await session.get(ActiveRelease, 1)
        row = await session.get(ReleaseRow, active.release_id) if active and active.release_id else None
        held = await release.held(session)
        found = await session.get(ReleaseReport, held.id) if held is not None else None
    report = found.body if found else None
    if active is None or row is None:
        return State(None, 0, 0, None, "", held, report)
    since = row.activated_at or active.updated_at
    return State(row.id, row.documents, row.passages, since, active.activated_by, held, report)


async def run_view(db: Database) -> Run:
    row = await runs.latest_run(db)
    speaking = runs.is_running(row)
    running = speaking or runs.is_starting()
    if row and running and not speaking:
        row = None  # the run before; the new one has not said anything yet
    share = min(100, round(100 * row.done / row.total)) if row and row.total else 0
    left = rate = None
    if row and running and 0 < row.done < row.total:
        took = max(0.1, (now() - row.started_at).total_seconds())
        rate = row.done / took
        left = max(1, round((row.total - row.done) / rate))
    return Run(row, running, share, left, rate)


async def releases(db: Database) -> list[ReleaseRow]:
    """The releases that are kept, held, under construction or damaged, the newest first."""
    statement = select(ReleaseRow).where(ReleaseRow.state != "dropped").order_by(col(ReleaseRow.id).desc())
    async with db.read() as session:
        return list((await session.exec(statement.limit(SHOWN_RELEASES))).all())


async def seen(db: Database, release_id: int) -> Seen:
    """A release whole. Raises `NotFoundError`."""
    async with db.read() as session:
        row = await session.get(ReleaseRow, release_id)
        report = await session.get(ReleaseReport, release_id)
        bodies = (await session.exec(select(ReleaseChange.body).where(ReleaseChange.release_id == release_id))).all()
    if row is None:
        raise NotFoundError("There is no such release.", "Go back to the list.")
    # A document that is read anew keeps its state: what is not told did not change.
    changes = Counter(str(b.get("state", "read_again")) for b in bodies)
    return Seen(row, report.body if report else None, report.against_id if report else None, changes)
