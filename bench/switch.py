"""Changes the embedding model and the splitter while people ask: `make bench-switch ASKERS=50`."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from assistant import bootstrap, settings
from assistant.domain import Answer, Asker
from assistant.errors import AssistantError
from assistant.index import joining, release
from assistant.index.store import Store
from assistant.memory import people
from bench.index import WORDS, corpus
from bench.processes import ROOT
from tests.fakes.embeddings import FakeEmbeddings
from tests.fakes.serve import serving

# Seconds that people go on asking after each change.
AFTER_S = 3.0


def _written(home: Path, name: str, address: str, words: int) -> Path:
    file = home / f"{name}.toml"
    file.write_text(
        f'data = "{home}/data"\n[chat]\nquestions_per_minute = 10000\n[index]\nembedder = "openai/{name}"\n'
        f'embedder_api_base = "{address}/v1"\npassage_words = {words}\n'
        f'[[sources]]\nname = "share"\npath = "{home}/documents"\n'
    )
    return file


async def _sync(config: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "assistant", "index", "sync", "--config", str(config), "--json",
        cwd=ROOT, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await child.wait():
        raise SystemExit(f"the run with {config.name} failed")


async def measure(askers: int, documents: int) -> dict[str, object]:
    fake = FakeEmbeddings()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "documents").mkdir()
        corpus(home / "documents", documents)
        async with serving(fake.app) as address:
            before, after = _written(home, "before", address, 180), _written(home, "after", address, 120)
            await _sync(before)
            return await _switched(settings.load(before), after, askers, fake)


async def _switched(own: settings.Settings, after: Path, askers: int, fake: FakeEmbeddings) -> dict[str, object]:
    answers: list[Answer] = []
    failed: list[str] = []
    seconds: list[float] = []
    done = asyncio.Event()
    async with bootstrap.parts(own) as parts:

        async def ask(asker: Asker, number: int) -> None:
            n = 0
            while not done.is_set():
                n += 1
                words = (WORDS[(number * 31 + n * 17 + i * 7) % len(WORDS)] for i in range(3))
                began = time.monotonic()
                try:
                    answers.append(await parts.answer(asker, f"When is the {' '.join(words)} due?"))
                except AssistantError as error:
                    failed.append(str(error))
                seconds.append(time.monotonic() - began)

        persons = [people.asker_of(await people.add(parts.db, f"p{n}@example.test")) for n in range(askers)]
        tasks = [asyncio.create_task(ask(person, n)) for n, person in enumerate(persons)]
        await asyncio.sleep(AFTER_S)
        await _sync(after)
        await asyncio.sleep(AFTER_S)
        for number in (1, 2):
            await release.activate(parts.db, Store(own.index_uri), number, "bench")
            await asyncio.sleep(AFTER_S)
        done.set()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                failed.append(repr(result))
        known = {}
        for number in {a.receipt.release for a in answers} - {None}:
            _, table = await release.open_kept(parts.db, Store(own.index_uri), number or 0)
            shown = {p.passage for a in answers if a.receipt.release == number for p in a.receipt.passages}
            known[number] = {r["id"]: r["text_hash"] for r in await joining.read(table, sorted(shown))}
    mixed = sum(
        any(known.get(a.receipt.release, {}).get(p.passage) != p.text_hash for p in a.receipt.passages) for a in answers
    )
    failed += [f"{a.receipt.outcome}: {a.text}" for a in answers if a.receipt.outcome != "complete"]
    for reason, count in Counter(failed).items():
        print(f"{count} times: {reason}", file=sys.stderr)  # noqa: T201 - what to look at
    return {
        "questions": len(seconds),
        "failed": len(failed),
        "mixed": mixed,
        "by_release": dict(sorted(Counter(a.receipt.release for a in answers).items(), key=str)),
        "with_passages": sum(bool(a.receipt.passages) for a in answers),
        "texts_embedded": dict(fake.texts),
        "seconds_p50": round(statistics.median(seconds), 1),
        "seconds_max": round(max(seconds), 1),
    }


if __name__ == "__main__":
    askers, documents = int(os.environ.get("ASKERS") or 50), int(os.environ.get("DOCS") or 200)
    print(json.dumps(asyncio.run(measure(askers, documents))))  # noqa: T201 - the bench's result
