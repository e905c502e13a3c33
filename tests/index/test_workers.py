from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from assistant.errors import ParseError
from assistant.index import workers
from assistant.index.workers import Workers
from bench.messy import NO_SENTENCE

GOOD = ("good.md", b"# Good\n\nIt can be read.", 180, 30)


def misbehave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """Let a worker run `body` when it meets a file called bad.md: the module is put before the parsers it imports."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, importlib.abc, importlib.util\n"
        "def bad():\n"
        f"    {body}\n"
        "class Patch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'assistant.index.parse': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        spec = importlib.util.find_spec(name)\n"
        "        run = spec.loader.exec_module\n"
        "        def exec_module(module):\n"
        "            run(module)\n"
        "            parse = module.parse\n"
        "            module.parse = lambda p, d: bad() if p == 'bad.md' else parse(p, d)\n"
        "        spec.loader.exec_module = exec_module\n"
        "        return spec\n"
        "sys.meta_path.insert(0, Patch())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import os; os._exit(3)", "the parser crashed on it"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the parser crashed on it"),
        ("raise SystemExit", "the parser crashed on it"),
        ("import time; time.sleep(60)", "took longer than 1 seconds to read"),
        ("exec('while True: pass')", "took longer than 1 seconds to read"),
        ("held = bytearray(90_000_000)\n    import time; time.sleep(60)", "took more than 100 MB of memory to read"),
    ],
)
async def test_a_file_that_breaks_its_parser_costs_that_file_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, reason: str
) -> None:
    misbehave(monkeypatch, tmp_path, body)
    monkeypatch.setattr(workers, "MEGABYTES", 100)
    with Workers(1) as pool:
        # The first file also waits for the process to start, so the limits are short only for the second.
        parsed, chunks = await pool.read(*GOOD)
        assert (parsed.title, len(chunks)) == ("Good", 1)
        monkeypatch.setattr(workers, "SECONDS", 1.0)
        with pytest.raises(ParseError, match=reason):
            await pool.read("bad.md", b"anything", 180, 30)
        monkeypatch.setattr(workers, "SECONDS", 30.0)
        assert (await pool.read(*GOOD))[1] == chunks


async def test_a_worker_that_starts_slowly_costs_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(2)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(workers, "SECONDS", 1.0)
    with Workers(1) as pool:
        assert (await pool.read(*GOOD))[0].title == "Good"


async def test_a_file_in_hand_is_let_go_when_the_workers_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    misbehave(monkeypatch, tmp_path, "import time; time.sleep(60)")
    with Workers(1) as pool:
        await pool.read(*GOOD)
        reading = asyncio.create_task(pool.read("bad.md", b"anything", 180, 30))
        await asyncio.sleep(0.5)
        pool.end()
        with pytest.raises(ParseError):
            await asyncio.wait_for(reading, 10)
        with pytest.raises(ParseError, match="the run ended"):
            await pool.read(*GOOD)


async def test_a_parser_that_would_reach_the_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        misbehave(monkeypatch, tmp_path, f"import socket; socket.create_connection({server.getsockname()!r})")
        with Workers(1) as pool, pytest.raises(ParseError, match="crashed"):
            await pool.read("bad.md", b"anything", 180, 30)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_what_a_parser_started_ends_with_its_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = f"import subprocess as s; p = s.Popen(['sleep', '60']); open({str(note)!r}, 'w').write(str(p.pid)); p.wait()"
    misbehave(monkeypatch, tmp_path, body)
    with Workers(1) as pool:
        await pool.read(*GOOD)
        monkeypatch.setattr(workers, "SECONDS", 1.0)
        with pytest.raises(ParseError, match="longer than 1 seconds"):
            await pool.read("bad.md", b"anything", 180, 30)
    started = int(note.read_text())
    deadline = time.monotonic() + 5
    while _runs(started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(started)


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_refused_file_says_why_and_keeps_its_worker() -> None:
    with Workers(1) as pool:
        with pytest.raises(ParseError, match="not really a pdf file"):
            await pool.read("a.pdf", b"no", 180, 30)
        processes = psutil.Process().children()
        await pool.read(*GOOD)
        assert psutil.Process().children() == processes


async def test_workers_end_with_their_context() -> None:
    before = {p.pid for p in psutil.Process().children()}
    with Workers(2) as pool:
        await pool.read(*GOOD)
        started = {p.pid for p in psutil.Process().children()} - before
        assert started
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(p) for p in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    # What multiprocessing keeps to watch over its resources is no worker.
    left = [p for p in started if psutil.pid_exists(p) and "spawn_main" in " ".join(psutil.Process(p).cmdline())]
    assert left == []


@pytest.mark.skipif("MESSY_DOCS" not in os.environ, reason="set MESSY_DOCS to a folder of awkward files")
@pytest.mark.timeout(1800)
async def test_every_awkward_file_is_read_or_refused_with_a_reason() -> None:
    root = Path(os.environ["MESSY_DOCS"])
    read = empty = 0
    refused: list[str] = []
    no_reason: list[str] = []
    with Workers(2) as pool:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            try:
                _, chunks = await pool.read(file.name, file.read_bytes(), 180, 30)
                read, empty = read + bool(chunks), empty + (not chunks)
            except ParseError as error:
                refused.append(f"{file.relative_to(root)}: {error.problem}")
                no_reason += refused[-1:] if NO_SENTENCE.search(error.problem) else []
    print(read, empty, len(refused), *refused, sep="\n")  # noqa: T201 - for whoever runs it by hand
    assert read > 0
    assert no_reason == []
