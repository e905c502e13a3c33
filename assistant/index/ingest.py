"""A run: what is new or changed is parsed, split, embedded and stored aside; then all of it goes live at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import time
from collections.abc import Sequence

from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, ReleaseRow
from assistant.domain import Progress
from assistant.errors import AssistantError, FullError, ReleaseError
from assistant.index import access, compact, parse, release, split
from assistant.index.filling import Filling, fill, reading
from assistant.index.listing import Todo, compared, listed
from assistant.index.publish import Outcome, publish, stay
from assistant.index.rerank import Reader
from assistant.index.run import Beat, Parts, Report, Ways, alone
from assistant.index.schedule import remember
from assistant.index.store import Store, Table
from assistant.settings import IndexSettings, Source

# Documents whose passages may be in the newest release.
_STORED = frozenset({"indexed", access.LEAVING})
# How LanceDB, SQLite and Postgres word it that there is no room left, or no more than a quota.
_FULL = ("no space left", "os error 28", "file too large", "os error 27", "os error 122", "disk is full", "disk full")
# How they word it that nothing may be written.
_UNWRITABLE = ("permission denied", "os error 13", "read-only file system", "os error 30")


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
    async with alone(parts, started_by) as run:
        beat = Beat(parts, run, progress)
        try:
            ways = Ways(drop_others, configured, allow_removals, retry_failed, whole)
            report = await _run(parts, wanted, ways, beat)
        except BaseException as error:
            stopped = _stopped_by(error)
            told = error.problem if isinstance(error, AssistantError) else type(error).__name__
            # The database may be on the disk that is full: then the next run notes that this one is over.
            with contextlib.suppress(SQLAlchemyError, AssistantError):
                await asyncio.shield(beat.end("failed", stopped.problem if stopped else told, None))
            if stopped:
                raise stopped from error
            raise
        report.seconds = round(time.monotonic() - began, 2)
        await beat.end("done", report.held, report)
        return report


def _stopped_by(error: BaseException) -> ReleaseError | None:
    """What an admin can do where the disk of the index takes nothing; None for any other error."""
    told = "" if isinstance(error, AssistantError) else str(error).lower()
    full = isinstance(error, FullError) or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if full or any(s in told for s in _FULL):
        return ReleaseError(
            "There is no room on the disk for the index; the release before it goes on serving.",
            "Free some space and run `assistant index sync` again.",
        )
    if any(s in told for s in _UNWRITABLE):
        return ReleaseError(
            "The index may not be written; the release before it goes on serving.",
            "Let assistant write its folder and run `assistant index sync` again.",
        )
    return None


def made_by(embedder: Reader, settings: IndexSettings) -> tuple[str, str, str]:
    """Names what passages depend on besides the bytes: embedder, splitter, parser."""
    return (
        embedder.fingerprint,
        f"{split.FINGERPRINT}-{settings.passage_words}-{settings.overlap_words}",
        parse.FINGERPRINT,
    )


async def _run(parts: Parts, wanted: Sequence[Source], ways: Ways, beat: Beat) -> Report:
    report = Report()
    prints = made_by(parts.embedder, parts.settings)
    # An index that cannot be reached just now must not be taken for a damaged one, and made anew.
    await parts.store.names()
    await release.restore(parts.db, parts.store)
    rules, current = await _noted(parts, wanted, ways)
    able = await listed(parts, wanted, report, beat)
    if current is not None and not await release.is_whole(parts.store, current):
        # Building on what is damaged would make the damage the next release: everything is built anew.
        current = None
    fresh_table = current is None or not await _goes_on(parts.store, current, prints)
    todo = await compared(parts, wanted, able, rules, "|".join(prints), ways, report, beat, fresh_table=fresh_table)
    return await _build(parts, current, prints, todo, ways, report, beat)


async def _noted(parts: Parts, wanted: Sequence[Source], ways: Ways) -> tuple[dict[str, int], ReleaseRow | None]:
    """Note the sources. Returns the ids of their rules, and the newest release."""
    async with parts.db.write() as session:
        rules = await access.reconcile(session, wanted)
        await access.align(session, wanted, rules)
        for source in wanted:
            await remember(session, source, parts.home, ways.configured)
        return rules, await release.newest(session)


async def _build(
    parts: Parts,
    current: ReleaseRow | None,
    prints: tuple[str, str, str],
    todo: Todo,
    ways: Ways,
    report: Report,
    beat: Beat,
) -> Report:
    work, gone, failed = todo.work, todo.gone, todo.failed
    moved = await _moved(parts.db, current)
    lost = [row for row, _, _ in failed if row.state in _STORED]
    if current is not None and not (work or gone or moved or lost):
        return await stay(parts, current, failed, ways, report)

    async with parts.db.write() as session:
        # A document needs its number before its passages are stored; until the end it counts for nothing.
        for document in [*(w.row for w in work), *(r for r, _, _ in failed)]:
            if document.id is None:
                session.add(document)
    earlier = await _earlier(parts, current, prints)
    was_indexed = {id(w): w.row.state in _STORED for w in work}
    async with reading(parts, work) as documents:
        table, fresh = await _table(parts, current, prints)
        made = await _begun(parts, table, prints)
        if not fresh:
            stale = [w.row.id for w in work if w.row.state in _STORED] + [d.id for d in [*gone, *lost]]
            await table.remove_documents([i for i in stale if i is not None])
            for document_id, rule in moved:
                await table.set_access(document_id, rule)
        filling = Filling(parts, table, made, earlier, len(work), beat)
        read = await fill(parts, documents, filling, failed)
    report.embedded += filling.embedded
    if current is not None and not (fresh or read or gone or moved or lost or any(was_indexed.values())):
        # Files were tried again, and none could be read.
        async with parts.db.write() as session:
            await session.exec(delete(ReleaseRow).where(col(ReleaseRow.id) == made.id))
        return await stay(parts, current, failed, ways, report)
    await beat(len(work), len(work), "checking")
    await table.build_indexes()
    joined = await compact.join(parts.store, table)
    contents = await table.contents()
    made.version = await table.version()
    if fresh and joined:
        # Half of the disk holds what went into the joined files. Should this run be killed, the next one looks for the
        # version that SQL names.
        await release.set_version(parts.db, made, made.version)
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
    await publish(parts, Outcome(made, read, gone, moved, failed), todo.had, ways, report)
    await release.sweep(parts.db, parts.store, parts.settings.keep_releases)
    return report


async def _goes_on(store: Store, current: ReleaseRow, prints: tuple[str, str, str]) -> bool:
    """Whether the next release can be written into the table of this one."""
    if (current.embedder, current.splitter, current.parser) != prints:
        return False
    try:
        return await (await store.open(current.table_name)).is_writable()
    except ReleaseError:
        return False


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
