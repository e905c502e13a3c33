"""Releases: what is searched. Checked, activated and rolled back in one row of SQL; damage is found by reading."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import ActiveRelease, AuditRow, ReleaseRow
from assistant.domain import now
from assistant.errors import InputError, ReleaseError
from assistant.index.store import Contents, Store, Table

log = logging.getLogger(__name__)
KEPT_STATES = ("ready", "retired")
# The gate: given a release, raises `ReleaseError` when it must not go live.
Check = Callable[[ReleaseRow], Awaitable[None]]


async def active(session: AsyncSession) -> ReleaseRow | None:
    """The release people are answered from."""
    row = await session.get(ActiveRelease, 1)
    return await session.get(ReleaseRow, row.release_id) if row and row.release_id else None


async def newest(session: AsyncSession) -> ReleaseRow | None:
    """The release of the last run, which is what the documents in SQL tell of; another may be active."""
    return (await session.exec(select(ReleaseRow).order_by(col(ReleaseRow.id).desc()).limit(1))).first()


async def point(session: AsyncSession, release: ReleaseRow, by: str) -> None:
    """Make a release the active one, inside the caller's transaction."""
    row = await session.get(ActiveRelease, 1) or ActiveRelease(id=1)
    if row.release_id and row.release_id != release.id:
        before = await session.get(ReleaseRow, row.release_id)
        if before is not None and before.state == "ready":
            before.state = "retired"
            session.add(before)
    release.state, release.activated_at = "ready", now()
    session.add(release)
    await session.flush()
    row.release_id, row.activated_by, row.updated_at = release.id, by, now()
    session.add(row)
    session.add(AuditRow(person=by, action="activate release", subject=str(release.id)))


async def whole(store: Store, release: ReleaseRow) -> Table:
    """A release's table, read back and compared with what SQL knows of it. Raises `ReleaseError` when they differ."""
    table = await store.open(release.table_name, release.version)
    try:
        held = await table.contents()
        await table.searchable()
    except Exception as error:
        # LanceDB raises whatever its reader met on a damaged file.
        raise ReleaseError(f"Release {release.id} cannot be read ({type(error).__name__}).") from error
    known = Contents(release.passages, held.documents, release.content_hash, release.vectors_hash)
    if held != known:
        raise ReleaseError(
            f"Release {release.id} is damaged: it holds {held.passages} of {release.passages} passages, "
            f"and what it holds {'is' if held.content_hash == release.content_hash else 'is not'} what was stored."
        )
    return table


async def activate(db: Database, store: Store, release_id: int, by: str, check: Check | None = None) -> None:
    """Answer people from this release, forward or back, once it is found whole and passes the check."""
    async with db.read() as session:
        release = await session.get(ReleaseRow, release_id)
    if release is None or release.state not in KEPT_STATES:
        raise InputError(f"There is no kept release {release_id}.", "See `assistant index releases`.")
    await whole(store, release)
    if check is not None:
        await check(release)
    async with db.write() as session:
        fresh = await session.get(ReleaseRow, release_id)
        assert fresh is not None
        await point(session, fresh, by)


async def open_active(db: Database, store: Store) -> tuple[ReleaseRow, Table]:
    """The active release, read and found whole; else the newest whole one before it, with the damage noted.

    Raises `ReleaseError` when there is none.
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
        return release, table
    raise ReleaseError("No release is whole.", "Run `assistant index sync`: it builds the index anew.")


async def sweep(db: Database, store: Store, keep: int) -> None:
    """Forget all but the newest `keep` releases and the active one, and the tables that nothing needs."""
    async with db.write() as session:
        current = await active(session)
        statement = select(ReleaseRow).order_by(col(ReleaseRow.id).desc())
        rows = list((await session.exec(statement)).all())
        kept = [r for r in rows if r.state in KEPT_STATES][:keep]
        if current is not None and all(r.id != current.id for r in kept):
            kept.append(current)
        gone = [r for r in rows if r not in kept and r.state != "dropped"]
        for row in gone:
            row.state = "dropped"
            session.add(row)
    needed = {r.table_name for r in kept}
    for name in await store.names():
        if name not in needed:
            await store.drop(name)
    for name in needed:
        try:
            table = await store.open(name)
            for row in kept:
                if row.table_name == name:
                    # A run that was killed after going live has left its release without a tag.
                    await table.tag(f"release-{row.id}", row.version)
            for row in gone:
                if row.table_name == name:
                    await table.untag(f"release-{row.id}")
            await table.compact()
        except (ReleaseError, OSError, RuntimeError, ValueError) as error:
            # Tidying up must not fail the run that went live before it.
            log.warning("The index table %s could not be tidied up: %s", name, error)
