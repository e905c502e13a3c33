"""Sign-in by a trusted proxy's header and by a local issuer of OpenID Connect."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.web.conftest import Site


async def test_a_header_counts_from_the_trusted_proxy_only(tmp_path: Any) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    near = Site(tmp_path / "near", web={"trusted_header": "X-Remote-User", "trusted_proxies": ["127.0.0.1"]})
    far = Site(tmp_path / "far", web={"trusted_header": "X-Remote-User", "trusted_proxies": ["10.0.0.0/8"]})
    try:
        for made, status in ((near, 200), (far, 401)):
            async with made.client(**{"X-Remote-User": "ada@demo.example"}) as client:
                answer = await client.post("/chat/auth/header")
                assert answer.status_code == status
                assert (await client.get("/api/me")).status_code == status
        async with near.client() as client:
            assert (await client.post("/chat/auth/header")).status_code == 401
            new = await client.post("/chat/auth/header", headers={"X-Remote-User": "new@demo.example"})
            assert new.status_code == 200
            assert (await client.get("/admin")).status_code == 404
    finally:
        near.end()
        far.end()


class Issuer(BaseHTTPRequestHandler):
    claims: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []

    def _json(self, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        base = f"http://{self.headers['host']}"
        if self.path.startswith("/.well-known"):
            self._json(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "userinfo_endpoint": f"{base}/userinfo",
                }
            )
        else:
            assert self.headers["authorization"] == "Bearer token-1"
            self._json(self.claims)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.asked.append(body)
        self._json({"access_token": "token-1", "token_type": "Bearer"})

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def issuer() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def house_with_issuer(issuer: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("ASSISTANT_OIDC_SECRET", "a secret of the client")
    made = Site(tmp_path, web={"oidc": {"issuer": issuer, "client_id": "assistant", "name": "single sign-on"}})
    yield made
    made.end()


async def _sign_in(made: Site, client: httpx.AsyncClient) -> httpx.Response:
    for _ in range(50):
        if (await client.get("/chat/auth/config")).json()["oauthProviders"]:
            break
        await asyncio.sleep(0.1)
    begun = await client.get("/chat/auth/oauth/single-sign-on")
    assert begun.status_code in {302, 307}
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["redirect_uri"] == [f"{made.base}/chat/auth/oauth/single-sign-on/callback"]
    state = asked["state"][0]
    return await client.get("/chat/auth/oauth/single-sign-on/callback", params={"code": "c-1", "state": state})


async def test_single_sign_on_makes_the_account_with_its_groups(house_with_issuer: Site) -> None:
    Issuer.claims = {
        "sub": "1",
        "email": "Eve@demo.example",
        "name": "Eve",
        "email_verified": True,
        "groups": ["finance"],
    }
    async with house_with_issuer.client() as client:
        done = await _sign_in(house_with_issuer, client)
        assert done.status_code == 302
        assert "error" not in done.headers["location"]
        assert (await client.get("/api/me")).json()["name"] == "Eve"
        assert (await client.get("/documents/2")).status_code == 200
        assert "client_secret=a+secret+of+the+client" in Issuer.asked[-1]


@pytest.mark.parametrize("claims", [{}, {"email": "eve@demo.example", "email_verified": False}, {"email": "nonsense"}])
async def test_claims_that_name_nobody_open_nothing(house_with_issuer: Site, claims: dict[str, Any]) -> None:
    Issuer.claims = claims
    async with house_with_issuer.client() as client:
        done = await _sign_in(house_with_issuer, client)
        assert "error" in done.headers["location"]
        assert (await client.get("/api/me")).status_code == 401


async def test_a_foreign_state_is_refused(house_with_issuer: Site) -> None:
    Issuer.claims = {"email": "eve@demo.example"}
    async with house_with_issuer.client() as client:
        await _sign_in(house_with_issuer, client)
    async with house_with_issuer.client() as other:
        done = await other.get("/chat/auth/oauth/single-sign-on/callback", params={"code": "c", "state": "forged"})
        assert "error" in done.headers["location"]
        assert (await other.get("/api/me")).status_code == 401
