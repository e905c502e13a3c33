"""A real server with the demo company and its built-in model, and a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, sync_playwright

from bench.load import settings_file
from bench.processes import free_port, python, running

PROJECT = Path(__file__).resolve().parents[2]
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
# One server serves most of these modules: each has people of its own, so that none meets another's talks, answers
# given before, or notes.
ASKER = "ottilie.marsh@larkfeld.example"
OTHER_ASKER = "aurelio.vant@larkfeld.example"
ENGINEER = "sunniva.brekke@larkfeld.example"
PEOPLE_PARTNER = "fenja.brodersen@larkfeld.example"
FINANCE = "jannik.thoben@larkfeld.example"
FINANCE_CHIEF = "marguerite.tessaro@larkfeld.example"
ADMIN = "odalys.ferreira@larkfeld.example"


def start_chromium(playwright: Playwright) -> Browser:
    """Debian's Chromium where there is one, else Playwright's own."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=FLAGS + root)


def serious(page: Page) -> list[str]:
    """What axe finds on a page that keeps somebody from using it."""
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found if v["impact"] in {"serious", "critical"}]


def serious_in_both(page: Page) -> list[str]:
    """The same in light and dark, on a page whose style sheet alone tells them apart."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{scheme}: {fault}" for fault in serious(page)]
    page.emulate_media(color_scheme="null")
    return found


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


class Server:
    """`assistant serve` on a data folder of its own: fresh, or a copy of the data of one that was prepared."""

    def __init__(self, folder: Path, *options: str, prepared: Path | None = None) -> None:
        self._options = options
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.data = folder / "data"
        if prepared is not None:
            shutil.copytree(prepared, self.data)
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

    def copy_to(self, folder: Path) -> Path:
        """A copy of the data while they are served: releases never change, and SQLite makes a whole copy of itself."""
        shutil.copytree(self.data, folder, ignore=shutil.ignore_patterns("assistant.db*", "chainlit"))
        with (
            closing(sqlite3.connect(self.data / "assistant.db")) as ours,
            closing(sqlite3.connect(folder / "assistant.db")) as theirs,
        ):
            ours.backup(theirs)
        return folder

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
        """By the form, as people do."""
        self.page.goto(self.server.base)
        self.page.fill("#email", self.email)
        self.page.fill("#password", self.server.password(self.email))
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("#chat-input")
        return self

    def enter(self) -> Person:
        """With a session of one's own, without the form."""
        form = {"username": self.email, "password": self.server.password(self.email)}
        assert self.context.request.post(f"{self.server.base}/chat/login", form=form).ok
        return self.new_talk()

    def new_talk(self) -> Person:
        self.page.goto(f"{self.server.base}/chat")
        self.page.wait_for_selector("#chat-input")
        return self

    def send(self, question: str) -> None:
        """Ask as soon as the page can: before it is connected it takes no question."""
        self.page.fill("#chat-input", question)
        self.page.wait_for_selector("#chat-submit:not([disabled])")
        self.page.keyboard.press("Enter")

    def submit(self, button: Locator) -> None:
        """Press the button of a form and wait for the page it leads to: who leaves at once takes the form back."""
        with self.page.expect_navigation():
            button.click()

    def settled(self) -> None:
        """Wait until the talk is shown."""
        self.page.locator(".ai-message").first.wait_for(timeout=60_000)

    def ask(self, question: str) -> str:
        """Ask, wait for the receipt of the answer, return its text."""
        answers = self.page.locator(".ai-message")
        before = answers.count()
        self.send(question)
        answers.nth(before).locator("details.receipt").wait_for(timeout=60_000)
        return self.page.locator(".ai-message .message-content").last.inner_text()

    def leave(self) -> None:
        assert self.foreign == [], "the browser asked another host"
        assert self.errors == []
        self.context.close()


# Of the package, not of the session: Playwright keeps an event loop running, and tests after these need theirs.
@pytest.fixture(scope="package")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server after its first start, and a copy of its data as they were then."""
    made = Server(tmp_path_factory.mktemp("e2e"))
    made.begin()
    yield made, made.copy_to(tmp_path_factory.mktemp("prepared") / "data")
    made.end()


@pytest.fixture(scope="package")
def server(first_start: tuple[Server, Path]) -> Server:
    return first_start[0]


@pytest.fixture(scope="package")
def prepared(first_start: tuple[Server, Path]) -> Path:
    """The data of the demo company as its first start leaves them: people, index, one release."""
    return first_start[1]


@pytest.fixture(scope="package")
def slow(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo company with a model of ten words a second, and no answer given twice."""
    folder, model = tmp_path_factory.mktemp("slow"), free_port()
    with running(*python("bench.fake_model", str(model)), TOKENS_PER_S="10"):
        made = Server(folder, "--config", str(settings_file(folder, model)), prepared=prepared)
        made.begin()
        yield made
        made.end()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = start_chromium(playwright)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def nobody_stays(browser: Browser) -> Iterator[None]:
    """What a failed test left open would go on asking the server."""
    yield
    for context in browser.contexts:
        context.close()
