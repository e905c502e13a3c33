"""No form of an address leads to the internal network: what is checked is what is connected to."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from assistant.index.sources.guarded import ForbiddenAddress, GuardedTransport, is_public

# Each is listed, never listened on.
INTERNAL = [
    "127.0.0.1", "127.1", "127.000.000.001", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "0x7f000001", "017700000001",
    "0", "0." * 3 + "0", "localhost", "LOCALHOST", "localhost.", "10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "2852039166", "0xa9fea9fe", "100.64.0.1", "224.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fd00::1]", "[fe80::1]", "[ff02::1]",
    "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1",
]  # fmt: skip


def client() -> httpx.Client:
    return httpx.Client(transport=GuardedTransport(False), trust_env=False)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a socket tried to reach. Names are looked up as on any machine, but without a network."""
    tried: list[Any] = []
    lookup = socket.getaddrinfo

    def numeric(host: str, port: int, *_: Any, **more: Any) -> Any:
        name = "127.0.0.1" if host.lower().rstrip(".") == "localhost" else host
        return lookup(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", numeric)

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


@pytest.mark.parametrize("host", INTERNAL)
@pytest.mark.parametrize("form", ["http://{}/", "https://{}:8443/x?y"])
def test_no_way_of_writing_an_internal_address_is_connected_to(host: str, form: str, connected: list[Any]) -> None:
    with client() as asked, pytest.raises((httpx.TransportError, httpx.InvalidURL)):
        asked.get(form.format(host))
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "http://wiki.example@127.0.0.1/", "http://wiki.example:x@127.0.0.1/", "http://127.0.0.1#@wiki.example/",
        "http://127.0.0.1\\@wiki.example/", "http://wiki.example%40127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/",
        "gopher://127.0.0.1:70/", "http:///etc",
    ],
)  # fmt: skip
def test_an_address_that_two_programs_read_differently_is_not_connected_to(url: str, connected: list[Any]) -> None:
    with client() as asked, pytest.raises((httpx.TransportError, httpx.InvalidURL)):
        asked.get(url)
    assert connected == []


def test_a_name_that_resolves_otherwise_a_moment_later_is_connected_to_as_it_was_checked(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    answers = iter(["203.0.114.7", "127.0.0.1", "127.0.0.1", "127.0.0.1"])

    def rebinding(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host[0].isdigit():
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    asked = client()
    with pytest.raises(httpx.ConnectError):
        asked.get("http://rebinding.example/")
    assert {a[0] for a in connected} == {"203.0.114.7"}
    with pytest.raises(ForbiddenAddress):
        asked.get("http://rebinding.example/")
    assert {a[0] for a in connected} == {"203.0.114.7"}


def test_a_name_with_one_internal_address_among_others_is_refused(
    monkeypatch: pytest.MonkeyPatch, connected: list[Any]
) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 80)) for a in ("203.0.114.7", "10.0.0.5")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with client() as asked, pytest.raises(ForbiddenAddress):
        asked.get("http://two.example/")
    assert connected == []


def test_what_lies_in_the_open_internet_is_known_as_such() -> None:
    for address in ("8.8.8.8", "203.0.114.7", "2606:4700::1111", "::ffff:8.8.8.8"):
        assert is_public(address), address
    assert not is_public("nonsense")
