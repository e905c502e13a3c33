"""Headers, origins, sessions and limits, on every route."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
import socketio

from assistant.web.surface import ROUTES, Gate
from tests.web.conftest import Chat, Site
from tests.web.house_fakes import PASSWORD

PAGES = ["/", "/chat", "/chat/user", "/admin", "/documents/1", "/api/me", "/nothing", "/chat/assets/nothing.js"]


@pytest.mark.parametrize("path", PAGES)
async def test_every_answer_carries_the_headers(site: Site, path: str) -> None:
    async with site.client() as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers
    assert not any(h.startswith("access-control") for h in headers)


async def test_the_policy_lets_no_text_become_code_and_nothing_load_from_elsewhere(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/chat")
    policy = answer.headers["content-security-policy"]
    script = next(p for p in policy.split("; ") if p.startswith("script-src"))
    assert "unsafe" not in script
    assert "sha256-" in script
    assert "http" not in policy
    assert "googleapis" not in answer.text
    assert "jsdelivr" not in answer.text
    assert "chainlit-cloud" not in answer.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"]
)
async def test_another_site_changes_nothing(site: Site, ada: httpx.AsyncClient, origin: str) -> None:
    for method, path in (
        ("POST", "/chat/login"),
        ("POST", "/chat/logout"),
        ("PUT", "/chat/feedback"),
        ("DELETE", "/chat/project/thread"),
        ("POST", "/admin/runs"),
    ):
        answer = await ada.request(method, path, headers={"Origin": origin}, json={})
        assert answer.status_code == 403, (method, path)
    assert (await ada.get("/api/me")).status_code == 200


async def test_a_browser_that_says_cross_site_is_refused_without_an_origin(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/chat/logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


async def test_ones_own_page_may(site: Site, ada: httpx.AsyncClient) -> None:
    body = {"pagination": {"first": 5}, "filter": {}}
    answer = await ada.post("/chat/project/threads", headers={"Origin": site.base}, json=body)
    assert answer.status_code == 200


async def test_a_socket_from_another_site_is_refused(site: Site, ada: httpx.AsyncClient) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Chat(site, ada).open(Origin="http://evil.example")
    polling = await ada.get("/chat/ws/socket.io/?EIO=4&transport=polling", headers={"Origin": "http://evil.example"})
    assert polling.status_code == 403


async def test_a_socket_without_a_session_is_refused(site: Site) -> None:
    async with site.client() as nobody:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Chat(site, nobody).open()


@pytest.mark.parametrize("thread", ["../../etc", "x" * 10_000, "1 OR 1=1", "00000000-0000-0000-0000-00000000000g"])
async def test_ids_that_are_none_open_no_socket(site: Site, ada: httpx.AsyncClient, thread: str) -> None:
    with pytest.raises(socketio.exceptions.ConnectionError):
        await Chat(site, ada, thread).open()


async def test_a_thread_of_somebody_else_opens_no_socket(site: Site, chat: Chat, fin: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    stranger = Chat(site, fin, chat.thread)
    try:
        await stranger.open()
    except socketio.exceptions.ConnectionError:
        return
    assert not any(e == "resume_thread" for e, _ in stranger.events)
    await stranger.close()


@pytest.mark.parametrize(("row", "gate"), [(r, g) for r, g in ROUTES.items() if g is Gate.CLOSED])
async def test_closed_routes_do_not_exist(ada: httpx.AsyncClient, row: tuple[str, str], gate: Gate) -> None:
    path = row[1].replace("{filename:path}", "index.js").replace("{", "").replace("}", "")
    answer = await ada.request(row[0], f"/chat{path}", json={} if row[0] != "GET" else None)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [r for r, g in ROUTES.items() if g is Gate.SIGNED_IN] + [("PUT", "/feedback"), ("DELETE", "/feedback")],
)
async def test_without_a_session_there_is_nothing_to_see(site: Site, method: str, path: str) -> None:
    bodies: dict[str, Any] = {
        "/project/threads": {"pagination": {"first": 1}, "filter": {}},
        "/project/thread": {"threadId": str(uuid4()), "name": "x"},
        "/feedback": {"feedback": {"forId": "x", "value": 1}, "feedbackId": "x", "sessionId": "x"},
    }
    async with site.client() as nobody:
        answer = await nobody.request(
            method, "/chat" + path.replace("{thread_id}", str(uuid4())), json=bodies.get(path)
        )
    assert answer.status_code == 401


async def test_a_large_body_is_refused_before_it_is_read(ada: httpx.AsyncClient) -> None:
    assert (await ada.put("/chat/feedback", content=b"x" * 300_000)).status_code == 413

    async def trickle() -> Any:
        for _ in range(40):
            yield b"y" * 10_000

    assert (await ada.put("/chat/feedback", content=trickle())).status_code in {400, 413}


async def test_five_failures_close_the_door_for_a_minute(tmp_path: Any) -> None:
    made = Site(tmp_path)
    try:
        async with made.client() as client:
            known = await client.post("/chat/login", data={"username": "ada@demo.example", "password": "wrong"})
            unknown = await client.post("/chat/login", data={"username": "nobody@demo.example", "password": "wrong"})
            assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
            # Five failures close one account; the others still open.
            for _ in range(4):
                await client.post("/chat/login", data={"username": "ada@demo.example", "password": "wrong"})
            right = await client.post("/chat/login", data={"username": "ada@demo.example", "password": PASSWORD})
            assert right.status_code == 429
            right = await client.post("/chat/login", data={"username": "fin@demo.example", "password": PASSWORD})
            assert right.status_code == 200
            # Fifty from one address close it for every account: six are counted already.
            for i in range(44):
                await client.post("/chat/login", data={"username": f"a{i}@demo.example", "password": "wrong"})
            right = await client.post("/chat/login", data={"username": "fin@demo.example", "password": PASSWORD})
            assert right.status_code == 429
            assert right.headers["retry-after"] == "60"
            # A forwarded address does not count when there is no proxy.
            spoofed = await client.post(
                "/chat/login",
                data={"username": "fin@demo.example", "password": PASSWORD},
                headers={"X-Forwarded-For": "9.9.9.9"},
            )
            assert spoofed.status_code == 429
    finally:
        made.end()


async def test_signing_out_voids_every_copy_of_the_token(site: Site) -> None:
    fin = await site.signed_in("fin@demo.example")
    other_device = await site.signed_in("fin@demo.example")
    stolen = site.client()
    stolen.cookies.set("access_token", fin.cookies["access_token"])
    socket = await Chat(site, stolen).open()
    assert (await stolen.get("/api/me")).status_code == 200
    assert (await fin.post("/chat/logout")).status_code == 200
    assert "access_token" not in fin.cookies
    for client in (stolen, other_device):
        for path in ("/api/me", "/chat/user", "/documents/1"):
            assert (await client.get(path)).status_code in {401, 302}
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Chat(site, client).open()
    await socket.sio.sleep(0.5)
    assert not socket.sio.connected
    fresh = await site.signed_in("fin@demo.example")
    assert (await fresh.get("/api/me")).status_code == 200


async def test_who_is_let_out_is_out_at_once(tmp_path: Any) -> None:
    from assistant.database.engine import Database
    from assistant.memory import people

    made = Site(tmp_path)
    try:
        fin = await made.signed_in("fin@demo.example")
        chat = await Chat(made, fin).open()
        await chat.ask("days?")
        db = Database(f"sqlite+aiosqlite:///{made.data / 'assistant.db'}")
        await people.set_active(db, "fin@demo.example", False)
        await db.close()
        assert (await fin.get("/api/me")).status_code == 401
        await chat.send("and now?")
        await chat.sio.sleep(0.6)
        assert not chat.sio.connected
        assert chat.screen() == ""
        # The page hears why, and gets back what it sent.
        told = [news for event, news in chat.events if event == "window_message"]
        assert told == [{"assistant": "", "over": True, "unsent": "and now?"}]
    finally:
        made.end()


async def test_forged_expired_and_unsigned_tokens_are_nobody(site: Site, ada: httpx.AsyncClient) -> None:
    secret = (site.data / "session-secret").read_text()
    good = jwt.decode(ada.cookies["access_token"], secret, algorithms=["HS256"])
    forged = [
        jwt.encode(good, "another secret of the same length....", algorithm="HS256"),
        jwt.encode({**good, "exp": time.time() - 1}, secret, algorithm="HS256"),
        jwt.encode(good, None, algorithm="none"),
        jwt.encode({**good, "metadata": {}}, secret, algorithm="HS256"),
        jwt.encode({**good, "identifier": "nobody"}, secret, algorithm="HS256"),
        jwt.encode({k: v for k, v in good.items() if k != "exp"}, secret, algorithm="HS256"),
        "x" * 5_000,
        "",
    ]
    async with site.client() as client:
        for token in forged:
            answer = await client.get("/api/me", headers={"Cookie": f"access_token={token}"})
            assert answer.status_code == 401
            bearer = await client.get("/chat/user", headers={"Authorization": f"Bearer {token or 'x'}"})
            assert bearer.status_code == 401
        # Nor is a good one taken from a header: only the cookie counts, which other sites cannot send.
        good_bearer = {"Authorization": f"Bearer {ada.cookies['access_token']}"}
        assert (await client.get("/chat/user", headers=good_bearer)).status_code == 401


def test_the_secret_of_sessions_is_readable_by_its_owner_only(site: Site) -> None:
    path = site.data / "session-secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) >= 32


async def test_cookies_do_not_travel_without_tls_where_there_is_tls(tmp_path: Any) -> None:
    made = Site(tmp_path, web={"public_url": "https://ask.example"})
    try:
        async with made.client(Origin="https://ask.example") as client:
            answer = await client.post("/chat/login", data={"username": "ada@demo.example", "password": PASSWORD})
            cookie = answer.headers["set-cookie"]
            assert "Secure" in cookie
            assert "HttpOnly" in cookie
            assert "samesite=lax" in cookie.lower()
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            sticky = await client.post("/chat/set-session-cookie", json={"session_id": str(uuid4())})
            assert "Secure" in sticky.headers["set-cookie"]
    finally:
        made.end()


async def test_the_sticky_cookie_holds_an_id_and_nothing_else(site: Site) -> None:
    async with site.client() as client:
        bad = await client.post("/chat/set-session-cookie", json={"session_id": "x; Domain=evil"})
        worse = await client.post("/chat/set-session-cookie", content=b"no json")
    assert (bad.status_code, worse.status_code) == (400, 400)


async def test_a_page_of_threads_is_bounded(ada: httpx.AsyncClient) -> None:
    body = {"pagination": {"first": 1_000_000, "cursor": "nonsense|x"}, "filter": {"search": "%' OR 1=1 --"}}
    assert (await ada.post("/chat/project/threads", json=body)).json()["data"] == []
