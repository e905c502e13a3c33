"""How fast documents become searchable, and what it costs to look again: `make bench-index`.

Each row is an installation of its own. Rows with a `fake` embedder ask a server on loopback for their vectors; the word
codes come out of the table. The `built-in` row also tells its rate as a share of what the model
reaches when it does nothing but embed the passages: by the clock, and by processor time where others use the machine.
`PASSAGES=1000,10000,50000` are the sizes of the rows that tell how time and memory grow, `DOCS=500` the documents of
the first two; `DATA=folder` measures that folder alone. The model is made once an installation: it is there before the
first run, and `disk_mb` leaves it out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from assistant.index.embed import MiniLM
from assistant.index.filling import EMBEDDED_TOGETHER
from assistant.index.store import Store
from assistant.settings import Settings
from bench.processes import ASSISTANT, ROOT, memory_mb
from tests.fakes.embeddings import FakeEmbeddings
from tests.fakes.serve import serving

DOCS, PASSAGES = 500, "1000,10000,50000"
# About as many passages has a document of `corpus`.
OF_ONE = 8
SECTIONS, PARAGRAPHS, SENTENCES = 4, 3, 5
SYLLABLES = "ka lo mi ren tor ves pin gal dor sem bri nav ot ul fen".split()
WORDS = (
    "account agreement approval archive audit backup balance booking branch budget building calendar certificate "
    "channel claim client committee company contract copy cost course customer data deadline decision delivery "
    "department desk device document driver employee entry equipment error evening export factory fee field file "
    "finance folder form group guide handbook holiday hour identity invoice issue item journey key laptop leave "
    "letter license limit list machine manager market meeting member message month network notice number office "
    "order owner page parking part partner password payment period permit person phone plan policy portal price "
    "printer process product project purchase quality quarter question rate reason receipt record region release "
    "rent report request review risk room route safety salary schedule school screen section server service sheet "
    "signature site source staff stage station step stock store supplier support table task tax team term test ticket "
    "time tool training travel trip unit update user vendor version visit visitor voucher warranty week workshop year"
).split()


def corpus(folder: Path, documents: int) -> None:
    """Markdown files of a few pages each, the same at every run."""
    rng = random.Random(11)
    for number in range(documents):
        lines = [f"# {' '.join(rng.sample(WORDS, 3)).capitalize()} {number}"]
        for _ in range(SECTIONS):
            lines.append(f"## {' '.join(rng.sample(WORDS, 2)).capitalize()}")
            lines += [" ".join(_sentence(rng) for _ in range(SENTENCES)) for _ in range(PARAGRAPHS)]
        path = folder / f"area{number % 10}" / f"{number:05}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(lines) + "\n")


def _sentence(rng: random.Random) -> str:
    return f"The {' '.join(rng.choices(WORDS, k=rng.randint(6, 14)))} is due after {rng.randint(2, 90)} days."


def long_corpus(folder: Path, documents: int) -> None:
    """Markdown files of some 6.8 kB in made-up words, as frequent as words are: 500 of them are 3.4 MB."""
    rng = random.Random(1)
    made = ("".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(9_000))
    words = list(dict.fromkeys(made))[:6_000]
    weights = list(itertools.accumulate(1 / (i + 2.7) for i in range(len(words))))
    for number in range(documents):
        text = f"# Policy {number:04}\n"
        section = 0
        while len(text) < 6_144:
            rule, section = f"POL-{number:04}-{section}", section + 1
            body = " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(120, 200)))
            text += f"\n## Section {section}: {rule}\n\nRule {rule} sets a limit of {rng.randint(2, 990)} euros.\n\n"
            text += f"{body}.\n"
        (folder / f"{number:04}.md").write_text(text)


def sync(documents: Path, data: Path, config: Path | None = None) -> tuple[dict[str, Any], float, float]:
    """One run in a process of its own: its report, its seconds as seen from outside, its greatest memory."""
    began, cpu = time.monotonic(), _cpu_of_children()
    command = [ASSISTANT, "index", "sync", documents, "--data", data, "--json"]
    command += ["--config", config] if config else []
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen([str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE, env=environment) as child:
        peak, done = 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            process = psutil.Process(child.pid)
            while not done.wait(0.2):
                try:
                    peak = max(peak, memory_mb(process))
                except psutil.NoSuchProcess:
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        out, _ = child.communicate()
        done.set()
        watcher.join()
    if child.returncode:
        raise SystemExit(f"assistant index sync ended with {child.returncode}")
    return json.loads(out) | {"cpu_s": _cpu_of_children() - cpu}, time.monotonic() - began, peak


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


@contextmanager
def _fake_server() -> Iterator[tuple[FakeEmbeddings, str]]:
    """A fake embedding server in a thread of its own."""
    fake, address = FakeEmbeddings(), ""
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        nonlocal address
        async with serving(fake.app) as address:
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield fake, address
    finally:
        over.set()
        thread.join()


def measured(documents: Path, home: Path, embedder: str = "built-in") -> dict[str, Any]:
    """A first and an unchanged run over a folder, in a new installation."""
    data = home / "data"
    if embedder == "built-in":
        MiniLM(Settings(data=data).models_dir).embed_now(["warm"])
        first, first_s, rss = sync(documents, data)
        again, again_s, again_rss = sync(documents, data)
        asked = None
    else:
        with _fake_server() as (fake, address):
            config = home / "assistant.toml"
            config.write_text(f'[index]\nembedder = "openai/fake"\nembedder_api_base = "{address}/v1"\n')
            first, first_s, rss = sync(documents, data, config)
            before = fake.texts.total()
            again, again_s, again_rss = sync(documents, data, config)
            asked = fake.texts.total() - before
    return {
        "embedder": embedder,
        "documents": first["documents"],
        "passages": first["passages"],
        "first_docs_s": round(first["documents"] / first["seconds"], 2),
        "passages_s": round(first["passages"] / first["seconds"], 1),
        "mb_s": round(size_mb(documents) / first["seconds"], 3),
        "first_s": round(first_s, 2),
        "cpu_ms_passage": round(first["cpu_s"] / first["passages"] * 1000, 1),
        "unchanged_s": round(again_s, 2),
        "unchanged_docs_s": round(first["documents"] / again["seconds"], 1),
        "embedded_unchanged": again["embedded"] if asked is None else asked,
        "failed": len(first["failed"]),
        "rss_mb": round(rss),
        "rss_unchanged_mb": round(again_rss),
        "disk_mb": round(size_mb(data) - (size_mb(data / "models") if (data / "models").exists() else 0), 1),
    }


async def _passages(data: Path) -> list[str]:
    store = Store(str(data / "index"))
    (name,) = await store.names()
    return [row["indexed"] async for row in (await store.open(name)).rows(["indexed"])]


def share_of_the_model(data: Path, row: dict[str, Any]) -> dict[str, float]:
    """What a run reached beside the model alone: tokenizer and onnxruntime, the same passages, as many at a time."""
    texts = asyncio.run(_passages(data))
    model = MiniLM(Settings(data=data).models_dir)
    model.embed_now(["warm"])
    began, cpu = time.monotonic(), time.process_time()
    for at in range(0, len(texts), EMBEDDED_TOGETHER):
        model.embed_now(texts[at : at + EMBEDDED_TOGETHER])
    alone, cpu_ms = len(texts) / (time.monotonic() - began), (time.process_time() - cpu) / len(texts) * 1000
    return {
        "model_alone_passages_s": round(alone, 1),
        "share_of_model": round(row["passages_s"] / alone, 3),
        "model_alone_cpu_ms_passage": round(cpu_ms, 1),
        "share_of_model_cpu": round(cpu_ms / row["cpu_ms_passage"], 3),
    }


def main() -> None:
    rows: list[dict[str, Any]] = []

    def told(row: dict[str, Any]) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)  # noqa: T201 - a row at a time, for the large ones take long

    if os.environ.get("DATA"):
        with tempfile.TemporaryDirectory() as scratch:
            told(measured(Path(os.environ["DATA"]), Path(scratch)))
    else:
        for embedder in ("fake", "built-in"):
            with tempfile.TemporaryDirectory() as scratch:
                documents = Path(scratch, "documents")
                documents.mkdir()
                long_corpus(documents, int(os.environ.get("DOCS") or DOCS))
                row = measured(documents, Path(scratch), embedder)
                if embedder == "built-in":
                    row |= share_of_the_model(Path(scratch, "data"), row)
                told(row)
        for passages in map(int, filter(None, os.environ.get("PASSAGES", PASSAGES).split(","))):
            with tempfile.TemporaryDirectory() as scratch:
                documents = Path(scratch, "documents")
                documents.mkdir()
                corpus(documents, max(1, passages // OF_ONE))
                told(measured(documents, Path(scratch), "fake"))
    print(json.dumps({"rows": rows}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
