"""The server. The port opens at once with a page of our own; everything heavy is loaded behind it."""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from assistant.errors import AssistantError, InputError
from assistant.masking import mask_logs
from assistant.settings import Settings
from assistant.texts import pick, section

log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES = Path(__file__).parent / "pages"
# Loaded in a thread, so that the page that says "starting" is served meanwhile.
HEAVY = (
    "assistant.bootstrap",
    "assistant.index.retrieve",
    "assistant.chat.turns",
    "assistant.chat.extract",
    "assistant.ops.trace",
    "chainlit.server",
    "assistant.web.site",
)
_LOCKED_PAGE = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
SHUTDOWN_S = 5


class Front:
    """One ASGI application: the starting page and the health routes, then the whole site."""

    def __init__(
        self, settings: Settings, *, first_index: bool = True, give_up: Callable[[], None] = lambda: None
    ) -> None:
        """`give_up` is called when the start has failed, for a reason that `failure` then holds."""
        self._settings = settings
        self._first_index = first_index
        self._give_up = give_up
        self.failure: BaseException | None = None
        self._site: App | None = None
        self._stage = "loading"
        self._has_index = False
        self._done = (0, 0)
        self._began = time.monotonic()
        self._loading: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/health":
            await _answer(send, 200, {"status": "ok"})
        elif scope["type"] == "http" and scope["path"] == "/health/ready":
            await self._ready(send)
        elif self._site is not None and not (scope["path"] == "/" and await self._indexing()):
            await self._site(scope, receive, send)
        elif scope["type"] == "http":
            await self._starting(scope, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1013})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loading = asyncio.create_task(self._load(), name="load")
        self._loading.add_done_callback(self._loaded)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._loading.cancel()
        await asyncio.wait([self._loading])
        try:
            await asyncio.wait_for(self._stack.aclose(), SHUTDOWN_S)
        except TimeoutError:
            log.warning("some parts did not close in time")
        await send({"type": "lifespan.shutdown.complete"})

    async def _load(self) -> None:
        if self._first_index:
            await _begin_first_index(self._settings)
        await asyncio.to_thread(_import_heavy, self._settings)
        self._stage = "opening"
        # Imported only here: earlier they would delay the open port.
        from assistant import bootstrap
        from assistant.web import house, opening, site

        parts = await self._stack.enter_async_context(bootstrap.serving(self._settings))
        house.furnish(parts)
        self._stack.callback(house.furnish, None)
        built = site.build(self._settings)
        self._site = built
        # A tenth of a turn's CPU, and pauses.
        bootstrap.settled()
        self._stage = "ready"
        opening.announce(self._settings)
        log.info("ready after %.1f s", time.monotonic() - self._began)

    def _loaded(self, loading: asyncio.Task[None]) -> None:
        if not loading.cancelled() and (failure := loading.exception()) is not None:
            # Raised to whoever started the server, once its port is shut.
            self.failure = failure
            self._stage = "failed"
            self._give_up()

    async def _ready(self, send: Send) -> None:
        state: dict[str, Any] = {
            "ready": False,
            "stage": self._stage,
            "seconds": round(time.monotonic() - self._began, 1),
        }
        if self._site is not None:
            from assistant.web import house, reindex

            try:
                state["ready"] = not await self._indexing()
                state["index"] = await reindex.progress(house.parts().db)
            except AssistantError as error:
                state |= {"ready": False, "stage": "failed", "problem": str(error)}
            else:
                state["stage"] = self._stage if state["ready"] else "indexing"
        await _answer(send, 200 if state["ready"] else 503, state)

    async def _indexing(self) -> bool:
        """Whether the first index is still being built: nobody can be answered before there is one."""
        if self._has_index:
            return False
        from assistant.web import house, reindex

        index = await reindex.progress(house.parts().db)
        self._done = (index["done"], index["total"])
        self._has_index = bool(index["release"]) or not index["running"]
        return not self._has_index

    async def _starting(self, scope: Scope, send: Send) -> None:
        if scope["path"].startswith("/v1/"):  # programs read one language, and no page
            await _answer(send, 503, {"detail": f"{section('en', 'web')['starting']}."})
            return
        headers = dict(scope["headers"])
        language = pick(headers.get(b"accept-language", b"").decode("latin-1"), self._settings.chat.language)
        words = section(language, "web")
        text = (PAGES / "starting.html").read_text(encoding="utf-8")
        say, more = words["starting"], words["starting_more"]
        if self._done[1]:
            more = words["starting_index"].format(done=self._done[0], total=self._done[1])
        refresh = '<meta http-equiv="refresh" content="1">'
        for key, value in {"LANG": language, "SAY": say, "MORE": _escaped(more), "REFRESH": refresh}.items():
            text = text.replace(f"%{key}%", value)
        # Whoever asked for data must not take this page for it.
        status = 200 if scope["path"] in {"/", "/chat", "/chat/", "/admin"} else 503
        await _answer(send, status, text)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


async def _begin_first_index(settings: Settings) -> None:
    """Start the first indexing run before anything heavy is loaded here: it takes longest."""
    await asyncio.to_thread(importlib.import_module, "assistant.web.reindex")
    from assistant import bootstrap
    from assistant.web import reindex

    async with bootstrap.database(settings) as db:
        await reindex.first(settings, db)


def _import_heavy(settings: Settings) -> None:
    from assistant.web import chainlit_home

    home = chainlit_home.prepare(settings)
    for name in HEAVY:
        importlib.import_module(name)
    chainlit_home.speak(home)


async def _answer(send: Send, status: int, body: str | dict[str, Any]) -> None:
    media = b"text/html; charset=utf-8" if isinstance(body, str) else b"application/json"
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = [
        (b"content-type", media),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", _LOCKED_PAGE),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


def _free(host: str, port: int) -> None:
    """Raise `InputError` where nobody can listen: the server's own words for it are not for people."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"Another program listens on {host}:{port}.", "Name another --port, or end it.") from error
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise InputError(f"Nobody can listen on {host}:{port}: {why}.", "Name another --host or --port.") from error


async def serve(settings: Settings, *, first_index: bool = True) -> None:
    """Serve until the process is told to stop. One worker: Chainlit keeps its sockets in the process.

    Raises why the start failed: what started this process sees that it ended, and may start it again.
    """
    import uvicorn

    def give_up() -> None:
        server.should_exit = True

    mask_logs()
    _free(settings.web.host, settings.web.port)
    front = Front(settings, first_index=first_index, give_up=give_up)
    config = uvicorn.Config(
        front,
        host=settings.web.host,
        port=settings.web.port,
        # The shield decides itself whose forwarded addresses count.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        ws_max_size=256 * 1024,
        timeout_graceful_shutdown=SHUTDOWN_S,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    await server.serve()
    if front.failure is not None:
        raise front.failure


def run(settings: Settings, *, first_index: bool = True) -> None:
    """`assistant serve`."""
    asyncio.run(serve(settings, first_index=first_index))
