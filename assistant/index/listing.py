"""What the sources hold, held against the documents that are known: what there is to read, and what is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, SourceRow
from assistant.domain import now
from assistant.errors import InputError, ParseError
from assistant.index import access, renames
from assistant.index.parsers import picture
from assistant.index.run import BEAT_S, Beat, Failed, Parts, Report, Ways, Work, as_it_is
from assistant.index.sources.opening import location, opened, remembered
from assistant.index.sources.origin import Found, Origin, fingerprint
from assistant.settings import Source

# Documents whose rights change in one transaction: people's own writes wait for it.
TOGETHER = 100
Listed = tuple[Source, Origin, list[Found]]


@dataclass
class Todo:
    """What a run has to do: documents to read, those that are gone, and files that can give no passages.

    `had` counts the documents that each of the run's sources had before it.
    """

    work: list[Work]
    gone: list[DocumentRow]
    failed: list[Failed]
    had: Counter[str]


async def listed(parts: Parts, wanted: Sequence[Source], report: Report, beat: Beat) -> list[Listed]:
    """What each source holds. One that cannot be listed is left as it was, and named among the report's problems.

    Raises the first one's `InputError` if none can be listed.
    """
    able: list[Listed] = []
    first = None
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
            able.append((source, origin, await looking))
        except InputError as error:
            first = first or error
            problem = report.problems[source.name] = str(error)
            # It is told once, not with every run.
            if before is None or not before.problem:
                beat.unreadable.append(problem)
        async with parts.db.write() as session:
            values = {"problem": problem, "note": origin.note, "last_run": now()}
            await session.exec(update(SourceRow).where(col(SourceRow.name) == source.name).values(**values))
    if first is not None and not able:
        raise first
    return able


def _documents_of(origin: Origin) -> list[Found]:
    return list(origin.documents())


async def compared(
    parts: Parts,
    wanted: Sequence[Source],
    able: Sequence[Listed],
    rules: Mapping[str, int],
    prints: str,
    ways: Ways,
    report: Report,
    beat: Beat,
    *,
    fresh_table: bool,
) -> Todo:
    """What has to be done for the index to hold what the sources hold; what did not change is counted in the report.

    `wanted` are the run's sources, `able` those that could be listed, `rules` the ids of the access rules by name, and
    `prints` names what passages depend on besides the bytes. With a `fresh_table` every document is read again, those
    of other sources too. Groups that stand beside a document hold from here on. A file that cannot be read is among
    the failed ones.
    """
    # What of the sources could be listed; the others stay as they are.
    names = {source.name for source, _, _ in able}
    async with parts.db.read() as session:
        known = {(d.source, d.path): d for d in (await session.exec(select(DocumentRow))).all()}
    failed, remarked = [], []
    files = [(source, origin, found) for source, origin, every in able for found in every]
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
        same = row.sha256 == digest and row.settings == prints
        # What only waited for a program to be installed is tried again once it is there.
        waited = picture.INSTALL in row.reason and picture.available()
        anew = waited or (ways.retry_failed and row.state == "failed")
        if same and row.state in {"empty", "failed"} and not anew:
            facts |= {"sha256": digest, "settings": prints}
            failed.append((row, facts, row.reason if row.state == "failed" else ""))
        elif same and row.state == "indexed" and not fresh_table and not waited:
            report.unchanged += 1
            if row.mark != found.mark:
                remarked.append((row, found.mark))
        else:
            work.append(Work(row, source, origin, digest, facts, found))
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
    return Todo(work, gone, failed, had)


async def _named(
    parts: Parts,
    files: Sequence[renames.File],
    known: Mapping[renames.Key, DocumentRow],
    rules: Mapping[str, int],
) -> tuple[dict[renames.Key, DocumentRow], list[Work]]:
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
            work.append(Work(row, source, origin, row.sha256, facts, found, was[source.name, found.path]))
    return rows, work


def _facts(found: Found) -> dict[str, Any]:
    """What is kept of a file as it was listed."""
    return {"size": found.size, "modified": found.modified, "mark": found.mark, "link": found.link}


async def _said_beside(db: Database, files: Sequence[tuple[DocumentRow, Found]]) -> None:
    """Let the groups that stand beside documents hold at once, and their links."""
    changed = []
    for row, found in files:
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
                document = await as_it_is(session, row) if row.id is not None else row
                session.add(document)
                document.link = link
                await access.narrow(session, document, said)
                await session.flush()
                row.id, row.link = document.id, link
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


async def _of_other_sources(parts: Parts, documents: Sequence[DocumentRow]) -> list[Work]:
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
            work.append(Work(d, source, origin, d.sha256, {}, told if source.kind == "push" else None))
    return work
