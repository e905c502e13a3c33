"""Chainlit's routes and socket events are all in our table; a new one fails here until somebody decides on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.web.surface import EVENTS, ROUTES, Gate, gate_of

LIST = """
import json, os, sys
os.environ["CHAINLIT_APP_ROOT"] = sys.argv[1]
from chainlit.server import app, router, sio
def flat(routes):
    for r in routes:
        if hasattr(r, "methods"):
            yield from ((m, r.path) for m in r.methods)
own = [r for r in app.routes if hasattr(r, "path") and hasattr(r, "methods")]
mounts = [r.path for r in app.routes if hasattr(r, "path") and not hasattr(r, "methods")]
others = [type(r).__name__ for r in app.routes if not hasattr(r, "path")]
print(json.dumps({"routes": sorted(set(flat(own)) | set(flat(router.routes))), "mounts": mounts, "others": others,
                  "events": sorted(sio.handlers["/"]), "namespaces": list(sio.handlers)}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    out = subprocess.run(
        [sys.executable, "-c", LIST, str(tmp_path_factory.mktemp("root"))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    listed: dict[str, list[object]] = json.loads(out.stdout.splitlines()[-1])
    return listed


def test_every_route_of_chainlit_has_a_row(found: dict[str, list[object]]) -> None:
    there = {tuple(r) for r in found["routes"] if r[0] != "HEAD" or r[1] == "/"}  # type: ignore[index]
    assert there == set(ROUTES)


def test_chainlit_mounts_nothing_but_its_socket(found: dict[str, list[object]]) -> None:
    assert found["mounts"] == ["/ws/socket.io"]
    assert len(found["others"]) <= 1  # its router


def test_every_socket_event_has_a_row(found: dict[str, list[object]]) -> None:
    assert set(found["events"]) == set(EVENTS)
    assert found["namespaces"] == ["/"]


@pytest.mark.parametrize(
    ("method", "path", "gate"),
    [
        ("GET", "/", Gate.OPEN),
        ("GET", "/thread/abc", Gate.OPEN),
        ("PUT", "/project/thread", Gate.SIGNED_IN),
        ("PUT", "/project/thread/share", Gate.CLOSED),
        ("GET", "/project/thread/x/element/y", Gate.CLOSED),
        ("POST", "/project/file", Gate.CLOSED),
        ("POST", "/mcp", Gate.CLOSED),
        ("PATCH", "/project/thread", Gate.CLOSED),
        ("POST", "/something/new", Gate.CLOSED),
        ("GET", "/project/share/x", Gate.CLOSED),
        ("OPTIONS", "/user", Gate.CLOSED),
    ],
)
def test_what_is_not_listed_is_closed(method: str, path: str, gate: Gate) -> None:
    assert gate_of(method, path) is gate
