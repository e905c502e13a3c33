"""Releases: what is searched. Checked, activated and rolled back in one row of SQL; damage is found by reading."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import delete, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import (
    ActiveRelease,
    AuditRow,
    DocumentRow,
    ReleaseChange,
    ReleaseReport,
    ReleaseRow,
)
from assistant.domain import now
from assistant.errors import InputError, ReleaseError
from assistant.index import access, duplicates
from assistant.index.store import SPARED, Contents, Store, Table

log = logging.getLogger(__name__)
KEPT_STATES = ("ready", "retired")


@dataclass(frozen=True)
class Judgement:
    """What the gate found. `reason` is empty when the release may go live; `body` is its report for an admin."""

    reason: str = ""
    body: dict[str, Any] = field(default_factory=dict)


class Check(Protocol):
    """The gate: holds a new release beside the active one. `removed` are the paths that left the sources."""

    async def __call__(self, made: ReleaseRow, against: ReleaseRow, removed: Collection[str]) -> Judgement: ...


async def active(session: AsyncSession) -> ReleaseRow | None:
    """The release people are answered from."""
    statement = select(ReleaseRow).join(ActiveRelease, col(ActiveRelease.release_id) == col(ReleaseRow.id))
    return (await session.exec(statement)).first()


async def newest(session: AsyncSession) -> ReleaseRow | None:
    """The newest release that went live, which is what the documents in SQL tell of; another may be active."""
    statement = select(ReleaseRow).where(col(ReleaseRow.activated_at).is_not(None))
    return (await session.exec(statement.order_by(col(ReleaseRow.id).desc()).limit(1))).first()


async def held(session: AsyncSession) -> ReleaseRow | None:
    """The release that waits for an admin; there is one at most."""
    return (await session.exec(select(ReleaseRow).where(ReleaseRow.state == "held"))).first()


async def set_aside(session: AsyncSession) -> list[ReleaseRow]:
    """The releases that were found damaged since the last run, with what is wrong in their note."""
    return list((await session.exec(select(ReleaseRow).where(ReleaseRow.state == "damaged"))).all())


async def point(session: AsyncSession, release: ReleaseRow, by: str) -> None:
    """Make a release the active one, inside the caller's transaction."""
    row = await session.get(ActiveRelease, 1) or ActiveRelease(id=1)
    if row.release_id and row.release_id != release.id:
        before = await session.get(ReleaseRow, row.release_id)
        if before is not None:
            before.state = "retired" if before.state == "ready" else before.state
            before.retired_at = now()
            session.add(before)
    release.state, release.activated_at, release.retired_at = "ready", now(), None
    session.add(release)
    await session.flush()
    row.release_id, row.activated_by, row.updated_at = release.id, by, now()
    session.add(row)
    session.add(AuditRow(person=by, action="activate release", subject=str(release.id)))


async def whole(store: Store, release: ReleaseRow) -> Table:
    """A release's table, read back and compared with what SQL knows of it. Raises `ReleaseError` when they differ."""
    try:
        table = await store.open(release.table_name, release.version)
    except ReleaseError as error:
        raise ReleaseError(f"Release {release.id} cannot be opened ({type(error.__cause__).__name__}).") from error
    try:
        complete = await table.is_complete()
        held = await table.contents() if complete else None
        await table.searchable()
    except Exception as error:
        # LanceDB raises whatever its reader met on a damaged file.
        raise ReleaseError(f"Release {release.id} cannot be read ({type(error).__name__}).") from error
    if held is None:
        raise ReleaseError(f"Release {release.id} is of an older version of assistant, and this one cannot search it.")
    known = Contents(release.passages, held.documents, release.content_hash, release.vectors_hash)
    if held != known:
        raise ReleaseError(
            f"Release {release.id} is damaged: it holds {held.passages} of {release.passages} passages, "
            f"and what it holds {'is' if held.content_hash == release.content_hash else 'is not'} what was stored."
        )
    return table


async def is_whole(store: Store, row: ReleaseRow) -> bool:
    """Whether a release is kept, and found `whole`."""
    if row.state not in KEPT_STATES:
        return False
    try:
        await whole(store, row)
    except ReleaseError:
        return False
    return True


async def restore(db: Database, store: Store) -> None:
    """Keep again what was set aside as damaged and is found whole: its disk or server may have been away."""
    async with db.read() as session:
        aside = await set_aside(session)
    for row in aside:
        try:
            await whole(store, row)
        except ReleaseError:
            continue
        await _keep_again(db, row)


async def _keep_again(db: Database, row: ReleaseRow) -> None:
    row.state, row.note = "retired" if row.retired_at else "ready", ""
    async with db.write() as session:
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == row.id).values(state=row.state, note=""))


async def set_version(db: Database, made: ReleaseRow, version: int) -> None:
    """Note which version of its table a release under construction has come to, for a run that has to go on from it."""
    async with db.write() as session:
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == made.id).values(version=version))


async def activate(db: Database, store: Store, release_id: int, by: str) -> None:
    """Answer people from this release, forward or back, once it is found whole."""
    async with db.read() as session:
        release = await session.get(ReleaseRow, release_id)
    if release is None or release.state not in KEPT_STATES:
        raise InputError(f"There is no kept release {release_id}.", "See `assistant index releases`.")
    await whole(store, release)
    async with db.write() as session:
        fresh = await session.get(ReleaseRow, release_id)
        assert fresh is not None
        await point(session, fresh, by)


async def _held(session: AsyncSession, release_id: int) -> ReleaseRow:
    row = await session.get(ReleaseRow, release_id)
    if row is None or row.state != "held":
        raise InputError(f"There is no held release {release_id}.", "See `assistant index releases`.")
    return row


async def accept(db: Database, store: Store, release_id: int, by: str) -> None:
    """Answer people from a release that was held, with all that its run found of the documents."""
    async with db.read() as session:
        release = await _held(session, release_id)
    await whole(store, release)
    async with db.write() as session:
        release = await _held(session, release_id)
        statement = select(ReleaseChange).where(ReleaseChange.release_id == release_id)
        for change in (await session.exec(statement)).all():
            document = await session.get(DocumentRow, change.document_id)
            if document is not None and document.state != access.LEAVING:
                found = (
                    change.body | {"sketch": bytes.fromhex(change.body["sketch"])} if "sketch" in change.body else {}
                )
                told = DocumentRow.model_validate({**document.model_dump(), **change.body, **found})
                for name in change.body:
                    setattr(document, name, getattr(told, name))
                session.add(document)
        await session.exec(delete(ReleaseChange).where(col(ReleaseChange.release_id) == release_id))
        release.note = ""
        session.add(AuditRow(person=by, action="accept release", subject=str(release_id)))
        await point(session, release, by)
    await duplicates.mark(db)


async def drop(db: Database, release_id: int, by: str) -> None:
    """Let a held release go. The next run builds upon the active one; its table goes with the next sweep."""
    async with db.write() as session:
        await _held(session, release_id)
        await forget_held(session)
        session.add(AuditRow(person=by, action="drop release", subject=str(release_id)))


async def forget_held(session: AsyncSession) -> None:
    """Drop whatever is held, inside the caller's transaction; its report stays."""
    waiting = await held(session)
    if waiting is not None:
        await session.exec(delete(ReleaseChange).where(col(ReleaseChange.release_id) == waiting.id))
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == waiting.id).values(state="dropped"))


async def report_of(db: Database, release_id: int) -> ReleaseReport:
    """What the gate found of a release. Raises `InputError` where it was not asked."""
    async with db.read() as session:
        row = await session.get(ReleaseReport, release_id)
    if row is None:
        raise InputError(f"There is no report on release {release_id}.", "The first release has none.")
    return row


async def open_kept(db: Database, store: Store, release_id: int) -> tuple[ReleaseRow, Table]:
    """A release that is kept or held, for whoever compares it. Raises `InputError` when there is none."""
    async with db.read() as session:
        row = await session.get(ReleaseRow, release_id)
    if row is None or row.state not in {*KEPT_STATES, "held"}:
        raise InputError(f"There is no kept release {release_id}.", "See `assistant index releases`.")
    return row, await store.open(row.table_name, row.version)


async def compare(db: Database, store: Store, first: int, second: int) -> dict[str, list[str]]:
    """The paths of documents that the second release has more, otherwise, or no longer."""
    before = await (await open_kept(db, store, first))[1].documents()
    after = await (await open_kept(db, store, second))[1].documents()
    return {
        "added": sorted(path for i, (path, _) in after.items() if i not in before),
        "changed": sorted(path for i, (path, mark) in after.items() if i in before and before[i] != (path, mark)),
        "removed": sorted(path for i, (path, _) in before.items() if i not in after),
    }


async def history(db: Database, store: Store, document_id: int) -> list[dict[str, Any]]:
    """A document in each release that is kept or held, the newest first.

    `became` says what that release made of it beside the one before: `added`, `changed`, `removed`, `same` or `absent`;
    `unknown` where the release cannot be read, `oldest` in the first one that is kept.
    """
    statement = select(ReleaseRow).where(col(ReleaseRow.state).in_({*KEPT_STATES, "held"})).order_by(col(ReleaseRow.id))
    async with db.read() as session:
        kept = list((await session.exec(statement)).all())
    told: list[dict[str, Any]] = []
    before: frozenset[tuple[int, str]] | None = None
    for row in kept:
        became, passages = "unknown", 0
        try:
            found = await (await store.open(row.table_name, row.version)).of_document(document_id)
        except (ReleaseError, OSError, RuntimeError, ValueError):
            # Damage is told where releases are listed.
            before = None
        else:
            now_, passages = frozenset((p["start"], p["text_hash"]) for p in found), len(found)
            became = _became(before, now_)
            before = now_
        told.append(
            {"release": row.id, "state": row.state, "at": row.created_at, "passages": passages, "became": became}
        )
    return told[::-1]


def _became(before: frozenset[tuple[int, str]] | None, now_: frozenset[tuple[int, str]]) -> str:
    if before is None:
        return "oldest" if now_ else "absent"
    if before == now_:
        return "same" if now_ else "absent"
    return "changed" if before and now_ else "added" if now_ else "removed"


async def open_active(db: Database, store: Store) -> tuple[ReleaseRow, Table]:
    """The active release, read and found whole; else the newest whole one before it, with the damage noted.

    Raises `ReleaseError` when there is none, and when the index as a whole cannot be reached: then nothing is noted.
    """
    async with db.read() as session:
        first = await active(session)
        statement = select(ReleaseRow).where(col(ReleaseRow.state).in_(KEPT_STATES)).order_by(col(ReleaseRow.id).desc())
        kept = list((await session.exec(statement)).all())
    if first is None:
        raise ReleaseError("There is no index yet.", "Run `assistant index sync`.")
    others = [r for r in kept if r.id != first.id]
    # Releases after the active one are there when somebody went back from them: they come last.
    before, after = ([r for r in others if ((r.id or 0) > (first.id or 0)) is later] for later in (False, True))
    for release in [first, *before, *after]:
        try:
            table = await whole(store, release)
        except ReleaseError as error:
            await store.names()
            if release.state == "damaged":
                continue  # said and noted before
            log.error("%s It is set aside; the newest whole release serves. Run `assistant index sync`.", error)
            async with db.write() as session:
                damaged = await session.get(ReleaseRow, release.id)
                assert damaged is not None
                damaged.state, damaged.note = "damaged", str(error)
                session.add(damaged)
            continue
        if release.id != first.id:
            async with db.write() as session:
                fresh = await session.get(ReleaseRow, release.id)
                assert fresh is not None
                await point(session, fresh, "damage check")
            return fresh, table
        if release.state == "damaged":
            await _keep_again(db, release)
        return release, table
    raise ReleaseError("No release is whole.", "Run `assistant index sync`: it builds the index anew.")


async def sweep(db: Database, store: Store, keep: int) -> None:
    """Forget all but the newest `keep` releases, the active and the held one, and the tables that nothing needs.

    Only for whoever holds the lock of runs: what a run left unfinished goes too.
    """
    async with db.write() as session:
        current = await active(session)
        statement = select(ReleaseRow).where(ReleaseRow.state != "dropped").order_by(col(ReleaseRow.id).desc())
        rows = list((await session.exec(statement)).all())
        kept = [r for r in rows if r.state in KEPT_STATES][:keep]
        if current is not None and all(r.id != current.id for r in kept):
            kept.append(current)
        kept += [r for r in rows if r.state == "held"]
        gone = [r for r in rows if r not in kept]
        for row in gone:
            row.state = "dropped"
            session.add(row)
        # A question that began before a release retired still reads its table.
        read = select(ReleaseRow.table_name).where(col(ReleaseRow.retired_at) > now() - SPARED)
        still_read = set((await session.exec(read)).all())
    needed = {r.table_name for r in kept}
    for name in await store.names():
        if name not in needed | still_read:
            await store.drop(name)
    for name in needed:
        try:
            table = await store.open(name)
            # A run that was killed after going live has left its release without a tag.
            await table.keep_only({f"release-{r.id}": r.version for r in kept if r.table_name == name})
            await table.compact()
        except (ReleaseError, OSError, RuntimeError, ValueError) as error:
            # Tidying up must not fail the run that went live before it.
            log.warning("The index table %s could not be tidied up: %s", name, error)
