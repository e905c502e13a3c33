"""The first run of an installation, and how far the newest one is, for people who wait. The chat goes on meanwhile."""

from __future__ import annotations

from typing import Any

from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import ActiveRelease, DocumentRow
from assistant.ops.runs import is_running, is_starting, latest_run, start
from assistant.settings import Settings


async def first(settings: Settings, db: Database) -> None:
    """On a start without any release, index what is configured."""
    async with db.read() as session:
        active = await session.get(ActiveRelease, 1)
    if settings.sources and (active is None or active.release_id is None):
        await start(settings, "first start", on_terminal=True)


async def progress(db: Database) -> dict[str, Any]:
    """The active release and how far the newest run is."""
    async with db.read() as session:
        active = await session.get(ActiveRelease, 1)
        documents = (await session.exec(select(DocumentRow.id).limit(1))).first()
    run = await latest_run(db)
    release = active.release_id if active else None
    running = is_running(run) or (is_starting() and release is None)
    return {
        "release": release,
        "running": running,
        "done": run.done if run else 0,
        "total": run.total if run else 0,
        "message": run.message if run else "",
        "documents": documents is not None,
    }
