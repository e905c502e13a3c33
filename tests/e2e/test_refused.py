"""What somebody reads who is not let in, whose session is over, or whose link leads nowhere: it is said in words."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import OTHER_ASKER, Person, Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("locale", "wrong", "too_many"),
    [
        ("en-GB", "E-mail and password do not belong together", "Too many tries."),
        ("de-DE", "E-Mail und Passwort gehören nicht zusammen", "Zu viele Versuche."),
    ],
)
def test_a_wrong_password_is_called_one_and_nothing_else_is_said(
    browser: Browser, server: Server, locale: str, wrong: str, too_many: str
) -> None:
    page = browser.new_context(locale=locale).new_page()
    page.goto(server.base)
    # Nobody's: tries are counted by the name that is given.
    page.fill("#email", f"nobody.{locale}@larkfeld.example")
    for said in [wrong, *[""] * 4, too_many]:
        page.fill("#password", "not this one")
        with page.expect_response("**/chat/login"):
            page.keyboard.press("Enter")
        if said:
            expect(page.locator("form [role=alert]")).to_contain_text(said)
            expect(page.get_by_text("credentialssignin")).to_have_count(0)
            expect(page.get_by_text("toomany")).to_have_count(0)


def test_a_session_that_ended_elsewhere_leads_to_the_sign_in_and_gives_back_what_was_written(
    browser: Browser, server: Server
) -> None:
    asker = Person(browser, server, OTHER_ASKER).enter()
    page, question = asker.page, "How many days of holiday do we get?"
    page.wait_for_selector("#chat-submit")
    page.fill("#chat-input", question)
    elsewhere = Person(browser, server, OTHER_ASKER).enter()
    assert elsewhere.context.request.post(f"{server.base}/chat/logout").ok
    elsewhere.context.close()
    expect(page.locator("form [role=alert]")).to_contain_text("Your session is over. Please sign in again.")
    page.fill("#email", OTHER_ASKER)
    page.fill("#password", server.password(OTHER_ASKER))
    page.keyboard.press("Enter")
    expect(page.locator("#chat-input")).to_have_value(question)
    page.wait_for_selector("#chat-submit:not([disabled])")
    page.locator("#chat-input").press("Enter")
    page.locator("details.receipt").wait_for(timeout=60_000)
    # Who signs out here is not told that the session is over.
    page.locator("#user-nav-button").click()
    page.get_by_text("Sign out").click()
    page.wait_for_selector("#email")
    expect(page.locator("form [role=alert]")).to_have_count(0)
    asker.leave()
