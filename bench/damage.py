"""Spoils the newest file of each kind in an index and looks at who notices: `make bench-damage`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from assistant.commands import doctor
from assistant.database.engine import Database
from assistant.errors import AssistantError
from assistant.settings import Settings
from bench.kill_index import opened
from tests.index.conftest import Index, asker

PAGES = 60
_NAMELESS = re.compile(r"[0-9a-f-]{8,}|\d+")


def _deleted(file: Path) -> None:
    file.unlink()


def _emptied(file: Path) -> None:
    os.truncate(file, 0)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def _half_zeroed(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": _deleted,
    "emptied": _emptied,
    "cut": _cut,
    "zeroed": _zeroed,
    "half zeroed": _half_zeroed,
}


def kinds(home: Path) -> dict[str, Path]:
    """The newest file of each kind: by its folder, and by its name without what is random or counted in it."""
    newest: dict[str, Path] = {}
    for file in sorted(_files(home / "index"), key=lambda f: f.stat().st_mtime_ns):
        parts = file.relative_to(home / "index").parts
        newest[f"{parts[1]}/{_NAMELESS.sub('*', parts[-1])}"] = file
    return newest


def _files(folder: Path) -> Iterator[Path]:
    return (f for f in folder.rglob("*") if f.is_file())


async def _built(home: Path) -> None:
    home.mkdir()
    db = Database(f"sqlite+aiosqlite:///{home}/assistant.db")
    await db.migrate()
    await db.close()
    async with opened(home, "hash-1") as index:
        await index.sync({f"{n}.md": f"# Page {n}\n\nThe old text of page {n}." for n in range(PAGES)})
        await index.sync({"1.md": "# Page 1\n\nThe new text of page 1.", "2.md": None})


async def _answers(index: Index) -> tuple[int, set[str]]:
    """The release that serves a question, and the texts of all passages."""
    found = await index.knowledge.search(asker(), "text of page", 3 * PAGES)
    return found.release_id, {p.text for p in found.passages}


async def measure() -> dict[str, object]:
    counts = {"cases": 0, "noticed": 0, "served_previous": 0, "harmless": 0, "empty": 0, "next_run": 0}
    slowest = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch, "base")
        await _built(base)
        async with opened(base, "hash-1") as index:
            _, new = await _answers(index)
        names = sorted(kinds(base))
        for kind, (name, damage) in product(names, DAMAGES.items()):
            home = shutil.copytree(base, Path(scratch, "damaged"))
            damage(kinds(home)[kind])
            counts["cases"] += 1
            async with opened(home, "hash-1") as index:
                try:
                    began = time.monotonic()
                    number, texts = await _answers(index)
                    slowest = max(slowest, time.monotonic() - began)
                    counts["empty"] += not texts
                    checks = await doctor.examine(Settings(data=home))
                    named = [c for c in checks if c["state"] == "bad" and c["name"] == "release 2"]
                    counts["noticed"] += bool(named)
                    # Release 1 held all pages; documents that left since stay hidden whichever release serves.
                    counts["served_previous"] += number == 1 and len(texts) == PAGES - 1
                    counts["harmless"] += number == 2 and texts == new and not named
                    await index.sync({"3.md": "# Page 3\n\nMore."})
                    counts["next_run"] += len((await _answers(index))[1]) == PAGES - 1
                except (AssistantError, RuntimeError, OSError) as error:
                    print(f"{kind} {name}: {error}", file=sys.stderr)  # noqa: T201 - what to look at
            shutil.rmtree(home)
    return {**counts, "seconds_max": round(slowest, 2), "kinds": names}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))  # noqa: T201 - the bench's result
