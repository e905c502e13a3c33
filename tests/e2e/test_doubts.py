"""A statement that its source does not carry is seen to be one, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.web.conftest import Site
from tests.web.house_fakes import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("setting", "highlight"), [("mark", "unsupported"), ("strike", "struck")])
def test_an_unsupported_statement_is_marked_in_the_text_and_named_under_it(
    browser: Browser, tmp_path: Path, setting: str, highlight: str
) -> None:
    site = Site(tmp_path, chat={"unsupported": setting})
    context = browser.new_context()
    try:
        context.request.post(f"{site.base}/chat/login", form={"username": "ada@demo.example", "password": PASSWORD})
        page = context.new_page()
        page.goto(f"{site.base}/chat")
        page.fill("#chat-input", "days?")
        page.wait_for_selector("#chat-submit:not([disabled])")
        page.keyboard.press("Enter")
        page.locator(".doubts li").wait_for(timeout=30_000)
        assert page.locator(".doubts").inner_text().strip().endswith("its source does not say so.")
        marked = page.evaluate("(name) => [...CSS.highlights.get(name)].map(String)", highlight)
        assert marked == ["Your manager has to agree in writing"]
    finally:
        context.close()
        site.end()
