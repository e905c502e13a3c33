"""Chainlit's routes and socket events are all in our table; a new one fails here until somebody decides on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from assistant.web.surface import EVENTS, ROUTES, Gate, gate_of, own_gate
from assistant.web.surface import OWN as SURFACE_OWN
from tests.web.conftest import Site

PROJECT = Path(__file__).parents[2]

OWN = """
import json, os, sys
os.environ["CHAINLIT_APP_ROOT"] = sys.argv[1]
from assistant.web import ratings, reading, signin
from assistant.web.admin import receipts, routes as admin
from assistant.web.me import projects, questions, routes as me
routers = (signin, ratings, reading, admin, receipts, me, projects, questions)
print(json.dumps(sorted([m, r.path] for x in routers for r in x.router.routes for m in r.methods)))
"""
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


def _run(program: str, folder: Path) -> object:
    out = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    return json.loads(out.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    return [(m, p) for m, p in _run(OWN, tmp_path_factory.mktemp("own"))]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    return _run(LIST, tmp_path_factory.mktemp("root"))  # type: ignore[return-value]


def test_every_route_of_chainlit_has_a_row(found: dict[str, list[object]]) -> None:
    there = {tuple(r) for r in found["routes"] if r[0] != "HEAD" or r[1] == "/"}  # type: ignore[index]
    assert there == set(ROUTES)


def test_every_route_of_our_own_has_a_row(own: list[tuple[str, str]]) -> None:
    assert [route for route in own if own_gate(*route) is None] == []
    assert set(SURFACE_OWN) <= set(own)


async def test_every_route_of_our_own_is_closed_to_those_it_is_not_for(
    site: Site, ada: httpx.AsyncClient, own: list[tuple[str, str]]
) -> None:
    async with site.client() as nobody:
        for method, path in own:
            gate = own_gate(method, path)
            address = re.sub(r"\{(n|document_id)\}", "1", path)
            address = re.sub(r"\{\w+\}", "x", address)
            if gate is Gate.SIGNED_IN:
                answer = await nobody.request(method, address)
                away = answer.headers.get("location", "") == "/chat/login"
                assert answer.status_code == 401 or (answer.status_code == 302 and away), (method, path)
            elif gate is Gate.ADMIN:
                for who in (nobody, ada):
                    assert (await who.request(method, address)).status_code == 404, (method, path)


async def test_a_monitor_that_asks_for_heads_alone_finds_the_server_well(site: Site) -> None:
    async with site.client() as nobody:
        for path in ("/", "/health", "/health/ready"):
            head, whole = await nobody.head(path), await nobody.get(path)
            assert (head.status_code, head.headers.get("location")) == (
                whole.status_code,
                whole.headers.get("location"),
            )
            assert head.status_code < 400


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
