"""A PostgreSQL server of the tests' own, started when its programs are on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_S = 20


def programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`, from PATH or where Debian puts them, newest first."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3]))
    return debian[-1].parent if debian else None


def unprivileged() -> dict[str, Any]:
    """Whom to start it as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no user postgres or nobody to run PostgreSQL as")


@contextmanager
def running(bin_folder: Path) -> Iterator[str]:
    """A server on a socket in a folder of its own, which only we may enter; yields the address up to the database.

    A shell stands between: should this process be killed, its end of the pipe closes and the server goes too.
    """
    who = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    try:
        if who:
            os.chown(folder, who["user"], who["group"])
        options = ["--username=test", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(
            [bin_folder / "initdb", "-D", folder / "data", *options],
            check=True, capture_output=True, cwd=folder, env=environment, **who,
        )  # fmt: skip
        fast = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
        server = [bin_folder / "postgres", "-D", folder / "data", "-k", folder, "-clisten_addresses=", *fast]
        with (folder / "log").open("wb") as log:
            shell = subprocess.Popen(
                ["/bin/sh", "-c", '"$@" & pid=$!; read -r _; kill -INT $pid; wait $pid', "sh", *server],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, env=environment, **who,
            )  # fmt: skip
        try:
            _wait(folder, shell)
            yield f"postgresql+asyncpg://test@/{{}}?host={folder}"
        finally:
            assert shell.stdin
            shell.stdin.close()
            shell.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path, shell: subprocess.Popen[bytes]) -> None:
    """Until the server's pid file says that it takes connections."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and shell.poll() is None:
        with suppress(OSError):
            if "ready" in (folder / "data" / "postmaster.pid").read_text():
                return
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-500:]}")
