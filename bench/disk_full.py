"""Lets the disk fill up at many points of a run and of an answer: `make bench-disk-full POINTS=50`; as root.

The installation lies on a small file system in memory, of which a ballast file leaves so much and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

from sqlmodel import col, select

from assistant import bootstrap
from assistant.database.engine import Database
from assistant.database.tables import Message
from assistant.domain import Asker
from assistant.errors import AssistantError, FullError, ReleaseError
from assistant.index import release
from assistant.index.store import Store
from assistant.memory import people
from assistant.settings import ChatSettings, Settings
from bench.kill_index import opened
from tests.index.conftest import put

PAGES, SIZE_MB = 60, 24
QUESTIONS = 3
# Bytes left free at the last point, for a run and for answers: more than either takes at its greatest.
REACH, ANSWERS_REACH = 3_000_000, 600_000
MODEL = "hash-1"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        raise SystemExit("This needs root: it mounts a small file system in memory.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def ballast(disk: Path, free: int) -> Path:
    """A file that leaves so many bytes free."""
    file = disk / "ballast"
    usage = os.statvfs(disk)
    with file.open("wb") as out:
        out.write(bytes(max(0, usage.f_bavail * usage.f_frsize - free)))
    return file


@contextlib.asynccontextmanager
async def answering(home: Path) -> AsyncIterator[tuple[bootstrap.Parts, Asker]]:
    settings = Settings(data=home, chat=ChatSettings(questions_per_minute=10_000))
    async with bootstrap.parts(settings) as parts:
        known = await people.by_email(parts.db, "ada@example.test")
        yield parts, people.asker_of(known or await people.add(parts.db, "ada@example.test"))


async def _content(db: Database, home: Path) -> str:
    return (await release.open_active(db, Store(str(home / "index"))))[0].content_hash


async def _ask(parts: bootstrap.Parts, asker: Asker, counts: Counter[str]) -> list[str]:
    """Ask; returns the ids of the answers that were given as complete."""
    given = []
    for _ in range(QUESTIONS):
        counts["answers"] += 1
        try:
            answer = await parts.answer(asker, "What is the text of page 7?", str(uuid4()))
            counts["answered"] += 1
            given.append(answer.id)
        except FullError:
            counts["said_why"] += 1
        except AssistantError as error:
            counts["other_error"] += 1
            print(error, file=sys.stderr)  # noqa: T201 - what to look at
    return given


async def _point(home: Path, disk: Path, free: int, hashes: tuple[str, str], counts: Counter[str]) -> None:
    counts["points"] += 1
    async with answering(home) as (parts, asker):
        # The server was there before the disk filled up; the run comes after.
        file = ballast(disk, free)
        async with opened(home, MODEL) as index:
            try:
                await index.sync()
                counts["run_ended_well"] += 1
            except (ReleaseError, FullError) as error:
                counts["run_said_why"] += "room" in error.problem and bool(error.action)
        counts["served"] += await _content(parts.db, home) in hashes
        file.unlink()
        # Answers write less than a run: a smaller remainder for them.
        file = ballast(disk, free * ANSWERS_REACH // REACH)
        given = await _ask(parts, asker, counts)
        file.unlink()
        async with parts.db.read() as session:
            rows = await session.exec(select(Message).where(col(Message.id).in_(given), Message.state == "complete"))
            counts["answers_kept"] += len(rows.all())
        async with opened(home, MODEL) as index:
            await index.sync()
        counts["next_run"] += await _content(parts.db, home) == hashes[1]
        counts["answered_after"] += len(await _ask(parts, asker, Counter())) == QUESTIONS


async def measure(points: int) -> dict[str, object]:
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch, small_disk(Path(scratch, "disk")) as disk:
        base, home = Path(scratch, "base"), disk / "home"
        base.mkdir()
        db = Database(f"sqlite+aiosqlite:///{base}/assistant.db")
        await db.migrate()
        await db.close()
        async with opened(base, MODEL) as index:
            await index.sync({f"{n}.md": f"# Page {n}\n\nThe old text of page {n}." for n in range(PAGES)})
            old = await _content(index.db, base)
        async with answering(base):
            pass
        put(base / "share", {f"{n}.md": f"# Page {n}\n\nThe new text of page {n}." for n in range(PAGES)})
        whole = shutil.copytree(base, Path(scratch, "whole"))
        async with opened(whole, MODEL) as index:
            await index.sync()
            new = await _content(index.db, whole)
        for number in range(points):
            shutil.copytree(base, home)
            await _point(home, disk, REACH * number // points, (old, new), counts)
            shutil.rmtree(home)
            (disk / "ballast").unlink(missing_ok=True)
    names = ("points", "run_ended_well", "run_said_why", "served", "answers", "answered", "said_why", "other_error",
             "answers_kept", "next_run", "answered_after")  # fmt: skip
    return {name: counts[name] for name in names}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(os.environ.get("POINTS") or 50)))))  # noqa: T201 - the bench's result
