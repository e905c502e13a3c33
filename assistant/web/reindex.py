"""Starts indexing in a process of its own and says how far it is. The chat goes on meanwhile."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ActiveRelease, DocumentRow, RunRow
from assistant.domain import now
from assistant.settings import Settings

log = logging.getLogger(__name__)
# A run whose process has said nothing for so long is not waited for.
SILENT = timedelta(seconds=60)
_children: set[asyncio.Task[None]] = set()


async def start(
    settings: Settings,
    started_by: str,
    *,
    on_terminal: bool = False,
    source: str = "",
    allow_removals: bool = False,
    retry_failed: bool = False,
) -> None:
    """Begin a run in a child process, of all sources or of one. Whether another one runs is decided by its lock.

    `on_terminal` lets the child draw its progress bar where this process was started.
    """
    command = [sys.executable, "-m", "assistant", "index", "sync", "--json", f"--started-by={started_by}"]
    command += [f"--source={source}"] if source else []
    command += ["--allow-removals"] * allow_removals + ["--retry-failed"] * retry_failed
    process = await asyncio.create_subprocess_exec(
        *command,
        "--data",
        str(settings.data),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=None if on_terminal else asyncio.subprocess.DEVNULL,
        env={**os.environ, "ASSISTANT_DATA": str(settings.data)},
        start_new_session=True,
    )

    async def reap() -> None:
        if code := await process.wait():
            log.warning("an indexing run ended with exit code %d", code)

    task = asyncio.create_task(reap())
    _children.add(task)
    task.add_done_callback(_children.discard)


async def first(settings: Settings, db: Database) -> None:
    """On a start without any release, index what is configured."""
    async with db.read() as session:
        active = await session.get(ActiveRelease, 1)
    if settings.sources and (active is None or active.release_id is None):
        await start(settings, "first start", on_terminal=True)


async def latest_run(db: Database) -> RunRow | None:
    async with db.read() as session:
        row: RunRow | None = (await session.exec(select(RunRow).order_by(col(RunRow.id).desc()).limit(1))).first()
    return row


def is_starting() -> bool:
    """Whether a child of this process is there, though it may not have said anything yet."""
    return bool(_children)


def is_running(run: RunRow | None) -> bool:
    return run is not None and run.state == "running" and now() - run.beat_at < SILENT


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
