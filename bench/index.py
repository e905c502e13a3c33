"""How fast documents become searchable, and what it costs to look again: `make bench-index`, DOCS=n or DATA=folder."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from bench.processes import ASSISTANT, ROOT, memory_mb

DOCS = 200
SECTIONS, PARAGRAPHS, SENTENCES = 4, 3, 5
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


def sync(documents: Path, data: Path) -> tuple[dict[str, Any], float, float]:
    """One run in a process of its own: its report, its seconds as seen from outside, its greatest memory."""
    began = time.monotonic()
    command = [ASSISTANT, "index", "sync", documents, "--data", data, "--json"]
    with subprocess.Popen([str(c) for c in command], cwd=ROOT, stdout=subprocess.PIPE) as child:
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
    return json.loads(out), time.monotonic() - began, peak


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        documents, data = Path(os.environ.get("DATA") or f"{scratch}/documents"), Path(scratch, "data")
        if not os.environ.get("DATA"):
            documents.mkdir()
            corpus(documents, int(os.environ.get("DOCS") or DOCS))
        first, first_s, rss = sync(documents, data)
        again, again_s, _ = sync(documents, data)
        row = {
            "documents": first["documents"],
            "passages": first["passages"],
            "first_docs_s": round(first["documents"] / first["seconds"], 2),
            "mb_s": round(size_mb(documents) / first["seconds"], 3),
            "first_s": round(first_s, 2),
            "unchanged_s": round(again_s, 2),
            "embedded_unchanged": again["embedded"],
            "failed": len(first["failed"]),
            "rss_mb": round(rss),
            "disk_mb": round(size_mb(data), 1),
        }
    print(json.dumps({"rows": [row]}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
