"""kill -9 of the server while it answers: `make bench-kill-chat RUNS=200`.

Several people ask a real server over their sockets; a slow fake model writes. At a random moment the server is killed,
started again on the same folder, and everybody looks at what became of their talk: a question that the page had been
told was kept must be there, and an answer that did not end must be marked and must be answered when asked again.
`messages` counts acknowledged questions, `cut` the answers that were begun and did not end, `marked` those of them
that say so and can be asked again.
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
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.chainlit_client import Person
from bench.load import PASSWORD, QUESTIONS, accounts, settings_file
from bench.processes import ROOT, free_port, python, running, wait_for

PEOPLE = 4
# An answer of the fake model takes 1.5 s after some tenths for the search.
LATEST_KILL_S = 2.5
READY_S = 300


@dataclass
class Watcher(Person):
    """A person who notes what the page is told of each question."""

    base: str
    email: str
    thread: str = ""
    asked: str = ""
    question: str = ""
    answer: str = ""
    ended: bool = False
    cookies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.base, self.email, PASSWORD)
        self._ends = 1  # our start hook ends once

    async def _sign_in(self) -> None:
        # A session outlives the server; signing in anew each time would only cost time.
        if self.cookies:
            self._http.cookie_jar.update_cookies(self.cookies)
            return
        await super()._sign_in()
        self.cookies = {c.key: c.value for c in self._http.cookie_jar}

    async def begin(self, question: str) -> None:
        """Send a question; what comes back is noted as it comes."""
        self.asked, self.question, self.answer, self.ended = str(uuid.uuid4()), question, "", False
        for event, heard in (("window_message", self._news), ("first_interaction", self._named)):
            self._socket.on(event, heard)
        message = {"id": self.asked, "type": "user_message", "output": question, "threadId": "", "name": "x"}
        await self._socket.emit("client_message", {"message": message, "fileReferences": []})

    def _named(self, data: dict[str, Any], *_: Any) -> None:
        self.thread = str(data["thread_id"])

    def _news(self, data: dict[str, Any], *_: Any) -> None:
        # The first word of an answer comes after its question was stored.
        self.answer, self.thread = str(data["assistant"]), str(data["thread"])
        self.ended = self.ended or bool(data.get("done"))


async def looks(base: str, person: Watcher, counts: Counter[str], problems: list[str]) -> None:
    """What a person finds who comes back after the kill."""
    if not person.answer:
        return  # nothing had been said to them yet
    counts["messages"] += 1
    headers = {"Origin": base}
    async with httpx.AsyncClient(base_url=base, headers=headers, cookies=person.cookies, timeout=60) as client:
        thread = (await client.get(f"/chat/project/thread/{person.thread}")).json()
        steps = {s["id"]: s for s in thread.get("steps", [])}
        if steps.get(person.asked, {}).get("output") != person.question:
            counts["lost"] += 1
            problems.append(f"lost {person.asked}")
            return
        view = (await client.get(f"/api/receipts/{person.answer}")).json()
        if person.ended:
            if view.get("state") != "complete":
                counts["lost"] += 1
                problems.append(f"an answer shown as whole is {view.get('state')}")
            return
        counts["cut"] += 1
        if view.get("state") == "complete":
            # It had been stored whole; only the news of it did not arrive.
            counts["cut"] -= 1
            return
        shown = steps.get(person.answer, {}).get("output", "")
        if view.get("state") != "interrupted" or view.get("ask_again") != person.question or "cut off" not in shown:
            problems.append(f"{view.get('state')}: {shown[-60:]!r}")
            return
        again = await client.post(f"/api/answers/{person.answer}/again")
        if again.status_code == 200 and await _whole(client, again.json()["answer"]):
            counts["marked"] += 1
        else:
            problems.append(f"asked again: {again.status_code}")


async def _whole(client: httpx.AsyncClient, answer: str) -> bool:
    for _ in range(300):
        view = (await client.get(f"/api/receipts/{answer}")).json()
        if view.get("state") == "complete":
            return True
        await asyncio.sleep(0.1)
    return False


async def attack(
    base: str, server: int, rng: random.Random, kept: dict[int, dict[str, str]], *, heard: bool
) -> list[Watcher]:
    """Everybody asks, and the server dies at a random moment of it; `heard`: after somebody was told something."""
    watchers = [Watcher(base, f"bench{i}@example.test", cookies=kept.get(i, {})) for i in range(PEOPLE)]
    await asyncio.gather(*(w.open() for w in watchers))
    kept.update({i: w.cookies for i, w in enumerate(watchers)})
    await asyncio.gather(*(w.begin(f"{rng.choice(QUESTIONS)} nonce-{uuid.uuid4().hex[:8]}") for w in watchers))
    async with asyncio.timeout(READY_S):
        while heard and not any(w.answer for w in watchers):
            await asyncio.sleep(0.01)
    await asyncio.sleep(rng.uniform(0.0, LATEST_KILL_S))
    os.kill(server, signal.SIGKILL)
    for watcher in watchers:
        with contextlib.suppress(Exception):
            await watcher.close()
    return watchers


def _streaming(data: Path) -> int:
    with contextlib.closing(sqlite3.connect(data / "assistant.db")) as database:
        found = database.execute("SELECT count(*) FROM message WHERE state = 'streaming'").fetchone()
        return int(found[0])


def _start(starter: subprocess.Popen[str]) -> int:
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.write("\n")
    starter.stdin.flush()
    return int(starter.stdout.readline())


async def kill(runs: int, seed: int = 1, told: Any = lambda *_: None) -> dict[str, Any]:
    """Kill the server `runs` times; the counts, and under `problems` what was not as it should be."""
    rng, counts, problems = random.Random(seed), Counter[str](), list[str]()
    kept: dict[int, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, port = free_port(), free_port()
        base, data = f"http://127.0.0.1:{port}", folder / "data"
        config = settings_file(folder, model)
        command = python("bench.forked_server", str(config), str(data), str(port))
        watchers: list[Watcher] = []
        with (
            running(*python("bench.fake_model", str(model))),
            subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as starter,
        ):
            server = 0
            try:
                for run in range(runs + 1):
                    server = await asyncio.to_thread(_start, starter)
                    await asyncio.to_thread(wait_for, f"{base}/health/ready", READY_S)
                    if run == 0:
                        await accounts(config, data, PEOPLE)
                    if unmarked := _streaming(data):
                        counts["cut"] += unmarked
                        problems.append(f"{unmarked} answers that nobody writes are not marked")
                    await asyncio.gather(*(looks(base, w, counts, problems) for w in watchers))
                    if run < runs:
                        # On a slow machine few kills might all come before the first word of an answer.
                        watchers = await attack(base, server, rng, kept, heard=run == runs - 1)
                    told(run, counts, problems)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL) if server else None
                starter.kill()
    figures = {k: counts[k] for k in ("messages", "lost", "cut", "marked")}
    return {"runs": runs, **figures, "problems": problems[:5]}


def main() -> None:
    began = time.monotonic()

    def told(run: int, counts: Counter[str], problems: list[str]) -> None:
        line = f"{run} {dict(counts)} {problems[-1:]} {time.monotonic() - began:.0f} s\n"
        sys.stderr.write(line)

    found = asyncio.run(kill(int(os.environ.get("RUNS", "20")), told=told))
    print(json.dumps(found))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
