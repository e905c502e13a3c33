"""kill -9 of the server while it does long work: `make bench-kill-work RUNS=20`.

Somebody asks for a folder's summary, which a slow fake model writes document by document as a job. The server is killed
at random moments of it and started again on the same folder. `works` counts the jobs, `done` those whose answer became
the whole result, `lost` those that neither ended nor say that they failed; `again` how many documents were read twice,
of `kills` times up to one second's work each. A job that brings its server down whenever it is begun is `given_up`
after `starts` starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from assistant.memory.work import TRIES
from bench.kill_chat import READY_S, Watcher, _start
from bench.load import accounts, settings_file
from bench.processes import ROOT, free_port, python, running, wait_for

QUESTION = "Summarise the folder it"
# A job takes this long at most, on a busy machine.
PATIENCE_S = 120


@dataclass
class Office:
    """A server that can be killed and started again."""

    base: str
    data: Path
    starter: subprocess.Popen[str]
    server: int = 0

    async def start(self) -> None:
        self.server = await asyncio.to_thread(_start, self.starter)
        await asyncio.to_thread(wait_for, f"{self.base}/health/ready", READY_S)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server, signal.SIGKILL)

    def work(self, answer: str) -> dict[str, Any]:
        """The job of an answer, as it is on disk."""
        with contextlib.closing(sqlite3.connect(self.data / "assistant.db")) as database:
            database.row_factory = sqlite3.Row
            row = database.execute("SELECT state, tries, total, kept FROM work WHERE id = ?", (answer,)).fetchone()
        return (
            {**row, "kept": len(json.loads(row["kept"]))} if row else {"state": "", "tries": 0, "total": 0, "kept": 0}
        )

    async def until(self, answer: str, wanted: Any, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """The job once it is as wanted, or as it is when time is over."""
        end = time.monotonic() + seconds
        while not wanted(found := self.work(answer)) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return found

    async def view(self, watcher: Watcher) -> dict[str, Any]:
        """What its owner reads of the answer, with its text and what its models were called for."""
        headers = {"Origin": self.base}
        async with httpx.AsyncClient(
            base_url=self.base, headers=headers, cookies=watcher.cookies, timeout=60
        ) as client:
            view: dict[str, Any] = (await client.get(f"/api/receipts/{watcher.answer}")).json()
            thread = (await client.get(f"/chat/project/thread/{watcher.thread}")).json()
        steps = {s["id"]: s for s in thread.get("steps", [])}
        with contextlib.closing(sqlite3.connect(self.data / "assistant.db")) as database:
            (body,) = database.execute("SELECT body FROM receipt WHERE id = ?", (watcher.answer,)).fetchone()
        read = sum(a["feature"] == "folder" for a in json.loads(body)["attempts"])
        return {**view, "text": steps.get(watcher.answer, {}).get("output", ""), "read": read}

    async def ask(self, watcher: Watcher) -> None:
        """Ask for the summary; it is a job when the answer says so."""
        watcher._ends = 1
        await watcher.open()
        await watcher.begin(QUESTION)
        end = time.monotonic() + PATIENCE_S
        while not watcher.ended and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await watcher.close()


@contextlib.asynccontextmanager
async def office() -> AsyncIterator[Office]:
    """An installation with the demo's documents, one person and a slow small model."""
    with tempfile.TemporaryDirectory() as name:
        folder, model, port = Path(name), free_port(), free_port()
        config, data = settings_file(folder, model), folder / "data"
        config.write_text(config.read_text(encoding="utf-8").replace('tier = "strong"', 'tier = "small"'), "utf-8")
        command = python("bench.forked_server", str(config), str(data), str(port))
        with (
            running(*python("bench.fake_model", str(model)), TOKENS_PER_S="150"),
            subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as starter,
        ):
            place = Office(f"http://127.0.0.1:{port}", data, starter)
            try:
                await place.start()
                await accounts(config, data, 1)
                yield place
            finally:
                place.kill()
                starter.kill()


async def killed_on_the_way(place: Office, watcher: Watcher, kills: int, rng: random.Random) -> dict[str, Any]:
    """Ask, kill the server so often while it works, and see what came of it."""
    await place.ask(watcher)
    kept = []
    for _ in range(kills):
        found = await place.until(watcher.answer, lambda w: w["state"] == "running")
        await asyncio.sleep(rng.uniform(0.0, 2.5))
        place.kill()
        kept.append(place.work(watcher.answer)["kept"])
        await place.start()
    found = await place.until(watcher.answer, lambda w: w["state"] in {"done", "failed"})
    view = await place.view(watcher)
    return {**found, "view": view, "left": kept[-1] if kept else 0, "kept": kept}


async def killed_whenever_begun(place: Office, watcher: Watcher) -> dict[str, Any]:
    """Ask, and kill the server each time that it takes the job up, before it could do anything."""
    await place.ask(watcher)
    starts, tries = 0, 0
    while starts <= 2 * TRIES:
        last = tries
        found = await place.until(
            watcher.answer, lambda w, last=last: w["tries"] > last or w["state"] in {"done", "failed"}
        )
        if found["tries"] > TRIES or found["state"] in {"done", "failed"}:
            break
        tries = found["tries"]
        place.kill()
        starts += 1
        await place.start()
    found = await place.until(watcher.answer, lambda w: w["state"] in {"done", "failed"})
    return {**found, "starts": starts, "view": await place.view(watcher)}


async def run(runs: int, seed: int = 1, told: Any = lambda *_: None) -> dict[str, Any]:
    """The counts of so many jobs, and under `problems` what was not as it should be."""
    rng, counts, problems = random.Random(seed), Counter[str](), list[str]()
    async with office() as place:
        watcher = Watcher(place.base, "bench0@example.test")
        for number in range(runs):
            kills = rng.randint(1, 2)
            found = await killed_on_the_way(place, watcher, kills, rng)
            view = found["view"]
            counts["works"] += 1
            counts["kills"] += kills
            counts["done"] += found["state"] == "done"
            whole = found["state"] == "done" and view["text"].count("**[") == found["total"]
            if not whole and found["state"] != "failed":
                counts["lost"] += 1
                problems.append(f"{found['state']}: {view['text'][-80:]!r}")
            if found["state"] == "done" and found["kept"][-1]:
                counts["again"] += max(0, view["read"] - (found["total"] - found["left"]))
            told(number, dict(counts))
        bad = await killed_whenever_begun(place, watcher)
        counts["given_up"] = int(bad["state"] == "failed" and bad["view"]["state"] == "failed")
        counts["starts"] = bad["starts"] + 1
        if not counts["given_up"]:
            problems.append(f"begun {bad['tries']} times: {bad['state']}")
    figures = {k: counts[k] for k in ("works", "kills", "done", "lost", "again", "given_up", "starts")}
    return {**figures, "problems": problems[:5]}


def main() -> None:
    found = asyncio.run(run(int(os.environ.get("RUNS", "20")), told=lambda *a: sys.stderr.write(f"{a}\n")))
    print(json.dumps(found))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
