"""Parses files in processes of their own, so that a bomb, a loop or a crash costs that file and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Parsed
from assistant.index.parse import parse
from assistant.index.split import Chunk, split

SECONDS = 30.0
MEGABYTES = 512
# A worker imports the parsers first, which takes long on a machine that is busy with other things.
START_S = 120.0
_spawn = multiprocessing.get_context("spawn")


def _no_network(event: str, _: tuple[Any, ...]) -> None:
    """Refuses every way to the network: no document has anything to fetch."""
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"}:
        raise PermissionError("parsers do not use the network")


def _serve(pipe: Connection) -> None:
    """The worker: reads (path, bytes, words, overlap), answers with a document or a reason."""
    # What it starts, for pictures, is ended with it.
    os.setpgid(0, 0)
    sys.addaudithook(_no_network)
    # Whoever waits counts a file's seconds from here on.
    pipe.send(None)
    while True:
        try:
            path, data, words, overlap = pipe.recv()
        except EOFError:
            return
        # Whoever started this process may have been killed, and nobody else would end a parser that loops.
        signal.alarm(int(SECONDS) * 2 + 1)
        try:
            parsed = parse(path, data)
            chunks = split(parsed, words, overlap)
            pipe.send((replace(parsed, text="", blocks=[]), chunks))
        except ParseError as error:
            pipe.send(error.problem)
        signal.alarm(0)


def resident_mb(pid: int) -> float:
    """Resident memory of a process and what it started, by the kernel's own account; 0 where there is none to read."""
    processes = [str(pid)]
    with contextlib.suppress(OSError):
        processes += Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for process in processes:
        with contextlib.suppress(OSError, IndexError, ValueError):
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    return total / 1e6


class _Worker:
    def __init__(self) -> None:
        self._pipe, theirs = _spawn.Pipe()
        self._process: Any = _spawn.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self._started = False
        theirs.close()

    def run(self, job: tuple[str, bytes, int, int]) -> tuple[Parsed, list[Chunk]]:
        """Raises `ParseError` when the file is refused, or the worker had to be ended."""
        reason = "the parser crashed on it"
        try:
            self._wait_for_start()
            began = time.monotonic()
            self._pipe.send(job)
            while not self._pipe.poll(0.05):
                if time.monotonic() - began > SECONDS:
                    reason = f"took longer than {SECONDS:.0f} seconds to read"
                    break
                if resident_mb(self._process.pid) > MEGABYTES:
                    reason = f"took more than {MEGABYTES} MB of memory to read"
                    break
                if not self._process.is_alive():
                    break
            else:
                reply = self._pipe.recv()
                if isinstance(reply, str):
                    raise ParseError(reply)
                return reply[0], reply[1]
        except (EOFError, OSError):
            pass
        self.end()
        raise ParseError(reason)

    def _wait_for_start(self) -> None:
        if not self._started:
            if not self._pipe.poll(START_S):
                raise OSError("the worker did not start")
            self._started = self._pipe.recv() is None

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.close()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive()) and not self._pipe.closed


class Workers:
    """A few workers, started when first needed; use it as a context."""

    def __init__(self, count: int = 2) -> None:
        self._ended = False
        self._all: set[_Worker] = set()
        self._idle: queue.Queue[_Worker | None] = queue.Queue()
        for _ in range(count):
            self._idle.put(None)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End all workers; a file that one has in hand counts as not read."""
        self._ended = True
        for worker in tuple(self._all):
            worker.end()

    async def read(self, path: str, data: bytes, words: int, overlap: int) -> tuple[Parsed, list[Chunk]]:
        """A file's facts and chunks. Raises `ParseError` with the reason when it cannot be read."""
        return await asyncio.to_thread(self._read, (path, data, words, overlap))

    def _read(self, job: tuple[str, bytes, int, int]) -> tuple[Parsed, list[Chunk]]:
        worker = self._idle.get()
        try:
            if self._ended:
                raise ParseError("the run ended before it was read")
            if worker is None or not worker.alive:
                self._all.discard(worker)
                self._all.add(worker := _Worker())
            return worker.run(job)
        finally:
            self._idle.put(worker)
