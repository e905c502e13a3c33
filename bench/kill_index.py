"""Kills indexing runs at random moments and looks at what is left: `make bench-kill-index RUNS=200`."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from unittest import mock

from assistant.database.engine import Database
from assistant.errors import AssistantError
from assistant.index import filling, release
from tests.index.conftest import HashEmbedder, Index, InThisProcess, put

# A process that has imported everything, from which those to be killed are made.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["bench.kill_index"])
PAGES = 60
MODELS = ("hash-1", "hash-2")


@asynccontextmanager
async def opened(home: Path, model: str) -> AsyncIterator[Index]:
    db = Database(f"sqlite+aiosqlite:///{home}/assistant.db")
    try:
        index = Index(home, db)
        index.embedder = HashEmbedder(model)
        # Files are read in the very process that is killed: that its workers end with it, test_workers shows.
        with mock.patch.object(filling, "Workers", InThisProcess):
            yield index
    finally:
        await db.close()


def _sync(home: str, model: str, began: Event) -> None:
    async def run() -> None:
        async with opened(Path(home), model) as index:
            began.set()
            await index.sync()

    asyncio.run(run())


def started(home: Path, model: str) -> BaseProcess:
    """A run in a process of its own, past its imports."""
    began = _processes.Event()
    process = _processes.Process(target=_sync, args=(str(home), model, began))
    process.start()
    if not began.wait(120):
        raise TimeoutError("the run did not begin")
    return process


async def _served(index: Index) -> tuple[str, int]:
    """The content hash of the release that answers, read back whole, and how often one of its passages is there twice.

    Raises `ReleaseError` when none can be opened.
    """
    row, table = await release.open_active(index.db, index.store)
    ids = [r["id"] async for r in table.rows(["id"])]
    return row.content_hash, len(ids) - len(set(ids))


async def measure(runs: int, pages: int = PAGES) -> dict[str, object]:
    """Half of the runs change documents in the table that serves, half build a new one for another model.

    All change two thirds of the pages, remove one, add one and move one into a folder.
    """
    rng = random.Random(7)
    counts = {"runs": 0, "opened": 0, "whole": 0, "same_hash": 0, "duplicates": 0, "ended_before": 0}
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch, "base")
        base.mkdir()
        db = Database(f"sqlite+aiosqlite:///{base}/assistant.db")
        await db.migrate()
        await db.close()
        async with opened(base, MODELS[0]) as index:
            await index.sync({f"{n}.md": f"# Page {n}\n\nThe old text of page {n}." for n in range(pages)})
            old, _ = await _served(index)
        changed = {f"{n}.md": f"# Page {n}\n\nThe new text of page {n}." for n in range(pages * 2 // 3)}
        kept = f"{pages - 2}.md"
        moved = {kept: None, f"moved/{kept}": (base / "share" / kept).read_text()}
        put(
            base / "share", {**changed, **moved, f"{pages - 1}.md": None, f"{pages}.md": f"# Page {pages}\n\nOne more."}
        )
        wanted, took = {}, {}
        for model in MODELS:
            home = shutil.copytree(base, Path(scratch, "undisturbed"))
            process = await asyncio.to_thread(started, home, model)
            began = time.monotonic()
            await asyncio.to_thread(process.join)
            took[model] = time.monotonic() - began
            async with opened(home, model) as index:
                wanted[model], _ = await _served(index)
            shutil.rmtree(home)
        for number in range(runs):
            model = MODELS[number % 2]
            home = shutil.copytree(base, Path(scratch, "killed"))
            process = await asyncio.to_thread(started, home, model)
            await asyncio.sleep(rng.uniform(0, took[model]))
            counts["ended_before"] += not process.is_alive()
            process.kill()
            await asyncio.to_thread(process.join)
            counts["runs"] += 1
            async with opened(home, model) as index:
                try:
                    content, twice = await _served(index)
                    counts["opened"] += 1
                    counts["whole"] += content in {old, wanted[model]}
                    await index.sync()
                    after, again = await _served(index)
                    counts["same_hash"] += after == wanted[model]
                    counts["duplicates"] += twice + again
                except AssistantError as error:
                    print(f"run {number}: {error}", file=sys.stderr)  # noqa: T201 - what to look at
            shutil.rmtree(home)
    return counts


if __name__ == "__main__":
    # LanceDB warns of every process that is forked; this one is forked before it is used.
    os.environ["PYTHONWARNINGS"] = "ignore"
    print(json.dumps(asyncio.run(measure(int(os.environ.get("RUNS") or 200)))))  # noqa: T201 - the bench's result
