"""A question back in a real browser: its choices are buttons, and one click asks the narrowed question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from assistant.settings import PROJECT
from tests.e2e.conftest import ASKER, Person, Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ASKED = "What is done before a return is booked?"


@pytest.fixture(scope="module")
def clashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo's people over two documents of the same title."""
    folder: Path = tmp_path_factory.mktemp("choices")
    for name, text in (
        ("support/handling.md", "# Checklist\n\nBefore a return is booked the serial number is read aloud.\n"),
        ("warehouse/audit.md", "# Checklist\n\nBefore a return is booked the tax consultant signs the form twice.\n"),
    ):
        file = folder / "share" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    shipped = (PROJECT / "assistant.toml").read_text()
    people = shipped[shipped.index("[[demo_people]]") :]
    source = f'[[sources]]\nname = "share"\npath = "{folder / "share"}"\ngroups = ["everyone"]\n'
    config = folder / "assistant.toml"
    config.write_text(f'company = "Larkfeld Instruments"\ndemo = true\n\n{source}\n{people}')
    made = Server(folder, "--config", str(config))
    made.begin()
    yield made
    made.end()


def test_a_clash_of_titles_is_asked_about_and_a_click_answers_from_the_chosen_document(
    browser: Browser, clashing: Server
) -> None:
    person = Person(browser, clashing, ASKER, viewport={"width": 1280, "height": 800}).enter()
    page = person.page
    assert "Which one do you mean?" in person.ask(ASKED)
    buttons = page.get_by_role("group", name="Ask one of these").get_by_role("button")
    expect(buttons).to_have_count(2)
    expect(page.locator("details.receipt").last).to_be_visible()
    buttons.filter(has_text="audit").click()
    last = page.locator(".ai-message .message-content").last
    expect(last).to_contain_text("tax consultant", timeout=30_000)
    expect(last).not_to_contain_text("serial number")
    # It holds after a reload, where receipts and choices are drawn anew.
    page.reload()
    expect(buttons.first).to_be_visible(timeout=30_000)
    expect(page.locator(".ai-message .message-content").last).to_contain_text("tax consultant")
    person.leave()
