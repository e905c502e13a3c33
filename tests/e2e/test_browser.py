"""The main job in a real browser: ask, watch, open a source, rate, come back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.e2e.conftest import ADMIN, ASKER, FINANCE, Person, Server, serious

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
LEAVE = "until when do leftover holidays have to be used up"
BUDGET = "how much did we budget for Engineering in 2027"
CHIP = 'a[href^="#source-"]'


@pytest.fixture
def asker(browser: Browser, server: Server) -> Iterator[Person]:
    person = Person(browser, server, ASKER, viewport={"width": 1280, "height": 800}).enter()
    yield person
    person.leave()


@pytest.fixture
def admin(browser: Browser, server: Server) -> Iterator[Person]:
    person = Person(browser, server, ADMIN, viewport={"width": 1280, "height": 900}).enter()
    yield person
    person.leave()


def test_the_first_page_says_that_it_starts(server: Server) -> None:
    assert "The assistant is starting" in server.first_page


def test_an_answer_is_seen_to_grow_and_its_source_opens_beside_it(asker: Person) -> None:
    page = asker.page
    page.evaluate(
        """() => { window.lengths = []; window.told = [];
            window.addEventListener('message', (news) => window.told.push(news.data?.text || ''));
            new MutationObserver(() => {
                const found = document.querySelectorAll('.ai-message .message-content');
                if (found.length) window.lengths.push(found[found.length - 1].innerText.length);
            }).observe(document.body, {childList: true, subtree: true, characterData: true}); }"""
    )
    asker.ask(LEAVE)
    lengths = [n for n in page.evaluate("window.lengths") if n]
    # The built-in model quotes at once; what is seen of a slow one is held by test_talks.py.
    assert len(set(lengths)) > 1, "the text came at once"
    assert lengths == sorted(lengths)
    assert any("Searching" in s for s in page.evaluate("window.told"))
    page.locator(CHIP).first.click()
    panel = page.locator("#source-panel")
    expect(panel).to_be_visible()
    expect(panel.locator("h2")).not_to_be_empty()
    expect(panel.locator("mark.passage")).to_be_visible()
    with page.context.expect_page() as opened:
        panel.get_by_role("link", name="Open the document").click()
    assert "/documents/" in opened.value.url
    opened.value.close()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_each_number_opens_its_passage_where_that_says_what_stands_before_it(asker: Person) -> None:
    page = asker.page
    asker.ask("how many days of annual leave do I have and how many can be carried over")
    panel, chips = page.locator("#source-panel"), page.locator(f".ai-message blockquote {CHIP}")
    assert chips.count() > 1
    assert chips.nth(0).inner_text() == chips.nth(1).inner_text(), "two quotations of one passage"
    for at in (0, 1):
        chips.nth(at).click()
        quoted = page.locator(".ai-message blockquote .font-bold").nth(at).inner_text()
        expect(panel.locator("mark.claim", has_text=quoted)).to_be_in_viewport(ratio=1)
        for other in (0, 1):
            expect(chips.nth(other)).to_have_attribute("aria-pressed", str(other == at).lower())
    chips.nth(1).click()
    expect(panel).to_be_hidden()


def test_the_receipt_is_a_fold_in_words(asker: Person) -> None:
    asker.ask(LEAVE)
    # Also where the answer reaches the end of the screen.
    asker.page.set_viewport_size({"width": 1280, "height": 560})
    asker.page.locator("details.receipt summary").click()
    expect(asker.page.locator("details.receipt dt").last).to_be_in_viewport()
    rows = asker.page.locator("details.receipt .rows").inner_text()
    for word in ("Searched for", "Knowledge", "Model", "Prompt", "Checked", "How fast", "Cost"):
        assert word in rows


def test_a_rating_survives_a_reload_and_a_restart_and_is_withdrawn(asker: Person, server: Server) -> None:
    page = asker.page
    text = asker.ask(LEAVE)
    page.locator(".negative-feedback-off").click()
    page.locator("textarea[placeholder^='What was right']").fill("the date is missing")
    page.locator("#submit-feedback").click()
    expect(page.locator(".negative-feedback-on")).to_be_visible()
    # And it is seen to be given: drawn otherwise than the one that is not.
    expect(page.locator(".negative-feedback-on")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".positive-feedback-off")).to_have_attribute("aria-pressed", "false")
    fills = "s => s.map(n => getComputedStyle(n.querySelector('svg')).fill)"
    given, other = page.locator(".negative-feedback-on, .positive-feedback-off").evaluate_all(fills)
    assert given != other
    assert re.search(r"/chat/thread/[0-9a-f-]{36}$", page.url)
    for restart in (False, True):
        if restart:
            server.end()
            server.begin()
        page.reload()
        page.locator("details.receipt").wait_for(timeout=60_000)
        assert page.locator(".ai-message .message-content").last.inner_text() == text
        expect(page.locator(".negative-feedback-on")).to_be_visible()
        page.locator(CHIP).first.click()
        expect(page.locator("#source-panel mark.passage")).to_be_visible()
        page.keyboard.press("Escape")
    page.locator(".negative-feedback-on").click()
    expect(page.locator(".negative-feedback-off")).to_be_visible()


def test_a_reload_in_the_middle_of_an_answer_loses_nothing(asker: Person) -> None:
    page = asker.page
    asker.send(LEAVE)
    page.wait_for_url("**/chat/thread/**")
    page.locator(".ai-message").first.wait_for(timeout=60_000)
    page.reload()
    asker.settled()
    page.locator("details.receipt").wait_for(timeout=60_000)
    again = page.locator(".ai-message .message-content").last.inner_text()
    page.reload()
    asker.settled()
    page.locator("details.receipt").wait_for(timeout=60_000)
    assert page.locator(".ai-message .message-content").last.inner_text() == again
    assert len(again) > 40


def test_a_talk_reopens_whole_in_whatever_order_the_page_is_answered(asker: Person) -> None:
    page = asker.page
    text = asker.ask(LEAVE)
    held: list[Route] = []

    def cookie(route: Route) -> None:
        # The page asks twice while it loads. The first is answered after the second.
        held.append(route)
        if len(held) > 1:
            route.fulfill(response=route.fetch())
            held[0].continue_()

    page.route("**/set-session-cookie", cookie)
    page.reload()
    page.locator("details.receipt").wait_for(timeout=60_000)
    assert page.locator(".ai-message .message-content").last.inner_text() == text
    assert len(held) == 2, "the page no longer opens its socket twice"
    page.unroute("**/set-session-cookie")


def test_an_earlier_talk_reopens_from_the_sidebar(asker: Person) -> None:
    page = asker.page
    asker.ask("when is payday in Bremen")
    page.locator("#new-chat-button").first.click()
    expect(page.locator("#starters")).to_be_visible()
    page.locator("#thread-history").get_by_text("when is payday in Bremen").first.click()
    page.locator("details.receipt").first.wait_for(timeout=60_000)
    expect(page.locator('[data-step-type="user_message"]')).to_contain_text("payday")


def test_a_starter_is_asked_by_a_click(asker: Person) -> None:
    starters = asker.page.locator("#starters button")
    expect(starters.first).to_be_visible()
    assert 1 <= starters.count() <= 4
    starters.first.click()
    asker.page.locator("details.receipt").wait_for(timeout=60_000)


def test_who_may_not_read_a_document_never_sees_its_words(browser: Browser, server: Server, asker: Person) -> None:
    finance = Person(browser, server, FINANCE).enter()
    assert "4565" in finance.ask(BUDGET)
    finance.leave()
    asker.ask(BUDGET)
    assert "4565" not in asker.page.content()
    assert not re.search(r"budget.2027", asker.page.content(), re.IGNORECASE)
    assert asker.page.request.get(f"{server.base}/admin").status == 404


def test_an_admin_re_indexes_while_others_ask(browser: Browser, server: Server, admin: Person, asker: Person) -> None:
    page = admin.page
    page.get_by_role("link", name="Admin").click()
    expect(page.locator("main")).to_contain_text("Nothing here interrupts them.")
    page.get_by_role("button", name="Re-index now").click()
    expect(page.locator("#run .tag")).to_contain_text("indexing")
    assert len(asker.ask(LEAVE)) > 40
    page.get_by_text("The run is over.").wait_for(timeout=90_000)
    with page.expect_navigation():
        page.get_by_role("link", name="Show the new state").click()
    expect(page.locator("#run")).to_contain_text("Last run")
    page.get_by_role("link", name="Documents").click()
    page.locator("#q").press_sequentially("budget-2027")
    expect(page.locator("#documents-list tbody tr")).to_have_count(1)


def test_on_a_phone_the_source_comes_from_below(browser: Browser, server: Server) -> None:
    phone = Person(browser, server, ASKER, viewport={"width": 390, "height": 800}, has_touch=True).enter()
    phone.ask(LEAVE)
    phone.page.locator(CHIP).first.click()
    panel = phone.page.locator("#source-panel")
    expect(panel.locator("mark.passage")).to_be_visible()
    box = panel.bounding_box()
    assert box is not None
    assert (round(box["x"]), round(box["width"])) == (0, 390)
    assert box["y"] > 200
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    phone.leave()


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_on_a_phone_an_admin_too_reaches_all_of_the_header(browser: Browser, server: Server, locale: str) -> None:
    phone = Person(browser, server, ADMIN, viewport={"width": 360, "height": 800}, locale=locale).enter()
    phone.page.locator("#admin-link").wait_for()
    for name in ("#me-link", "#admin-link", "#readme-button", "#theme-toggle", "#user-nav-button"):
        box = phone.page.locator(name).bounding_box()
        assert box is not None
        assert (box["x"] >= 0, box["x"] + box["width"] <= 360) == (True, True), name
    phone.leave()


def test_the_keyboard_reaches_the_sources(asker: Person) -> None:
    asker.ask(LEAVE)
    asker.page.locator(CHIP).first.focus()
    asker.page.keyboard.press("Space")
    expect(asker.page.locator("#source-panel mark.passage")).to_be_visible()
    asker.page.keyboard.press("Escape")
    expect(asker.page.locator("#source-panel")).to_be_hidden()
    assert asker.page.evaluate("document.activeElement.getAttribute('href')").startswith("#source-")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Browser, server: Server, scheme: str) -> None:
    person = Person(browser, server, ADMIN, color_scheme=scheme)
    page = person.page
    page.goto(server.base)
    page.wait_for_selector("#email")
    faults = {"sign-in": serious(page)}
    person.sign_in()
    page.wait_for_timeout(800)
    faults["home"] = serious(page)
    person.ask(LEAVE)
    page.locator(CHIP).first.click()
    page.locator("#source-panel mark.passage").wait_for()
    page.locator("details.receipt summary").click()
    page.wait_for_timeout(400)
    faults["chat"] = serious(page)
    assert {k: v for k, v in faults.items() if v} == {}
    person.leave()


def test_signing_out_leads_to_the_sign_in(asker: Person) -> None:
    page = asker.page
    page.locator("#user-nav-button").click()
    page.get_by_text("Sign out").click()
    page.wait_for_selector("#email")
    page.goto(f"{asker.server.base}/chat")
    page.wait_for_selector("#email")
