"""A real server with the demo company and its built-in model, and a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

PROJECT = Path(__file__).resolve().parents[2]
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
ASKER = "ottilie.marsh@larkfeld.example"
FINANCE = "jannik.thoben@larkfeld.example"
ADMIN = "odalys.ferreira@larkfeld.example"


def start_chromium(playwright: Playwright) -> Browser:
    """Debian's Chromium where there is one, else Playwright's own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=FLAGS + root)


class Server:
    """`assistant serve` on a fresh data folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._options = options
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = int(s.getsockname()[1])
        self.base = f"http://127.0.0.1:{self.port}"
        self.data = folder / "data"
        self._log = (folder / "server.log").open("w+")
        self.first_page = ""

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "assistant", *words, "--data", str(self.data)]

    def begin(self) -> None:
        self._process = subprocess.Popen(
            [*self.command("serve"), "--port", str(self.port), *self._options],
            cwd=PROJECT,
            stdout=self._log,
            stderr=self._log,
        )
        for _ in range(600):
            try:
                if not self.first_page:
                    self.first_page = httpx.get(self.base).text
                if httpx.get(f"{self.base}/health/ready").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert self._process.poll() is None, self.log()
            time.sleep(0.2)
        raise AssertionError(self.log())

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def log(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()[-4000:]

    def password(self, email: str) -> str:
        accounts = json.loads((self.data / "demo-accounts.json").read_text())
        return next(str(a["password"]) for a in accounts if a["email"] == email)


class Person:
    """Somebody at a browser. Every request to another host, and every error of a page, is kept."""

    def __init__(self, browser: Browser, server: Server, email: str, **context: Any) -> None:
        self.server, self.email = server, email
        self.context: BrowserContext = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._request)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if "Content Security Policy" in m.text else None)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.server.base, f"ws://127.0.0.1:{self.server.port}", "data:")):
            self.foreign.append(request.url)

    def sign_in(self) -> Person:
        self.page.goto(self.server.base)
        self.page.fill("#email", self.email)
        self.page.fill("#password", self.server.password(self.email))
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#chat-input")
        self.page.wait_for_timeout(300)
        return self

    def settled(self) -> None:
        """Wait until the talk is shown."""
        self.page.locator(".ai-message").first.wait_for(timeout=30_000)

    def ask(self, question: str) -> str:
        """Ask, wait for the receipt of the answer, return its text."""
        before = self.page.locator("details.receipt").count()
        self.page.fill("#chat-input", question)
        self.page.keyboard.press("Enter")
        self.page.locator("details.receipt").nth(before).wait_for(timeout=30_000)
        return self.page.locator(".ai-message .message-content").last.inner_text()

    def leave(self) -> None:
        assert self.foreign == [], "the browser asked another host"
        assert self.errors == []
        self.context.close()


# Of the module: Playwright keeps an event loop running, and tests after these need theirs.
@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("e2e"))
    made.begin()
    yield made
    made.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = start_chromium(playwright)
        yield made
        made.close()
