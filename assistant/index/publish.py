"""A release that is built is judged, and goes live or is held for an admin, with what becomes of its documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import AuditRow, DocumentRow, ReleaseChange, ReleaseReport, ReleaseRow, UsageRow
from assistant.domain import Attempt, now
from assistant.errors import AssistantError
from assistant.index import access, disputed, duplicates, release
from assistant.index.run import Failed, Parts, Read, Report, Ways, as_it_is
from assistant.index.told import tell
from assistant.settings import IndexSettings

log = logging.getLogger(__name__)
READ_TOGETHER = 500
# Fewer documents may leave a source at once without anybody being asked.
FEW = 20


@dataclass(frozen=True)
class Outcome:
    """What a run found: its release, and what becomes of the documents.

    `read` gave passages, `gone` left the sources, `failed` gave none; `moved` are the ids of documents whose access
    rule is another one than in the release before, with that rule's id.
    """

    made: ReleaseRow
    read: Sequence[Read]
    gone: Sequence[DocumentRow]
    moved: Sequence[tuple[int, int]]
    failed: Sequence[Failed]


async def publish(parts: Parts, found: Outcome, had: Counter[str], ways: Ways, report: Report) -> None:
    """Let the release go live, or hold it for an admin; where no release serves there is nothing to hold it beside.

    `had` counts the documents that each of the run's sources had before it. The report says why a release is `held`,
    empty when it went live, and how many duplicates and contradictions it has. Raises what the gate raises.
    """
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


async def stay(
    parts: Parts,
    current: ReleaseRow,
    failed: Sequence[Failed],
    ways: Ways,
    report: Report,
) -> Report:
    """Nothing is new: the newest release stays, and serves again if somebody had gone back from it.

    Files that failed once more are noted. Returns the report with what that release holds.
    """
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


async def _served(parts: Parts) -> ReleaseRow | None:
    """The release that people are answered from, if it is whole."""
    async with parts.db.read() as session:
        row = await release.active(session)
    return row if row is not None and await release.is_whole(parts.store, row) else None


def _too_many_gone(had: Counter[str], without: Iterable[DocumentRow], settings: IndexSettings) -> list[str]:
    """A sentence for each source that would lose more of its documents at once than is let pass."""
    lost = Counter(d.source for d in without if d.state == "indexed")
    return [
        f"{count} of {had[source]} documents of the source {source} are gone or can no longer be read: "
        "see whether its folder is there, or run again with --allow-removals."
        for source, count in lost.items()
        if count > FEW and count > settings.gate.max_removed * had[source]
    ]


async def _judged(parts: Parts, found: Outcome, against: ReleaseRow) -> str:
    """Ask the gate, and keep its report. Returns why the release must not go live, empty when it may."""
    if parts.check is None:
        return ""
    left = [*(d.path for d in found.gone), *(w.was for w, _, _ in found.read if w.was)]
    judgement = await parts.check(found.made, against, left)
    if judgement.body:
        async with parts.db.write() as session:
            session.add(ReleaseReport(release_id=_id(found.made), against_id=against.id, body=judgement.body))
    return judgement.reason


async def _go_live(parts: Parts, found: Outcome, report: Report) -> None:
    """The documents, the release and who is answered from it change in one transaction."""
    async with parts.db.write() as session:
        await _note_documents(session, found, report)
        await release.forget_held(session)
        session.add(found.made)
        await session.flush()
        await release.point(session, found.made, "indexing run")
        _note_calls(session, parts.calls)
        session.add(AuditRow(person="indexing run", action="build release", subject=str(found.made.id)))


async def _hold(parts: Parts, found: Outcome, report: Report) -> None:
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


async def _note_documents(session: AsyncSession, found: Outcome, report: Report) -> None:
    """Write what became of every document, inside the caller's transaction."""
    written = {item.row.id for item, _, _ in found.read}
    touched = [*(w.row for w, _, _ in found.read), *found.gone, *(row for row, _, _ in found.failed)]
    _held = await _at_hand(session, touched)
    for item, parsed, count in found.read:
        document = await as_it_is(session, item.row)
        for name, value in item.facts.items():
            setattr(document, name, value)
        if item.was:
            document.rule_id = await access.rule_at(session, item.source, document.path, document.narrowed)
        document.title, document.media_type = parsed.title, parsed.media_type
        document.asks = parsed.asks
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
        document = await as_it_is(session, row)
        document.state, document.passages, document.updated_at = "removed", 0, now()
        document.duplicate_of = None
    for row, facts, reason in found.failed:
        _mark(await as_it_is(session, row), facts, reason, report)
    for document_id, rule in found.moved:
        if document_id not in written:
            statement = update(DocumentRow).where(col(DocumentRow.id) == document_id)
            await session.exec(statement.values(indexed_rule=rule))


async def _at_hand(session: AsyncSession, rows: Iterable[DocumentRow]) -> list[DocumentRow]:
    """Read these documents together; whoever holds the list finds each `as_it_is` without asking SQL again."""
    ids = [row.id for row in rows if row.id is not None]
    found: list[DocumentRow] = []
    for at in range(0, len(ids), READ_TOGETHER):
        part = select(DocumentRow).where(col(DocumentRow.id).in_(ids[at : at + READ_TOGETHER]))
        found += (await session.exec(part)).all()
    return found


async def _note_failed(db: Database, failed: Sequence[Failed], report: Report) -> None:
    async with db.write() as session:
        _held = await _at_hand(session, (row for row, _, _ in failed))
        for row, facts, reason in failed:
            _mark(await as_it_is(session, row), facts, reason, report)


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


def _id(stored: ReleaseRow | DocumentRow) -> int:
    assert stored.id is not None
    return stored.id


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
