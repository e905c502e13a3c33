"""Own overhead to the first token beside plain Chainlit and a bare streaming proxy: `make bench-load USERS=1,10,50`.

A fake model of known delay (300 ms, 50 tokens a second), people with 5 s between questions, the real server with
sign-in, history, receipts and ratings on. Every question carries a word of its own that the model repeats.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil

from assistant.database.engine import Database
from assistant.memory import people
from assistant.settings import PROJECT, load
from bench.chainlit_client import Person
from bench.fake_model import FIRST_S
from bench.processes import ASSISTANT, cpu_s, free_port, python, running, wait_for

TURNS = int(os.environ.get("TURNS", "3"))
THINK_S = float(os.environ.get("THINK", "5"))
PASSWORD = "bench-password-1"
QUESTIONS = [
    "How many vacation days do I get in Leeds?",
    "What is the limit for hotel costs per night?",
    "Until when must leftover holidays be used up?",
    "How long is the parental leave?",
    "Who approves travel to a customer?",
]


def row(target: str, users: int, turns: list[dict[str, Any]], cpu: float) -> dict[str, Any]:
    over = sorted((t["first"] - FIRST_S) * 1000 for t in turns if t["own"])
    return {
        "target": target,
        "users": users,
        "turns": len(turns),
        "failed": sum(bool(t["error"]) for t in turns),
        "over_ms_p50": round(statistics.median(over)) if over else None,
        "over_ms_p95": round(over[min(len(over) - 1, int(0.95 * len(over)))]) if over else None,
        "cpu_ms_per_turn": round(cpu * 1000 / max(1, len(turns))),
        "wrong_person": sum(t["wrong"] for t in turns),
        "without_model": sum(not (t["own"] or t["wrong"] or t["error"]) for t in turns),
        "errors": sorted({t["error"] for t in turns if t["error"]})[:3],
    }


async def people_ask(open_one: Any, users: int, process: psutil.Process) -> tuple[list[dict[str, Any]], float]:
    turns: list[dict[str, Any]] = []

    async def one(i: int, ask: Any, close: Any) -> None:
        rng = random.Random(i)
        await asyncio.sleep(rng.uniform(0, THINK_S))
        for n in range(TURNS):
            nonce = f"nonce-{uuid.uuid4().hex[:10]}"
            first, text, error = await ask(f"{rng.choice(QUESTIONS)} {nonce}")
            # A declined question has no model's word in it; somebody else's word is the fault.
            seen = set(re.findall(r"nonce-\w+", text))
            turns.append({"first": first or 0.0, "error": error, "wrong": bool(seen - {nonce}), "own": nonce in seen})
            if n + 1 < TURNS:
                await asyncio.sleep(min(rng.expovariate(1 / THINK_S), 4 * THINK_S) if THINK_S else 0)
        await close()

    # Only ours has a sign-in, whose password hash is slow on purpose: everybody is in before the clock starts.
    opened = [await open_one(i) for i in range(users)]
    before = cpu_s(process)
    await asyncio.gather(*(one(i, *person) for i, person in enumerate(opened)))
    return turns, cpu_s(process) - before


def chainlit(base: str, *, signed_in: bool) -> Any:
    async def open_one(i: int) -> Any:
        person = Person(base, f"bench{i}@example.test", PASSWORD) if signed_in else Person(base, path="")
        await person.open()

        async def ask(question: str) -> tuple[float | None, str, str]:
            turn = await person.ask(question)
            return (turn.first - turn.sent) if turn.first else None, turn.text, turn.error

        return ask, person.close

    return open_one


def floor(base: str) -> Any:
    client = httpx.AsyncClient(base_url=base, timeout=60, limits=httpx.Limits(max_connections=1000))

    async def open_one(_: int) -> Any:
        async def ask(question: str) -> tuple[float | None, str, str]:
            began, first, text = time.monotonic(), None, ""
            body = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": question}]}
            async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                async for piece in reply.aiter_text():
                    first = first or time.monotonic() - began
                    text += piece
            return first, text, "" if first else "empty"

        async def close() -> None:
            return None

        return ask, close

    return open_one


def settings_file(folder: Path, model_port: int) -> Path:
    """The project's settings with the fake model as the strong tier."""
    text = (PROJECT / "assistant.toml").read_text(encoding="utf-8").replace('path = "data/', f'path = "{PROJECT}/data/')
    text += (
        "\n[chat]\ncache_minutes = 0\n"
        "\n[[models.deployments]]\n"
        'name = "fake"\ntier = "strong"\nmodel = "openai/fake"\n'
        f'api_base = "http://127.0.0.1:{model_port}/v1"\nprice_in = 1\nprice_out = 4\n'
    )
    file = folder / "assistant.toml"
    file.write_text(text, encoding="utf-8")
    return file


async def accounts(config: Path, data: Path, count: int) -> None:
    db = Database(load(config, data).database_url)
    await db.migrate()
    for i in range(count):
        await people.add(db, f"bench{i}@example.test", password=PASSWORD)
    await db.close()


async def main() -> None:
    counts = [int(n) for n in os.environ.get("USERS", "1,10,50").split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, proxy, port, plain = free_port(), free_port(), free_port(), free_port()
        config = settings_file(folder, model)
        with (
            running(*python("bench.fake_model", str(model))),
            running(*python("bench.floor", str(proxy), f"http://127.0.0.1:{model}")) as proxy_process,
            running(
                ASSISTANT, "serve", "--config", config, "--data", folder / "data", "--port", str(port)
            ) as server_process,
            running(
                *python("chainlit", "run", str(PROJECT / "bench/plain.py"), "--headless", "--port", str(plain)),
                CHAINLIT_APP_ROOT=name,
                MODEL=f"http://127.0.0.1:{model}",
            ) as plain_process,
        ):
            wait_for(f"http://127.0.0.1:{port}/health/ready", 300)
            wait_for(f"http://127.0.0.1:{plain}/", 300)
            await accounts(config, folder / "data", max(counts))
            for users in counts:
                # They take turns, so that a drift of the machine meets all.
                for target, open_one, process in (
                    ("floor", floor(f"http://127.0.0.1:{proxy}"), proxy_process),
                    ("plain", chainlit(f"http://127.0.0.1:{plain}", signed_in=False), plain_process),
                    ("ours", chainlit(f"http://127.0.0.1:{port}", signed_in=True), server_process),
                ):
                    turns, cpu = await people_ask(open_one, users, process)
                    rows.append(row(target, users, turns, cpu))
    print(json.dumps({"rows": rows}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
