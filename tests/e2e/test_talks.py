"""Talks in a real browser with a slow model: streaming, stop, reload, a second tab, versions, a page of one's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import ASKER, FINANCE, Person, Server, serious, serious_in_both
from tests.e2e.test_browser import CHIP

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
LEAVE = "How many vacation days do I get in Leeds?"
WORDS = 60  # that the model answers with, ten a second


@pytest.fixture
def asker(browser: Browser, slow: Server) -> Iterator[Person]:
    person = Person(browser, slow, ASKER, viewport={"width": 1280, "height": 800}).enter()
    yield person
    person.leave()


def text(page: Page) -> str:
    return page.locator(".ai-message .message-content").last.inner_text()


def begin(person: Person, question: str) -> None:
    """Ask, and wait until some words of the answer are there."""
    person.send(question)
    person.page.wait_for_url("**/chat/thread/**")
    expect(person.page.locator(".ai-message .message-content").last).to_contain_text("policy", timeout=60_000)


def whole(page: Page) -> str:
    page.locator("details.receipt").last.wait_for(timeout=60_000)
    return text(page)


def test_a_reload_in_the_middle_goes_on_and_a_second_tab_sees_the_same(asker: Person) -> None:
    page = asker.page
    begin(asker, LEAVE)
    expect(page.locator(".answer-foot .stage")).to_contain_text("Writing")
    before = len(text(page))
    page.reload()
    expect(page.locator(".ai-message .message-content").last).to_contain_text("policy", timeout=60_000)
    second = asker.context.new_page()
    second.goto(page.url)
    expect(second.locator(".ai-message .message-content").last).to_contain_text("policy", timeout=60_000)
    assert second.locator("details.receipt").count() == 0, "it was over before the second tab could look"
    ended = whole(page)
    assert len(ended) > before
    assert len(ended.split()) >= WORDS
    assert whole(second) == ended
    page.reload()
    asker.settled()
    assert whole(page) == ended
    second.close()


def test_a_refused_question_is_not_offered_to_be_answered_again(asker: Person) -> None:
    assert "no question" in asker.ask("?!")
    assert asker.page.get_by_role("button", name="Answer again").count() == 0
    asker.ask(LEAVE)
    expect(asker.page.get_by_role("button", name="Answer again")).to_have_count(1)


def test_a_stopped_answer_keeps_what_was_shown_and_is_answered_again_beside_it(asker: Person) -> None:
    page = asker.page
    begin(asker, LEAVE)
    page.locator("#stop-button").click()
    stopped = whole(page)
    assert "Stopped." in stopped
    assert "policy" in stopped
    assert len(stopped.split()) < WORDS
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".versions")).to_contain_text("Version 2 of 2", timeout=60_000)
    assert len(text(page).split()) >= WORDS
    page.get_by_role("button", name="Version before").click()
    page.wait_for_timeout(500)
    asker.settled()
    expect(page.locator(".versions")).to_contain_text("Version 1 of 2", timeout=60_000)
    assert text(page) == stopped


def test_a_question_edited_in_the_chat_keeps_what_was_answered(asker: Person) -> None:
    page = asker.page
    begin(asker, LEAVE)
    whole(page)
    question = page.locator('[data-step-type="user_message"]').first
    question.hover()
    page.locator(".edit-message").first.click()
    page.locator("textarea#edit-chat-input, #edit-chat-input").fill("How long is the parental leave?")
    page.locator(".confirm-edit").click()
    page.locator(".versions").get_by_text("Version 2 of 2").wait_for(timeout=60_000)
    expect(page.locator('[data-step-type="user_message"]')).to_have_count(1)
    page.reload()
    asker.settled()
    expect(page.locator('[data-step-type="user_message"]')).to_contain_text("parental leave")
    page.locator(".versions").get_by_text("Version 2 of 2").wait_for(timeout=60_000)
    page.get_by_role("button", name="Version before").click()
    page.wait_for_timeout(500)
    asker.settled()
    expect(page.locator('[data-step-type="user_message"]')).to_contain_text("vacation days", timeout=60_000)


def test_a_talk_is_found_renamed_shared_deleted_and_brought_back(browser: Browser, slow: Server, asker: Person) -> None:
    page = asker.page
    begin(asker, "Until when must leftover holidays be used up?")
    whole(page)
    page.get_by_role("link", name="Your conversations").click()
    page.wait_for_url("**/me")
    page.fill("#q", "leftover")
    expect(page.locator(".talk")).to_have_count(1)
    page.fill("#q", "leftover quagga")
    expect(page.locator("#talks")).to_contain_text("Nothing matches.")
    page.fill("#q", "leftover")
    talk = page.locator(".talk")
    talk.locator("summary").click()
    talk.get_by_label("Title of").fill("Leftover days")
    talk.get_by_role("button", name="Rename").click()
    expect(talk.locator("a.strong")).to_have_text("Leftover days")
    talk.get_by_role("button", name="Share with colleagues").click()
    link = talk.get_by_label("Link to").input_value()
    assert re.fullmatch(rf"{slow.base}/shared/[\w-]{{32}}", link)
    colleague = Person(browser, slow, FINANCE).enter()
    colleague.page.goto(link)
    expect(colleague.page.locator("h1")).to_have_text("Leftover days")
    source = colleague.page.locator("details.source").first
    source.locator("summary").click()
    expect(source.locator("blockquote")).not_to_be_empty()
    talk.get_by_role("button", name="Delete").click()
    expect(page.locator(".row.gone")).to_contain_text("is deleted")
    assert colleague.page.request.get(link).status == 404
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".talk a.strong")).to_have_text("Leftover days")
    assert colleague.page.request.get(link).status == 200
    colleague.leave()


def test_the_pages_fit_a_phone_and_axe_finds_no_serious_fault_light_or_dark(browser: Browser, slow: Server) -> None:
    person = Person(browser, slow, ASKER, viewport={"width": 390, "height": 800}).enter()
    page = person.page
    begin(person, LEAVE)
    whole(page)
    faults = {"chat": serious(page)}
    expect(page.locator(CHIP).first).to_be_visible()
    account = page.locator("#user-nav-button").bounding_box()
    assert account is not None
    assert account["x"] + account["width"] <= 390
    page.locator("#me-link").click()
    page.locator(".talk summary").first.click()
    if not page.locator(".talk").first.get_by_label("Link to").count():
        page.get_by_role("button", name="Share with colleagues").first.click()
    page.locator(".talk").first.get_by_label("Link to").wait_for()
    faults["talks"] = serious_in_both(page)
    widths = [page.evaluate("document.documentElement.scrollWidth")]
    link = page.locator(".talk").first.get_by_label("Link to").input_value()
    page.locator(".talk").first.get_by_role("button", name="Delete").click()
    page.locator(".row.gone").wait_for()
    faults["deleted"] = serious_in_both(page)
    page.get_by_role("button", name="Undo").first.click()
    page.locator(".row.gone").wait_for(state="detached")
    page.goto(f"{slow.base}/me/memory")
    page.get_by_label("Something to remember").fill("I work in Leeds")
    page.get_by_role("button", name="Remember").click()
    expect(page.get_by_label("Note").first).to_have_value("I work in Leeds")
    faults["memory"] = serious_in_both(page)
    widths.append(page.evaluate("document.documentElement.scrollWidth"))
    page.goto(link)
    page.locator("details.source summary").first.click()
    page.locator("details.source blockquote").first.wait_for()
    faults["shared"] = serious_in_both(page)
    widths.append(page.evaluate("document.documentElement.scrollWidth"))
    assert {k: v for k, v in faults.items() if v} == {}
    assert max(widths) <= 390
    person.leave()
