"""A running site for each module, and people who have signed in."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import socketio

from tests.web.house_fakes import PASSWORD

PROJECT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Site:
    """A fake installation behind the real web edge, in a process of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.data = folder / "data"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        web = {"port": self.port, **settings.pop("web", {})}
        given = {"data": str(self.data), "company": "Testers", "web": web, **settings}
        self._file = folder / "settings.json"
        self._file.write_text(json.dumps(given))
        # What an admin's editor holds; the site reads it when somebody asks what it would change.
        self.config = folder / "assistant.toml"
        self.config.write_text('company = "Testers"\n')
        self._log = (folder / "log.txt").open("w+")
        self.begin()

    def begin(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.fake_site", str(self._file)],
            cwd=PROJECT,
            env=os.environ | {"ASSISTANT_CONFIG": str(self.config)},
            stdout=self._log,
            stderr=self._log,
        )
        for _ in range(300):
            try:
                if httpx.get(f"{self.base}/health/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log())

    def end(self, *, kill: bool = False) -> None:
        (self._process.kill if kill else self._process.terminate)()
        self._process.wait(15)

    def log(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base, headers=headers, timeout=20)

    async def signed_in(self, email: str) -> httpx.AsyncClient:
        client = self.client()
        answer = await client.post("/chat/login", data={"username": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return client


class Chat:
    """One person's socket, as Chainlit's page drives it."""

    def __init__(self, site: Site, client: httpx.AsyncClient, thread: str = "") -> None:
        self.site, self.client, self.thread = site, client, thread
        self.session = str(uuid4())
        self.sio = socketio.AsyncClient(reconnection=False)
        self.events: list[tuple[str, Any]] = []
        self._ended = asyncio.Event()
        self.sio.on("*", self._keep)

    async def _keep(self, event: str, *data: Any) -> None:
        self.events.append((event, data[0] if data else None))
        if event == "first_interaction":
            self.thread = data[0]["thread_id"]
        if event == "task_end":
            self._ended.set()

    async def open(self, *, as_far_as_the_door: bool = False, **more: Any) -> Chat:
        cookies = "; ".join(f"{k}={v}" for k, v in self.client.cookies.items())
        auth = {
            "clientType": "webapp",
            "sessionId": self.session,
            "threadId": self.thread,
            "userEnv": "{}",
            "chatProfile": "",
        }
        await self.sio.connect(
            self.site.base,
            socketio_path="/chat/ws/socket.io",
            transports=["websocket"],
            headers={"Cookie": cookies, **more},
            auth=auth,
        )
        if as_far_as_the_door:
            return self
        await self.sio.emit("connection_successful")
        await asyncio.sleep(0.3)
        return self

    async def send(self, text: str) -> str:
        number = str(uuid4())
        self._ended.clear()
        self.events.clear()
        message = {"threadId": "", "id": number, "name": "user", "type": "user_message", "output": text}
        await self.sio.emit("client_message", {"message": message, "fileReferences": []})
        return number

    async def ask(self, text: str) -> str:
        """Ask, wait for the end, and return what stands on the screen."""
        await self.send(text)
        await asyncio.wait_for(self._ended.wait(), 30)
        return self.screen()

    async def over(self) -> None:
        await asyncio.wait_for(self._ended.wait(), 30)

    def screen(self) -> str:
        shown: dict[str, str] = {}
        for event, data in self.events:
            if event in {"stream_start", "new_message", "update_message"} and data["type"] == "assistant_message":
                shown[data["id"]] = data["output"]
            elif event == "stream_token":
                shown[data["id"]] = data["token"] if data["isSequence"] else shown.get(data["id"], "") + data["token"]
        return "\n".join(shown.values())

    @property
    def answer_id(self) -> str:
        return next(d["id"] for e, d in self.events if e == "stream_start")

    async def close(self) -> None:
        await self.sio.disconnect()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.end()


Opener = Callable[[str], Any]


@asynccontextmanager
async def _person(site: Site, email: str) -> AsyncIterator[httpx.AsyncClient]:
    client = await site.signed_in(email)
    yield client
    await client.aclose()


@pytest.fixture
async def ada(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with _person(site, "ada@demo.example") as client:
        yield client


@pytest.fixture
async def fin(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with _person(site, "fin@demo.example") as client:
        yield client


@pytest.fixture
async def root(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with _person(site, "root@demo.example") as client:
        yield client


@pytest.fixture
async def chat(site: Site, ada: httpx.AsyncClient) -> AsyncIterator[Chat]:
    made = await Chat(site, ada).open()
    yield made
    await made.close()
