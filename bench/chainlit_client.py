"""A person in a browser, without the browser: sign in, open the socket, ask, read the stream."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import socketio


@dataclass
class Turn:
    """What one question took, in seconds on the monotonic clock; `text` is all that was streamed or sent."""

    sent: float
    first: float | None = None
    ended: float | None = None
    text: str = ""
    error: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Person:
    """One session. `base` is the address of a server, its chat at `path`; without an email nobody signs in."""

    def __init__(self, base: str, email: str = "", password: str = "", path: str = "/chat") -> None:
        self._base, self._email, self._password, self._path = base, email, password, path
        self._turn: Turn | None = None
        self._ends = 0

    async def open(self) -> None:
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        if self._email:
            await self._sign_in()
        cookies = "; ".join(f"{c.key}={c.value}" for c in self._http.cookie_jar)
        self._socket = socketio.AsyncClient(reconnection=False, http_session=self._http)
        self._socket.on("stream_token", self._token)
        self._socket.on("stream_start", self._message)
        self._socket.on("new_message", self._message)
        self._socket.on("update_message", self._update)
        self._socket.on("task_end", self._end)
        await self._socket.connect(
            self._base,
            socketio_path=f"{self._path}/ws/socket.io",
            transports=["websocket"],
            headers={"Cookie": cookies, "Origin": self._base},
            wait_timeout=60,
            auth={
                "clientType": "webapp",
                "sessionId": str(uuid.uuid4()),
                "threadId": "",
                "userEnv": "{}",
                "chatProfile": "",
            },
        )
        await self._socket.emit("connection_successful")
        # The start hook ends with a task_end of its own; a question sent before it finds no session.
        for _ in range(100):
            await asyncio.sleep(0.1)
            if self._ends:
                break

    async def _sign_in(self) -> None:
        form = {"username": self._email, "password": self._password}
        headers = {"Origin": self._base}
        async with self._http.post(f"{self._base}{self._path}/login", data=form, headers=headers) as reply:
            if reply.status != 200:
                raise ConnectionError(f"sign-in answered {reply.status}: {(await reply.text())[:200]}")

    def _token(self, data: Any, *_: Any) -> None:
        token = data.get("token") if isinstance(data, dict) else data
        if self._turn is not None and token:
            self._turn.first = self._turn.first or time.monotonic()
            self._turn.text += str(token)

    def _message(self, data: dict[str, Any], *_: Any) -> None:
        if self._turn is not None and data.get("type") == "assistant_message" and data.get("output"):
            self._turn.first = self._turn.first or time.monotonic()
            self._turn.text += str(data["output"])
            if data.get("isError"):
                self._turn.error = str(data["output"])[:200]

    def _update(self, data: dict[str, Any], *_: Any) -> None:
        if self._turn is not None and data.get("type") == "assistant_message" and data.get("output"):
            self._turn.first = self._turn.first or time.monotonic()
            self._turn.text = str(data["output"])

    def _end(self, *_: Any) -> None:
        self._ends += 1
        if self._turn is not None and self._turn.first is not None:
            self._turn.ended = time.monotonic()
            self._turn.done.set()

    async def ask(self, question: str, timeout_s: float = 60) -> Turn:
        turn = self._turn = Turn(time.monotonic())
        message = {
            "threadId": "",
            "id": str(uuid.uuid4()),
            "name": self._email,
            "type": "user_message",
            "output": question,
            "createdAt": datetime.now(UTC).isoformat(),
        }
        await self._socket.emit("client_message", {"message": message, "fileReferences": []})
        try:
            async with asyncio.timeout(timeout_s):
                await turn.done.wait()
        except TimeoutError:
            turn.error = turn.error or "no end within the time"
        self._turn = None
        return turn

    async def close(self) -> None:
        await self._socket.disconnect()
        await self._http.close()
