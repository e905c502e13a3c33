"""What becomes of each of many awkward files: `make bench-messy DATA=folder`, through the workers of a run."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import re
import resource
import sys
import sysconfig
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from assistant import settings
from assistant.errors import ParseError
from assistant.index.sources import folder as source_folder
from assistant.index.workers import Workers
from assistant.settings import Source

# What no person should have to read as a reason.
NO_SENTENCE = re.compile(r"crashed|Traceback|\b[A-Z][A-Za-z]+(Error|Exception|Warning)\b")
# Runs in every worker before anything of ours: notes what it opens, connects and starts.
WATCH = """
import os, sys
_log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_allowed = tuple({allowed!r})
def _watch(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        os.write(_log, f"socket {{event}}\\n".encode())
    elif event == "subprocess.Popen":
        os.write(_log, f"program {{os.path.basename(str(args[0]))}}\\n".encode())
    elif event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        if not path.startswith(_allowed):
            os.write(_log, f"file {{path}}\\n".encode("utf-8", "replace"))
sys.addaudithook(_watch)
"""


def watched(scratch: Path) -> Path:
    """Let every Python process that starts from here on note what it touches; returns the file of notes."""
    log = scratch / "touched.txt"
    allowed = [
        *(p for p in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, *sys.path} if len(p) > 1),
        *(str(scratch), "/dev/null", "/proc/", "/sys/", "/usr/share/zoneinfo", *mimetypes.knownfiles),
    ]
    (scratch / "sitecustomize.py").write_text(WATCH.format(log=str(log), allowed=allowed))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(scratch), *filter(None, [os.environ.get("PYTHONPATH")])])
    return log


async def outcomes(folder: Path) -> dict[str, Any]:
    """Every file of a folder through the workers of a run, by outcome and kind."""
    config = settings.load().index
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    crashed: list[str] = []
    slowest, files = (0.0, ""), 0
    with Workers(1) as workers:
        # The first file also waits for the process to start.
        await workers.read("first.txt", b"first", config.passage_words, config.overlap_words)
        for found in source_folder.walk(Source(name="messy", path=folder)):
            began = time.monotonic()
            kind = Path(found.path).suffix.lower().lstrip(".") or "none"
            files += 1
            try:
                if found.problem:
                    raise ParseError(found.problem)
                data = await asyncio.to_thread(source_folder.read, folder, found.path, config.max_file_mb * 1_000_000)
                parsed, chunks = await workers.read(found.path, data, config.passage_words, config.overlap_words)
                outcome, reason = ("indexed", parsed.note) if chunks else ("empty", "holds no text")
            except ParseError as error:
                outcome, reason = "refused", error.problem
            if NO_SENTENCE.search(reason):
                crashed.append(found.path)
            kinds[kind][outcome] += 1
            slowest = max(slowest, (time.monotonic() - began, found.path))
            sys.stderr.write(f"{outcome}\t{found.path}\t{reason}\n")
    totals = sum(kinds.values(), Counter[str]())
    return {
        "files": files,
        **{o: totals[o] for o in ("indexed", "empty", "refused")},
        "crashed": len(crashed),
        "seconds_max": round(slowest[0], 2),
        "slowest": slowest[1],
        "by_kind": {kind: dict(kinds[kind]) for kind in sorted(kinds)},
    }


def main() -> None:
    if not os.environ.get("DATA"):
        raise SystemExit("Name a folder of awkward files: make bench-messy DATA=folder")
    with tempfile.TemporaryDirectory() as scratch:
        log = watched(Path(scratch))
        row = asyncio.run(outcomes(Path(os.environ["DATA"])))
        touched = Counter(log.read_text().splitlines() if log.exists() else [])
    # The greatest of all workers; each starts with a copy of what this process holds.
    row["rss_mb_max"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
    row["sockets"] = sum(n for what, n in touched.items() if what.startswith("socket "))
    row["opened_elsewhere"] = sorted(what[5:] for what in touched if what.startswith("file "))
    row["programs"] = {what[8:]: n for what, n in touched.items() if what.startswith("program ")}
    print(json.dumps(row))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    main()
