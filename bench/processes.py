"""Starting, watching and ending the processes of a bench run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent
ASSISTANT = ROOT / ".venv/bin/assistant"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(*command: str | Path, **environment: str) -> Iterator[psutil.Process]:
    """A process and its children, ended at the end; `environment` is added to ours."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | environment
    with subprocess.Popen(
        [str(c) for c in command], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def wait_for(url: str, seconds: float, status: int = 200) -> float:
    """Seconds until `url` answers with `status`."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if httpx.get(url, timeout=2).status_code == status:
                return time.monotonic() - began
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer {status} within {seconds} s")


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def memory_mb(process: psutil.Process) -> float:
    """Resident memory of a process and its children, shared pages counted once where the system tells (PSS)."""
    total = 0
    for p in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            info = p.memory_full_info()
            total += getattr(info, "pss", info.rss)
    return total / 1e6


def cpu_s(process: psutil.Process) -> float:
    total = 0.0
    for p in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = p.cpu_times()
            total += times.user + times.system
    return total
