"""Starts indexing runs as processes of their own, when somebody asks and when a source is due."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import RunRow
from assistant.domain import now
from assistant.index import schedule
from assistant.index.told import tell
from assistant.ops.alerts import channels
from assistant.settings import Settings

log = logging.getLogger(__name__)
# A run whose process has said nothing for so long is not waited for.
SILENT = timedelta(seconds=60)
DUE_S = 5.0
SAID_BYTES, SAID_CHARS = 100_000, 400
_KIND = re.compile(r"^([\w.]+(?:Error|Exception))\b", re.MULTILINE)
_children: set[asyncio.Task[None]] = set()


async def start(
    settings: Settings,
    started_by: str,
    *,
    only: Sequence[str] = (),
    on_terminal: bool = False,
    allow_removals: bool = False,
    retry_failed: bool = False,
) -> int:
    """Begin a run in a child process, and return its id. Whether another one runs is decided by its lock, not here.

    `only` names the sources to index, all of them when it is empty. `on_terminal` lets the child draw its progress
    bar where this process was started.
    """
    command = [sys.executable, "-m", "assistant", "index", "sync", "--json", f"--started-by={started_by}"]
    # A file, not a pipe: the run outlives this process, and must not stop for want of a reader.
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the run is over
    process = await asyncio.create_subprocess_exec(
        *command,
        *(f"--only={name}" for name in only),
        *["--allow-removals"] * allow_removals,
        *["--retry-failed"] * retry_failed,
        "--data",
        str(settings.data),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=None if on_terminal else said,
        env={**os.environ, "ASSISTANT_DATA": str(settings.data)},
        start_new_session=True,
    )

    began = now()

    async def reap() -> None:
        with said:
            code = await process.wait()
            why = ""
            if code:
                said.seek(max(0, said.seek(0, os.SEEK_END) - SAID_BYTES))
                why = _why(said.read())
                log.warning("an indexing run ended with exit code %d%s", code, why)
            if code < 0:
                await _note_killed(settings, started_by, process.pid, -code)
            elif code:
                unbegun = RunRow(started_by=started_by, host=socket.gethostname(), pid=process.pid, started_at=began)
                unbegun.message = why.removeprefix(": ") or f"exit code {code}"
                await _note_unbegun(settings, unbegun)

    task = asyncio.create_task(reap())
    _children.add(task)
    task.add_done_callback(_children.discard)
    return process.pid


async def _note_killed(settings: Settings, started_by: str, pid: int, signal: int) -> None:
    """Note that a run was killed, perhaps before it had a row, and tell: itself it cannot, and the next may be far."""
    db = Database(settings.database_url, settings.database.busy_s)
    try:
        async with db.write() as session:
            host = socket.gethostname()
            ours = (RunRow.state == "running", RunRow.host == host, RunRow.pid == pid)
            row = (await session.exec(select(RunRow).where(*ours))).first() or RunRow(
                started_by=started_by, host=host, pid=pid
            )
            row.state, row.finished_at = "abandoned", now()
            session.add(row)
            await session.flush()
            tell(
                session,
                channels(settings),
                "run failed",
                f"Indexing run {row.id} was killed (signal {signal}), perhaps because memory ran out. "
                "People are answered as before. Start it again: it goes on where this one stopped.",
            )
    finally:
        await db.close()


async def _note_unbegun(settings: Settings, run: RunRow) -> None:
    """Note that a run ended before it had a row of its own, and tell: whoever started it looks for one.

    Where another run is under way that is why, and it is seen.
    """
    db = Database(settings.database_url, settings.database.busy_s)
    try:
        if is_running(await latest_run(db)):
            return
        async with db.write() as session:
            its_own = (RunRow.host == run.host, RunRow.pid == run.pid, col(RunRow.started_at) >= run.started_at)
            if (await session.exec(select(RunRow).where(*its_own))).first() is not None:
                return
            run.state, run.finished_at = "failed", now()
            session.add(run)
            await session.flush()
            text = f"Indexing run {run.id} could not begin: {run.message} People are answered as before."
            tell(session, channels(settings), "run failed", text)
    finally:
        await db.close()


def _why(said: bytes) -> str:
    """What a run said last, for the log: a sentence of ours whole, of any other error its kind alone.

    What libraries say before that may hold text of documents.
    """
    text = said.decode("utf-8", "replace").strip()
    if "Traceback" in text:
        kinds = _KIND.findall(text)
        return f": {kinds[-1]}" if kinds else ""
    return f": {text.splitlines()[-1][:SAID_CHARS]}" if text else ""


def search_contradictions(settings: Settings) -> None:
    """Begin to look for contradictions in the release that answers now, as a run does; who asked need not wait.

    The child outlives this process: up to a minute of one core, for a list that nobody is waiting for.
    """
    command = [sys.executable, "-m", "assistant", "index", "contradictions", "--anew", "--json"]
    null = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--data", str(settings.data)],
        stdin=null,
        stdout=null,
        stderr=null,
        env={**os.environ, "ASSISTANT_DATA": str(settings.data)},
        start_new_session=True,
    )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, 10)
    threading.Thread(target=process.wait, name="contradictions", daemon=True).start()


async def latest_run(db: Database) -> RunRow | None:
    async with db.read() as session:
        row: RunRow | None = (await session.exec(select(RunRow).order_by(col(RunRow.id).desc()).limit(1))).first()
    return row


def is_starting() -> bool:
    """Whether a child of this process is there, though it may not have said anything yet."""
    return bool(_children)


def is_running(run: RunRow | None) -> bool:
    return run is not None and run.state == "running" and now() - run.beat_at < SILENT


async def start_due(settings: Settings, db: Database) -> list[str]:
    """Start a run of the sources that are due, unless one is under way: then they stay due. Returns their names."""
    await schedule.plan(db, settings.sources, settings.data / "sources")
    if is_starting() or is_running(await latest_run(db)):
        return []
    due = await schedule.take_due(db, [s.name for s in settings.sources])
    if due:
        await start(settings, "schedule", only=due)
    return due
