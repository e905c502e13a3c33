"""A run: what is new or changed is parsed, split, embedded and stored aside; then all of it goes live at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import delete, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import (
    AuditRow,
    DocumentRow,
    ReleaseChange,
    ReleaseReport,
    ReleaseRow,
    RunRow,
    SourceRow,
    UsageRow,
)
from assistant.domain import Attempt, Progress, now
from assistant.errors import AssistantError, BusyError, FullError, InputError, ParseError, ReleaseError
from assistant.index import access, compact, disputed, duplicates, parse, release, renames, split
from assistant.index.page import Parsed
from assistant.index.parsers import picture
from assistant.index.rerank import Reader
from assistant.index.schedule import remember
from assistant.index.sources.opening import location, opened, remembered
from assistant.index.sources.origin import Found, Origin, fingerprint
from assistant.index.split import Chunk
from assistant.index.store import Store, Table
from assistant.index.told import tell
from assistant.index.workers import Workers
from assistant.settings import IndexSettings, Source

log = logging.getLogger(__name__)
# Documents that are read before their turn comes, so that parsing goes on while others are embedded.
AHEAD = 32
# Passages embedded and stored together, and how many such lots are in the embedder's hands at once. In the built-in
# model's each passage holds the states of all its word pieces, up to 400 kB.
EMBEDDED_TOGETHER = 256
LOTS = 2
BEAT_S = 0.5
# Documents whose rights change in one transaction: people's own writes wait for it.
TOGETHER = 100
READ_TOGETHER = 500
# Fewer documents may leave a source at once without anybody being asked.
FEW = 20
# Documents whose passages may be in the newest release.
_STORED = frozenset({"indexed", access.LEAVING})
# How LanceDB, SQLite and Postgres word it that there is no room left, or no more than a quota.
_FULL = ("no space left", "os error 28", "file too large", "os error 27", "os error 122", "disk is full", "disk full")


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


@dataclass
class _Work:
    """One document that has to be read. `was` is the name it had before, if it has another one now."""

    row: DocumentRow
    source: Source
    origin: Origin
    sha256: str
    facts: dict[str, Any] = field(default_factory=dict)
    found: Found | None = None
    was: str = ""


@dataclass(frozen=True)
class _Outcome:
    """What a run found: its release, and what becomes of the documents."""

    made: ReleaseRow
    read: Sequence[tuple[_Work, Parsed, int]]
    gone: Sequence[DocumentRow]
    moved: Sequence[tuple[int, int]]
    failed: Sequence[tuple[DocumentRow, dict[str, Any], str]]


@dataclass(frozen=True)
class _Ways:
    """How a run was asked for; see `sync`."""

    drop_others: bool
    configured: bool
    allow_removals: bool
    retry_failed: bool
    whole: bool


def made_by(embedder: Reader, settings: IndexSettings) -> tuple[str, str, str]:
    """Names what passages depend on besides the bytes: embedder, splitter, parser."""
    return (
        embedder.fingerprint,
        f"{split.FINGERPRINT}-{settings.passage_words}-{settings.overlap_words}",
        parse.FINGERPRINT,
    )


@contextlib.asynccontextmanager
async def _alone(parts: Parts, started_by: str) -> AsyncIterator[RunRow]:
    """Hold the installation's one run. Raises `BusyError` that names who holds it."""
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


async def sync(
    parts: Parts,
    wanted: Sequence[Source],
    *,
    drop_others: bool = False,
    configured: bool = True,
    started_by: str = "",
    progress: Progress | None = None,
    allow_removals: bool = False,
    retry_failed: bool = False,
    whole: bool = True,
) -> Report:
    """Bring the index to what the sources hold, and activate it when it is whole and passes the gate.

    Documents of sources that are not in `wanted` stay, unless `drop_others`; those of one that cannot be listed stay
    anyway. Raises `BusyError` while another run holds the lock, `ReleaseError` when the disk is full; a file that
    cannot be read is listed in the report and stops nothing. Until the run ends well, people are answered from the
    release before it; a release that is worse, or that lost most of a source unless `allow_removals`, waits for an
    admin, and the report says why it is `held`. `retry_failed` reads again what failed before, although its bytes are
    the same. `whole` says that `wanted` are all the configured sources: only then does finding nothing new tell that
    what is held is out of date.
    """
    began = time.monotonic()
    async with _alone(parts, started_by) as run:
        beat = _Beat(parts, run, progress)
        try:
            ways = _Ways(drop_others, configured, allow_removals, retry_failed, whole)
            report = await _run(parts, wanted, ways, beat)
        except BaseException as error:
            full = _disk_is_full(error)
            told = error.problem if isinstance(error, AssistantError) else type(error).__name__
            # The database may be on the disk that is full: then the next run notes that this one is over.
            with contextlib.suppress(SQLAlchemyError, AssistantError):
                await asyncio.shield(beat.end("failed", full.problem if full else told, None))
            if full:
                raise full from error
            raise
        report.seconds = round(time.monotonic() - began, 2)
        await beat.end("done", report.held, report)
        return report


def _disk_is_full(error: BaseException) -> ReleaseError | None:
    told = "" if isinstance(error, AssistantError) else str(error).lower()
    full = isinstance(error, FullError) or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if full or any(s in told for s in _FULL):
        return ReleaseError(
            "There is no room on the disk for the index; the release before it goes on serving.",
            "Free some space and run `assistant index sync` again.",
        )
    return None


class _Beat:
    """Tells how far the run is: at once to whoever started it, now and then to the run's row.

    A run that fails, or finds a source newly unreadable, is told to the channels in the transaction that notes it.
    """

    def __init__(self, parts: Parts, run: RunRow, progress: Progress | None) -> None:
        self._db, self._channels, self._run, self._progress = parts.db, parts.alerts, run, progress
        self.unreadable: list[str] = []
        self._last = 0.0

    async def __call__(self, done: int, total: int, message: str) -> None:
        if self._progress:
            self._progress(done, total, message)
        if time.monotonic() - self._last > BEAT_S:
            self._last = time.monotonic()
            await self._set(done=done, total=total, message=message, beat_at=now())

    async def end(self, state: str, message: str, report: Report | None) -> None:
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


async def _run(parts: Parts, wanted: Sequence[Source], ways: _Ways, beat: _Beat) -> Report:
    report = Report()
    prints = made_by(parts.embedder, parts.settings)
    print_ = "|".join(prints)
    rules, current = await _noted(parts, wanted, ways)
    listed = await _listed(parts, wanted, report, beat)
    # What of the sources could be listed; the others stay as they are.
    names = {source.name for source, _, _ in listed}
    async with parts.db.read() as session:
        known = {(d.source, d.path): d for d in (await session.exec(select(DocumentRow))).all()}

    if current is not None and not await _is_whole(parts.store, current):
        # Building on what is damaged would make the damage the next release: everything is built anew.
        current = None
    fresh_table = current is None or not await _goes_on(parts.store, current, prints)
    failed, remarked = [], []
    files = [(source, origin, found) for source, origin, every in listed for found in every]
    rows, work = await _named(parts, files, known, rules)
    seen = {(w.row.source, path) for w in work for path in (w.was, w.row.path)}
    for done, (source, origin, found) in enumerate(files):
        await beat(done, len(files), "looking for changes")
        if (source.name, found.path) in seen:
            continue
        seen.add((source.name, found.path))
        row = rows[source.name, found.path]
        facts = _facts(found)
        try:
            digest = await _digest(parts, origin, found, row)
        except ParseError as error:
            failed.append((row, facts | {"mark": ""}, error.problem))
            continue
        same = row.sha256 == digest and row.settings == print_
        # What only waited for a program to be installed is tried again once it is there.
        waited = picture.INSTALL in row.reason and picture.available()
        anew = waited or (ways.retry_failed and row.state == "failed")
        if same and row.state in {"empty", "failed"} and not anew:
            facts |= {"sha256": digest, "settings": print_}
            failed.append((row, facts, row.reason if row.state == "failed" else ""))
        elif same and row.state == "indexed" and not fresh_table and not waited:
            report.unchanged += 1
            if row.mark != found.mark:
                remarked.append((row, found.mark))
        else:
            work.append(_Work(row, source, origin, digest, facts, found))
    await _remember_marks(parts.db, remarked)
    if ways.drop_others:
        # One that could not be listed is still wanted.
        names |= {d.source for d in known.values()} - {s.name for s in wanted}
    others = [d for d in known.values() if d.source not in names and d.state == "indexed"]
    unseen = [d for k, d in known.items() if k not in seen and d.source in names]
    await _forget_pending(parts.db, [d for d in unseen if d.state == "pending"])
    gone = [d for d in unseen if d.state not in {"removed", "pending"}]
    if fresh_table and others:
        # Everything is built anew, so what other sources hold must be read again too.
        work += (again := await _of_other_sources(parts, others))
        gone += [d for d in others if all(d is not w.row for w in again)]
    had = Counter(d.source for d in known.values() if d.source in names and d.state == "indexed")
    return await _build(parts, current, prints, work, gone, failed, had, ways, report, beat)


async def _noted(parts: Parts, wanted: Sequence[Source], ways: _Ways) -> tuple[dict[str, int], ReleaseRow | None]:
    """Note the sources. Returns the ids of their rules, and the newest release."""
    async with parts.db.write() as session:
        rules = await access.reconcile(session, wanted)
        await access.align(session, wanted, rules)
        for source in wanted:
            await remember(session, source, parts.home, ways.configured)
        return rules, await release.newest(session)


def _facts(found: Found) -> dict[str, Any]:
    """What is kept of a file as it was listed."""
    return {"size": found.size, "modified": found.modified, "mark": found.mark, "link": found.link}


async def _named(
    parts: Parts,
    files: Sequence[renames.File],
    known: Mapping[renames.Key, DocumentRow],
    rules: Mapping[str, int],
) -> tuple[dict[renames.Key, DocumentRow], list[_Work]]:
    """The document of each file, with the groups that stand beside it; and those that have another name now."""
    renamed = await renames.found(files, known, parts.file_bytes)
    was = {key: document.path for key, document in renamed.items()}
    rows = {
        (source.name, found.path): renamed.get((source.name, found.path))
        or known.get((source.name, found.path))
        or DocumentRow(
            source=source.name, path=found.path, rule_id=rules[access.rule_for(source, found.path)], state="pending"
        )
        for source, _, found in files
    }
    await _said_beside(parts.db, [(rows[source.name, found.path], found) for source, _, found in files])
    await renames.take(parts.db, files, renamed)
    work = []
    for source, origin, found in files:
        if (row := renamed.get((source.name, found.path))) is not None:
            facts = {"path": found.path} | _facts(found)
            work.append(_Work(row, source, origin, row.sha256, facts, found, was[source.name, found.path]))
    return rows, work


async def _listed(
    parts: Parts, wanted: Sequence[Source], report: Report, beat: _Beat
) -> list[tuple[Source, Origin, list[Found]]]:
    """What each source holds. One that cannot be listed is left as it was; raises its error if that is true of all."""
    listed, first = [], None
    for source in wanted:
        origin = opened(source, location(source, parts.home), parts.file_bytes)
        looking = asyncio.create_task(asyncio.to_thread(_documents_of, origin))
        while not looking.done():
            await beat(0, 0, f"looking at {source.name}")
            await asyncio.wait([looking], timeout=BEAT_S)
        problem = ""
        async with parts.db.read() as session:
            before = await session.get(SourceRow, source.name)
        try:
            listed.append((source, origin, await looking))
        except InputError as error:
            first = first or error
            problem = report.problems[source.name] = str(error)
            # It is told once, not with every run.
            if before is None or not before.problem:
                beat.unreadable.append(problem)
        async with parts.db.write() as session:
            values = {"problem": problem, "note": origin.note, "last_run": now()}
            await session.exec(update(SourceRow).where(col(SourceRow.name) == source.name).values(**values))
    if first is not None and not listed:
        raise first
    return listed


def _documents_of(origin: Origin) -> list[Found]:
    return list(origin.documents())


async def _said_beside(db: Database, listed: Sequence[tuple[DocumentRow, Found]]) -> None:
    """Let the groups that stand beside documents hold at once, and their links."""
    changed = []
    for row, found in listed:
        said = {k: v for k, v in row.narrowed.items() if k != "source"}
        if found.groups is not None:
            said["source"] = list(found.groups)
        if row.id is None and not said:
            row.link = found.link
        elif said != row.narrowed or row.link != found.link:
            changed.append((row, found.link, said))
    for at in range(0, len(changed), TOGETHER):
        async with db.write() as session:
            for row, link, said in changed[at : at + TOGETHER]:
                document = await _as_it_is(session, row) if row.id is not None else row
                session.add(document)
                document.link = link
                await access.narrow(session, document, said)
                await session.flush()
                row.id, row.link = document.id, link
                row.narrowed, row.rule_id = document.narrowed, document.rule_id


async def _said_within(db: Database, row: DocumentRow, groups: tuple[str, ...] | None) -> None:
    """Let the groups that a document itself names hold, before its passages are stored."""
    said = {k: v for k, v in row.narrowed.items() if k != "file"}
    if groups is not None:
        said["file"] = list(groups)
    if said == row.narrowed:
        return
    async with db.write() as session:
        document = await _as_it_is(session, row)
        await access.narrow(session, document, said)
        # Should this run not end, the next one must read the file again whatever it holds then.
        document.sha256, document.mark = "", ""
        session.add(document)
    row.narrowed, row.rule_id = document.narrowed, document.rule_id


async def _digest(parts: Parts, origin: Origin, found: Found, row: DocumentRow) -> str:
    """The fingerprint of a document's bytes; empty where its mark says that they have to be read anyway.

    A document that was marked by nothing when it was read is compared by its bytes. Raises `ParseError` where it cannot
    be read.
    """
    if found.problem:
        raise ParseError(found.problem)
    if found.mark and (row.mark or not row.sha256):
        return row.sha256 if found.mark == row.mark else ""
    file = await asyncio.to_thread(origin.read, found.path, parts.file_bytes)
    return fingerprint(file.data)


async def _is_whole(store: Store, row: ReleaseRow) -> bool:
    if row.state not in release.KEPT_STATES:
        return False
    try:
        await release.whole(store, row)
    except ReleaseError:
        return False
    return True


async def _goes_on(store: Store, current: ReleaseRow, prints: tuple[str, str, str]) -> bool:
    """Whether the next release can be written into the table of this one."""
    if (current.embedder, current.splitter, current.parser) != prints:
        return False
    try:
        return await (await store.open(current.table_name)).is_writable()
    except ReleaseError:
        return False


async def _remember_marks(db: Database, marked: Sequence[tuple[DocumentRow, str]]) -> None:
    """Documents whose bytes had to be compared need not be read again while they carry these marks."""
    for at in range(0, len(marked), TOGETHER):
        async with db.write() as session:
            for row, mark in marked[at : at + TOGETHER]:
                await session.exec(update(DocumentRow).where(col(DocumentRow.id) == row.id).values(mark=mark))


async def _forget_pending(db: Database, rows: Sequence[DocumentRow]) -> None:
    """Forget files that a killed run took down and that are gone since: no release ever held them."""
    if rows:
        async with db.write() as session:
            for row in rows:
                await session.exec(delete(DocumentRow).where(col(DocumentRow.id) == row.id))


async def _of_other_sources(parts: Parts, documents: Sequence[DocumentRow]) -> list[_Work]:
    async with parts.db.read() as session:
        rows = {s.name: s for s in (await session.exec(select(SourceRow))).all()}
    work, known = [], {}
    for d in documents:
        if (row := rows.get(d.source)) is not None:
            if row.name not in known:
                source = remembered(row.name, row.location, d.owner, row.settings)
                known[row.name] = (source, opened(source, row.location, parts.file_bytes))
            source, origin = known[row.name]
            # What such a source said of its documents is in their rows.
            told = Found(d.source, d.path, d.size, d.modified, title=d.title, owner=d.owner, valid_until=d.valid_until)
            work.append(_Work(d, source, origin, d.sha256, {}, told if source.kind == "push" else None))
    return work


async def _build(
    parts: Parts,
    current: ReleaseRow | None,
    prints: tuple[str, str, str],
    work: list[_Work],
    gone: list[DocumentRow],
    failed: list[tuple[DocumentRow, dict[str, Any], str]],
    had: Counter[str],
    ways: _Ways,
    report: Report,
    beat: _Beat,
) -> Report:
    """`had` counts the documents that each of the run's sources had before it."""
    moved = await _moved(parts.db, current)
    lost = [row for row, _, _ in failed if row.state in _STORED]
    if current is not None and not (work or gone or moved or lost):
        return await _stay(parts, current, failed, ways, report)

    async with parts.db.write() as session:
        # A document needs its number before its passages are stored; until the end it counts for nothing.
        for document in [*(w.row for w in work), *(r for r, _, _ in failed)]:
            if document.id is None:
                session.add(document)
    earlier = await _earlier(parts, current, prints)
    was_indexed = {id(w): w.row.state in _STORED for w in work}
    async with _reading(parts, work) as documents:
        table, fresh = await _table(parts, current, prints)
        made = await _begun(parts, table, prints)
        if not fresh:
            stale = [w.row.id for w in work if w.row.state in _STORED] + [d.id for d in [*gone, *lost]]
            await table.remove_documents([i for i in stale if i is not None])
            for document_id, rule in moved:
                await table.set_access(document_id, rule)
        filling = _Filling(parts, table, made, earlier, len(work), beat)
        read = await _fill(parts, documents, filling, failed)
    report.embedded += filling.embedded
    if current is not None and not (fresh or read or gone or moved or lost or any(was_indexed.values())):
        # Files were tried again, and none could be read.
        async with parts.db.write() as session:
            await session.exec(delete(ReleaseRow).where(col(ReleaseRow.id) == made.id))
        return await _stay(parts, current, failed, ways, report)
    await beat(len(work), len(work), "checking")
    await table.build_indexes()
    joined = await compact.join(parts.store, table)
    contents = await table.contents()
    made.version = await table.version()
    if fresh and joined:
        # Half of the disk holds what went into the joined files. Should this run be killed, the next one looks for the
        # version that SQL names.
        await _set_version(parts.db, made, made.version)
        await table.forget_older()
        made.version = await table.version()
    made.documents, made.passages = contents.documents, contents.passages
    made.content_hash, made.vectors_hash = contents.content_hash, contents.vectors_hash
    report.added = sum(not was_indexed[id(w)] for w, _, _ in read)
    report.renamed = sum(bool(w.was) for w, _, _ in read)
    report.changed = len(read) - report.added - report.renamed
    report.removed = len(gone)
    report.documents, report.passages = contents.documents, contents.passages
    report.release = made.id
    await beat(len(work), len(work), "comparing")
    await _publish(parts, _Outcome(made, read, gone, moved, failed), had, ways, report)
    await release.sweep(parts.db, parts.store, parts.settings.keep_releases)
    return report


Document = tuple[Parsed, list[Chunk]]


@contextlib.asynccontextmanager
async def _reading(parts: Parts, work: Sequence[_Work]) -> AsyncIterator[AsyncIterator[tuple[_Work, Document | str]]]:
    """The documents in their order, each as it was read or with the reason why not; many are read ahead.

    Parsers and embedder start together, for both take seconds.
    """
    count = max(1, min(4, os.cpu_count() or 1))
    # The bytes of so many files are in memory at once.
    room = asyncio.Semaphore(count + 1)
    tasks: deque[asyncio.Task[Document | str]] = deque()
    waiting = iter(work)

    async def one(item: _Work) -> Document | str:
        async with room:
            return await _read(parts, workers, item)

    def look_ahead() -> None:
        while len(tasks) < AHEAD and (item := next(waiting, None)) is not None:
            tasks.append(asyncio.create_task(one(item)))

    async def documents() -> AsyncIterator[tuple[_Work, Document | str]]:
        for item in work:
            look_ahead()
            yield item, await tasks.popleft()

    with Workers(count) as workers:
        loading = asyncio.create_task(parts.embedder.ready())
        look_ahead()
        try:
            yield documents()
        finally:
            left = [loading, *tasks]
            for task in left:
                task.cancel()
            # What the workers have in hand ends with them.
            workers.end()
            await asyncio.gather(*left, return_exceptions=True)


class _Filling:
    """Embeds and stores passages a lot at a time, while the next ones are gathered."""

    def __init__(
        self, parts: Parts, table: Table, made: ReleaseRow, earlier: Sequence[Table], total: int, beat: _Beat
    ) -> None:
        self._parts, self._table, self.made, self._earlier = parts, table, made, earlier
        self._total, self._beat = total, beat
        self._rows: list[dict[str, Any]] = []
        self._lots: deque[tuple[list[dict[str, Any]], int, asyncio.Task[int]]] = deque()
        self._read = 0
        self.embedded = 0

    async def take(self, rows: Iterable[dict[str, Any]]) -> None:
        """The passages of the next document."""
        self._rows += rows
        self._read += 1
        while len(self._rows) >= EMBEDDED_TOGETHER:
            await self._begin(self._rows[:EMBEDDED_TOGETHER])
            self._rows = self._rows[EMBEDDED_TOGETHER:]

    async def end(self) -> None:
        """Store what is left."""
        if self._rows:
            await self._begin(self._rows)
        while self._lots:
            await self._store()

    async def stop(self) -> None:
        """Let go of what is under way."""
        for _, _, task in self._lots:
            task.cancel()
        await asyncio.gather(*(task for _, _, task in self._lots), return_exceptions=True)

    async def _begin(self, rows: list[dict[str, Any]]) -> None:
        while len(self._lots) >= LOTS:
            await self._store()
        task = asyncio.create_task(_embed_new(self._parts.embedder, rows, self._earlier))
        self._lots.append((rows, self._read, task))

    async def _store(self) -> None:
        rows, read, task = self._lots[0]
        self.embedded += await task
        await self._table.add(rows)
        # What is embedded by now need not be embedded again, should this run be killed.
        await _set_version(self._parts.db, self.made, await self._table.version())
        self._lots.popleft()
        await self._beat(read, self._total, str(rows[-1]["document"]))


async def _fill(
    parts: Parts,
    documents: AsyncIterator[tuple[_Work, Document | str]],
    filling: _Filling,
    failed: list[tuple[DocumentRow, dict[str, Any], str]],
) -> list[tuple[_Work, Parsed, int]]:
    """Embed and store the documents of a run. Returns those that gave passages, with how many."""
    read: list[tuple[_Work, Parsed, int]] = []
    made = filling.made
    prints = "|".join((made.embedder, made.splitter, made.parser))
    try:
        async for item, result in documents:
            item.facts |= {"sha256": item.sha256, "settings": prints}
            rows: list[dict[str, Any]] = []
            if isinstance(result, str):
                failed.append((item.row, item.facts, result))
            elif not result[1]:
                failed.append((item.row, item.facts, ""))
            else:
                await _said_within(parts.db, item.row, result[0].groups)
                rows = [_row(item.row, result[0], chunk) for chunk in result[1]]
                read.append((item, result[0], len(rows)))
            await filling.take(rows)
        await filling.end()
    finally:
        await filling.stop()
    return read


async def _publish(parts: Parts, found: _Outcome, had: Counter[str], ways: _Ways, report: Report) -> None:
    """Let the release go live, or hold it for an admin; where no release serves there is nothing to hold it beside."""
    against = await _served(parts)
    if against is not None:
        without = [*found.gone, *(r for r, _, _ in found.failed)]
        reasons = [] if ways.allow_removals else _too_many_gone(had, without, parts.settings)
        reasons.append(await _judged(parts, found, against))
        report.held = " ".join(filter(None, reasons))
    if report.held:
        await _hold(parts, found, report)
    else:
        await _go_live(parts, found, report)
        report.duplicates = await duplicates.mark(parts.db)
        report.contradictions = await _contradictions(parts)


async def _contradictions(parts: Parts) -> int:
    """How many pairs of passages of the release that went live contradict each other."""
    try:
        async with parts.db.read() as session:
            row = await release.active(session)
        assert row is not None
        found = await disputed.refresh(parts.db, await parts.store.open(row.table_name, row.version))
    except (AssistantError, OSError, RuntimeError, ValueError) as error:
        # The release is live, and serves without.
        log.warning("Contradictions could not be looked for: %s", type(error).__name__)
        return 0
    if not found.whole:
        log.warning("There is more to compare than one search for contradictions may take; some may be missing.")
    return len(found.pairs)


async def _served(parts: Parts) -> ReleaseRow | None:
    """The release that people are answered from, if it is whole."""
    async with parts.db.read() as session:
        row = await release.active(session)
    return row if row is not None and await _is_whole(parts.store, row) else None


def _too_many_gone(had: Counter[str], without: Iterable[DocumentRow], settings: IndexSettings) -> list[str]:
    """A sentence for each source that would lose more of its documents at once than is let pass."""
    lost = Counter(d.source for d in without if d.state == "indexed")
    return [
        f"{count} of {had[source]} documents of the source {source} are gone or can no longer be read: "
        "see whether its folder is there, or run again with --allow-removals."
        for source, count in lost.items()
        if count > FEW and count > settings.gate.max_removed * had[source]
    ]


async def _judged(parts: Parts, found: _Outcome, against: ReleaseRow) -> str:
    """Ask the gate, and keep its report. Returns why the release must not go live, empty when it may."""
    if parts.check is None:
        return ""
    left = [*(d.path for d in found.gone), *(w.was for w, _, _ in found.read if w.was)]
    judgement = await parts.check(found.made, against, left)
    if judgement.body:
        async with parts.db.write() as session:
            session.add(ReleaseReport(release_id=_id(found.made), against_id=against.id, body=judgement.body))
    return judgement.reason


def _id(stored: ReleaseRow | DocumentRow) -> int:
    assert stored.id is not None
    return stored.id


async def _earlier(parts: Parts, current: ReleaseRow | None, prints: tuple[str, str, str]) -> list[Table]:
    """Tables that may hold passages of this run already embedded: the newest release, a held and unfinished ones."""
    async with parts.db.read() as session:
        unfinished = select(ReleaseRow).where(col(ReleaseRow.state).in_(("building", "held")))
        rows = [*([current] if current else []), *(await session.exec(unfinished)).all()]
    tables = []
    for row in rows:
        if row.embedder == prints[0] and row.version:
            with contextlib.suppress(ReleaseError):
                tables.append(await parts.store.open(row.table_name, row.version))
    return tables


async def _begun(parts: Parts, table: Table, prints: tuple[str, str, str]) -> ReleaseRow:
    """The release under construction, known to SQL so that the next run finds it when this one is killed."""
    made = ReleaseRow(
        table_name=table.name,
        embedder=prints[0],
        splitter=prints[1],
        parser=prints[2],
        embedded_by=parts.settings.model_dump(
            include={"embedder", "embedder_api_base", "embedder_api_key_env", "word_codes"}
        ),
    )
    async with parts.db.write() as session:
        session.add(made)
    return made


async def _set_version(db: Database, made: ReleaseRow, version: int) -> None:
    async with db.write() as session:
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == made.id).values(version=version))


async def _moved(db: Database, current: ReleaseRow | None) -> list[tuple[int, int]]:
    """Documents whose rule changed since the active release was built, with their rule now."""
    if current is None:
        return []
    async with db.read() as session:
        rows = await session.exec(
            select(DocumentRow.id, DocumentRow.rule_id).where(
                DocumentRow.state == "indexed", col(DocumentRow.indexed_rule) != col(DocumentRow.rule_id)
            )
        )
        return [(d, r) for d, r in rows.all() if d is not None]


async def _table(parts: Parts, current: ReleaseRow | None, prints: tuple[str, str, str]) -> tuple[Table, bool]:
    """The table to write to, and whether it is a new one."""
    if current is not None and await _goes_on(parts.store, current, prints):
        table = await parts.store.open(current.table_name)
        if await table.version() != current.version:
            await table.restore(current.version)
        return table, False
    dimension = parts.embedder.dimension or len((await parts.embedder.embed(["dimension"]))[0])
    name = "passages_" + hashlib.sha256(f"{prints}{time.time_ns()}".encode()).hexdigest()[:12]
    return await parts.store.create(name, dimension), True


async def _read(parts: Parts, workers: Workers, item: _Work) -> Document | str:
    """A document's facts and chunks, or the reason why it has none."""
    try:
        file = await asyncio.to_thread(item.origin.read, item.row.path, parts.file_bytes)
    except ParseError as error:
        # That is no fault of its bytes: the next run tries again.
        item.sha256, item.facts["mark"] = "", ""
        return error.problem
    item.sha256 = fingerprint(file.data)
    words, overlap = parts.settings.passage_words, parts.settings.overlap_words
    try:
        parsed, chunks = await workers.read(file.name, file.data, words, overlap)
    except ParseError as error:
        return error.problem
    return _as_told(parsed, chunks, item.found) if item.found is not None else (parsed, chunks)


def _as_told(parsed: Parsed, chunks: list[Chunk], told: Found) -> Document:
    """A document with what its source says of it in place of what it says itself; it is found by its new title."""
    if told.title and told.title != parsed.title:
        own = f"{parsed.title}\n"
        chunks = [replace(c, indexed=f"{told.title}\n{c.indexed.removeprefix(own)}") for c in chunks]
    owner, until = told.owner or parsed.owner, told.valid_until or parsed.valid_until
    return replace(parsed, title=told.title or parsed.title, owner=owner, valid_until=until), chunks


def _row(document: DocumentRow, parsed: Parsed, chunk: Chunk) -> dict[str, Any]:
    key = f"{document.source}|{document.path}|{chunk.place.start}|{chunk.text}"
    return {
        "id": hashlib.sha256(key.encode()).hexdigest()[:20],
        "document_id": document.id,
        "document": document.path,
        "title": parsed.title,
        "text": chunk.text,
        "indexed": chunk.indexed,
        "headings": list(chunk.place.headings),
        "page": chunk.place.page,
        "sheet": chunk.place.sheet,
        "start": chunk.place.start,
        "end": chunk.place.end,
        "access": document.rule_id,
        "text_hash": hashlib.sha256(chunk.text.encode()).hexdigest()[:16],
    }


async def embed(embedder: Reader, rows: Sequence[dict[str, Any]]) -> None:
    """Give every passage its vector and its codes."""
    if rows:
        for row, read in zip(rows, await embedder.read([r["indexed"] for r in rows]), strict=True):
            row["vector"], row["codes"] = read


async def _embed_new(embedder: Reader, rows: list[dict[str, Any]], earlier: Sequence[Table]) -> int:
    """Give every passage its vector: copied where its very text was embedded before. Returns how many were not."""
    for table in earlier:
        wanted = {r["text_hash"] for r in rows if "vector" not in r}
        try:
            known = await table.computed(sorted(wanted)) if wanted else {}
        except (OSError, RuntimeError, ValueError):
            # It was left by a run that was killed, and its files are not whole.
            continue
        for row in rows:
            row.update(known.get(row["indexed"], {}))
    fresh = [r for r in rows if "vector" not in r]
    await embed(embedder, fresh)
    return len(fresh)


async def _stay(
    parts: Parts,
    current: ReleaseRow,
    failed: Sequence[tuple[DocumentRow, dict[str, Any], str]],
    ways: _Ways,
    report: Report,
) -> Report:
    """Nothing is new: the newest release stays, and serves again if somebody had gone back from it."""
    await _note_failed(parts.db, failed, report)
    async with parts.db.write() as session:
        if ways.configured and ways.whole:
            # What waits for an admin tells of sources that have changed back since.
            await release.forget_held(session)
        active = await release.active(session)
        if (active is None or active.id != current.id) and (row := await session.get(ReleaseRow, current.id)):
            await release.point(session, row, "indexing run")
    report.release, report.documents, report.passages = current.id, current.documents, current.passages
    return report


async def _as_it_is(session: AsyncSession, row: DocumentRow) -> DocumentRow:
    """The document as SQL has it now: its rule may have changed since the run began, and must not be put back."""
    known = await session.get(DocumentRow, row.id) if row.id is not None else None
    return known if known is not None else await session.merge(row)


async def _at_hand(session: AsyncSession, rows: Iterable[DocumentRow]) -> list[DocumentRow]:
    """Read these documents together; whoever holds the list finds each `_as_it_is` without asking SQL again."""
    ids = [row.id for row in rows if row.id is not None]
    found: list[DocumentRow] = []
    for at in range(0, len(ids), READ_TOGETHER):
        part = select(DocumentRow).where(col(DocumentRow.id).in_(ids[at : at + READ_TOGETHER]))
        found += (await session.exec(part)).all()
    return found


async def _note_failed(db: Database, failed: Sequence[tuple[DocumentRow, dict[str, Any], str]], report: Report) -> None:
    async with db.write() as session:
        _held = await _at_hand(session, (row for row, _, _ in failed))
        for row, facts, reason in failed:
            _mark(await _as_it_is(session, row), facts, reason, report)


def _mark(row: DocumentRow, facts: dict[str, Any], reason: str, report: Report) -> None:
    """Note a file that gave no passages: failed with its reason, or simply without text."""
    for name, value in facts.items():
        setattr(row, name, value)
    row.state, row.reason, row.passages = ("failed", reason, 0) if reason else ("empty", "holds no text", 0)
    row.updated_at, row.duplicate_of = now(), None
    if reason:
        report.failed.append({"path": row.path, "reason": reason})
    else:
        report.empty.append(row.path)


async def _go_live(parts: Parts, found: _Outcome, report: Report) -> None:
    """The documents, the release and who is answered from it change in one transaction."""
    async with parts.db.write() as session:
        await _note_documents(session, found, report)
        await release.forget_held(session)
        session.add(found.made)
        await session.flush()
        await release.point(session, found.made, "indexing run")
        _note_calls(session, parts.calls)
        session.add(AuditRow(person="indexing run", action="build release", subject=str(found.made.id)))


async def _hold(parts: Parts, found: _Outcome, report: Report) -> None:
    """Keep a release for an admin to accept or drop, with what would then become of the documents."""
    made = found.made
    async with parts.db.write() as session:
        before = await _documents(session)
        attempt = await session.begin_nested()
        await _note_documents(session, found, report)
        await session.flush()
        after = await _documents(session)
        await attempt.rollback()
        waiting = await release.held(session)
        if waiting is not None and _same(waiting, made) and waiting.note == report.held:
            # What an admin was told of, and may be looking at, goes on waiting under its number.
            await session.exec(delete(ReleaseChange).where(col(ReleaseChange.release_id) == waiting.id))
            made.state, report.release = "dropped", waiting.id
            session.add(made)
            made = waiting
        else:
            if waiting is None or waiting.note != report.held:
                tell(session, parts.alerts, "release held", f"Release {made.id} waits for an admin. {report.held}")
            await release.forget_held(session)
            made.state, made.note = "held", report.held
            session.add(made)
            session.add(AuditRow(person="indexing run", action="hold release", subject=str(made.id)))
        for i, values in after.items():
            # A new document's number is known to its passages, though nobody reads them yet.
            was = before.get(i, {})
            # Rights hold at once, whatever becomes of the release; a new name brings its rule along.
            apart = {"narrowed"} if "path" in was and was["path"] != values["path"] else {"rule_id", "narrowed"}
            if body := {k: v for k, v in values.items() if k not in apart and v != was.get(k)}:
                session.add(ReleaseChange(release_id=_id(made), document_id=i, body=body))
        _note_calls(session, parts.calls)


def _same(one: ReleaseRow, other: ReleaseRow) -> bool:
    """Whether two releases hold the same passages, made in the same way."""
    return all(
        getattr(one, name) == getattr(other, name) for name in ("content_hash", "embedder", "splitter", "parser")
    )


async def _documents(session: AsyncSession) -> dict[int, dict[str, Any]]:
    """Every document as SQL has it within this transaction."""
    rows = await (await session.connection()).execute(select(*DocumentRow.__table__.columns))  # type: ignore[attr-defined]
    told = [DocumentRow.model_validate(dict(r)) for r in rows.mappings()]
    return {_id(d): d.model_dump(mode="json", exclude={"sketch"}) | {"sketch": (d.sketch or b"").hex()} for d in told}


def _note_calls(session: AsyncSession, calls: list[Attempt]) -> None:
    day = f"{now():%Y-%m-%d}"
    for call in calls:
        session.add(UsageRow(day=day, segment="indexing", **call.model_dump(exclude={"tier"})))
    calls.clear()


async def _note_documents(session: AsyncSession, found: _Outcome, report: Report) -> None:
    """Write what became of every document, inside the caller's transaction."""
    written = {item.row.id for item, _, _ in found.read}
    touched = [*(w.row for w, _, _ in found.read), *found.gone, *(row for row, _, _ in found.failed)]
    _held = await _at_hand(session, touched)
    for item, parsed, count in found.read:
        document = await _as_it_is(session, item.row)
        for name, value in item.facts.items():
            setattr(document, name, value)
        if item.was:
            document.rule_id = await access.rule_at(session, item.source, document.path, document.narrowed)
        document.title, document.media_type = parsed.title, parsed.media_type
        document.owner = parsed.owner or item.source.owner or parsed.author
        document.language, document.text_hash, document.sketch = parsed.language, parsed.text_hash, parsed.sketch
        document.modified = parsed.modified or document.modified
        document.valid_until, document.passages = parsed.valid_until, count
        # One that was withdrawn since this run read it stays so; the next run takes it out.
        withdrawn = document.state == access.LEAVING != item.row.state
        document.state, document.reason, document.updated_at = (
            access.LEAVING if withdrawn else "indexed",
            parsed.note,
            now(),
        )
        document.indexed_rule = item.row.rule_id
    for row in found.gone:
        document = await _as_it_is(session, row)
        document.state, document.passages, document.updated_at = "removed", 0, now()
        document.duplicate_of = None
    for row, facts, reason in found.failed:
        _mark(await _as_it_is(session, row), facts, reason, report)
    for document_id, rule in found.moved:
        if document_id not in written:
            statement = update(DocumentRow).where(col(DocumentRow.id) == document_id)
            await session.exec(statement.values(indexed_rule=rule))
