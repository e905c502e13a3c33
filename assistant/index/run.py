"""A run as it goes: what it works with, that it is alone, how far it is, what it still has to read, what it reports."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, RunRow
from assistant.domain import Attempt, Progress, now
from assistant.errors import BusyError
from assistant.index import release
from assistant.index.page import Parsed
from assistant.index.rerank import Reader
from assistant.index.sources.origin import Found, Origin
from assistant.index.store import Store
from assistant.index.told import tell
from assistant.settings import IndexSettings, Source

# Seconds between two words of a run about how far it is.
BEAT_S = 0.5


@dataclass
class Report:
    """What a run did, as the command prints it. `problems` names sources that could not be listed."""

    release: int | None = None
    held: str = ""
    documents: int = 0
    passages: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    renamed: int = 0
    unchanged: int = 0
    embedded: int = 0
    duplicates: int = 0
    contradictions: int = 0
    empty: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Parts:
    """What a run works with. `lock` is a file that only one run holds; `calls` collects the embedder's ledger.

    `check` is the gate: without one, only the loss of too many documents keeps a release from going live. `home` is
    the folder in which sources keep what they fetch. `alerts` are the channels that hear of a run that fails.
    """

    db: Database
    store: Store
    embedder: Reader
    settings: IndexSettings
    lock: Path
    calls: list[Attempt]
    check: release.Check | None = None
    alerts: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        return self.lock.parent / "sources"

    @property
    def file_bytes(self) -> int:
        return self.settings.max_file_mb * 1_000_000


@dataclass(frozen=True)
class Ways:
    """How a run was asked for; see `ingest.sync`."""

    drop_others: bool
    configured: bool
    allow_removals: bool
    retry_failed: bool
    whole: bool


@dataclass
class Work:
    """One document that has to be read.

    `sha256` is the fingerprint of its bytes, empty where they have yet to be read; `facts` is what its row is to say of
    the file once the run ends well; `found` is the file as it was listed, unless it was not. `was` is the name it had
    before, if it has another one now.
    """

    row: DocumentRow
    source: Source
    origin: Origin
    sha256: str
    facts: dict[str, Any] = field(default_factory=dict)
    found: Found | None = None
    was: str = ""


# A document that was read, and how many passages it gives.
Read = tuple[Work, Parsed, int]
# A file that gives no passages: its document, what is to be noted of the file, and why; empty where it holds no text.
Failed = tuple[DocumentRow, dict[str, Any], str]


@contextlib.asynccontextmanager
async def alone(parts: Parts, started_by: str) -> AsyncIterator[RunRow]:
    """Hold the installation's one run, and note it. Raises `BusyError` that names who holds it.

    Runs that are still noted as running were left by a process that is gone: they are over from now on.
    """
    parts.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(parts.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        async with parts.db.read() as session:
            held = (await session.exec(select(RunRow).where(RunRow.state == "running"))).first()
        who = f", started by {held.started_by}" if held else ""
        raise BusyError(f"An indexing run is under way{who}.", "Wait for it to end.") from error
    try:
        async with parts.db.write() as session:
            # The lock is ours, so whoever left these running is gone.
            for left in (await session.exec(select(RunRow).where(RunRow.state == "running"))).all():
                left.state, left.finished_at = "abandoned", now()
                session.add(left)
                tell(session, parts.alerts, "run failed", f"Indexing run {left.id} ended without a word.")
            run = RunRow(started_by=started_by, host=socket.gethostname(), pid=os.getpid())
            session.add(run)
        yield run
    finally:
        lock.release()


class Beat:
    """Tells how far the run is: at once to whoever started it, every `BEAT_S` seconds to the run's row.

    A run that fails, or finds a source newly unreadable, is told to the channels in the transaction that notes it;
    `unreadable` holds a sentence for each such source.
    """

    def __init__(self, parts: Parts, run: RunRow, progress: Progress | None) -> None:
        self._db, self._channels, self._run, self._progress = parts.db, parts.alerts, run, progress
        self.unreadable: list[str] = []
        self._last = 0.0

    async def __call__(self, done: int, total: int, message: str) -> None:
        """Tell that `done` of `total` files are through; both are 0 while nobody knows how many there are."""
        if self._progress:
            self._progress(done, total, message)
        if time.monotonic() - self._last > BEAT_S:
            self._last = time.monotonic()
            await self._set(done=done, total=total, message=message, beat_at=now())

    async def end(self, state: str, message: str, report: Report | None) -> None:
        """Note that the run is over: `done` with its report, or `failed` with a message that says why."""
        values: dict[str, Any] = {"state": state, "message": message, "finished_at": now()}
        if report is not None:
            values |= {"report": asdict(report), "release_id": report.release}
        async with self._db.write() as session:
            await session.exec(update(RunRow).where(col(RunRow.id) == self._run.id).values(**values))
            if state == "failed":
                tell(session, self._channels, "run failed", f"Indexing run {self._run.id} failed: {message}")
            elif self.unreadable:
                tell(session, self._channels, "source unreadable", " ".join(self.unreadable))

    async def _set(self, **values: Any) -> None:
        async with self._db.write() as session:
            await session.exec(update(RunRow).where(col(RunRow.id) == self._run.id).values(**values))


async def as_it_is(session: AsyncSession, row: DocumentRow) -> DocumentRow:
    """The document as SQL has it now: its rule may have changed since the run began, and must not be put back."""
    known = await session.get(DocumentRow, row.id) if row.id is not None else None
    return known if known is not None else await session.merge(row)
