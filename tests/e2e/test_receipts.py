"""From an answer to its receipt, to whom it can be sent, and to the same answer given again, in a real browser."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Route, expect

from assistant.texts import say
from tests.e2e.conftest import ADMIN, OTHER_ASKER, Person, Server, fits, serious, serious_in_both

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
FOREIGN = "Which laptop does the king of Norway use?"


def test_a_declined_question_is_sent_to_the_owner_who_replies(browser: Browser, server: Server) -> None:
    asker = Person(browser, server, OTHER_ASKER).enter()
    asker.ask(FOREIGN)
    offer = asker.page.locator(".ask-owner").first
    offer.locator("summary").focus()
    asker.page.keyboard.press("Enter")
    assert serious(asker.page) == []
    offer.locator("textarea").fill("Which laptop may I have?")
    offer.get_by_role("button", name="Send the question").press("Enter")
    expect(asker.page.locator(".owner-said")).to_contain_text("Sent to Odalys Ferreira")
    owner = Person(browser, server, ADMIN, locale="de-DE", viewport={"width": 390, "height": 800}).enter()
    owner.page.locator("#me-link").click()
    expect(owner.page.get_by_role("heading", name="Fragen an Sie")).to_be_visible()
    expect(owner.page.get_by_text("Aurelio Vant (", exact=False)).to_be_visible()
    assert fits(owner.page)
    assert serious(owner.page) == []
    owner.page.get_by_label("Ihre Antwort: Which laptop may I have?").fill("A Framework 13 <b>or</b> 16.")
    owner.submit(owner.page.get_by_role("button", name="Antwort senden"))
    asker.page.reload()
    asker.settled()
    expect(asker.page.locator(".owner-reply")).to_have_text("A Framework 13 <b>or</b> 16.")
    owner.page.goto(f"{server.base}/admin/ratings")
    expect(owner.page.locator("#owners")).to_be_visible()
    expect(owner.page.get_by_text("Which laptop may I have?")).to_be_visible()
    owner.leave()
    asker.leave()


def test_an_admin_has_a_question_answered_again_and_sees_the_difference(browser: Browser, server: Server) -> None:
    admin = Person(browser, server, ADMIN, viewport={"width": 390, "height": 800}).enter()
    admin.ask("How many days of holiday do we get?")
    admin.page.locator("details.receipt summary").last.click()
    admin.page.get_by_role("link", name="The whole receipt").last.click()
    expect(admin.page.get_by_role("heading", name="How many days of holiday do we get?")).to_be_visible()
    assert fits(admin.page)
    assert serious_in_both(admin.page) == []
    admin.page.get_by_role("button", name="Answer again").press("Enter")
    expect(admin.page.get_by_role("status")).to_have_text("The same answer, byte for byte.")
    figures = admin.page.get_by_role("region", name="Difference")
    expect(figures).to_contain_text("Tokens in")
    assert "cost_nano" not in figures.inner_text()
    assert serious_in_both(admin.page) == []
    admin.page.goto(f"{server.base}/admin/receipts")
    assert fits(admin.page)
    assert serious_in_both(admin.page) == []
    admin.page.goto(f"{server.base}/admin/audit")
    expect(admin.page.get_by_text("had a question answered again").first).to_be_visible()
    admin.leave()


def test_long_work_shows_how_far_it_is_and_survives_a_reload(browser: Browser, server: Server) -> None:
    asker = Person(browser, server, OTHER_ASKER).enter()
    asker.send("Summarise the folder people")
    expect(asker.page.locator(".work, .ai-message strong").first).to_be_visible(timeout=60_000)
    asker.page.reload()
    asker.settled()
    expect(asker.page.locator(".ai-message .message-content")).to_contain_text(
        "documents of this folder are about", timeout=60_000
    )
    assert asker.page.locator('.ai-message a[href^="#source-"]').count() > 5
    asker.page.locator("details.receipt summary").last.click()
    expect(asker.page.locator("details.receipt")).to_contain_text("a folder summarised")
    asker.leave()


def test_work_that_ends_while_its_page_is_loading_is_shown(browser: Browser, server: Server) -> None:
    asker = Person(browser, server, OTHER_ASKER).enter()
    told = asker.page.locator(".ai-message .message-content")
    asker.send("Summarise the folder people")
    expect(told).to_contain_text("documents of this folder are about", timeout=60_000)
    # As it was before it ended; it ends when the page has read the talk and asks for what is drawn under the answer.
    with closing(sqlite3.connect(server.data / "assistant.db", isolation_level=None)) as db:
        work, text = db.execute(
            "SELECT work.id, text FROM work JOIN message ON message.id = work.id ORDER BY work.created_at DESC"
        ).fetchone()
        begun = (say("en", "chat.work_begun"), work)
        db.execute("UPDATE work SET state = 'running', beat_at = '2999-01-01 00:00:00.000000' WHERE id = ?", (work,))
        db.execute("UPDATE message SET text = ? WHERE id = ?", begun)
        held: list[Route] = []
        over = False
        asker.page.route("**/api/receipts/*", lambda route: route.continue_() if over else held.append(route))
        asker.page.reload()
        asker.settled()
        expect(told).to_contain_text("takes a while")
        while not held:
            asker.page.wait_for_timeout(100)
        db.execute("UPDATE work SET state = 'done' WHERE id = ?", (work,))
        db.execute("UPDATE message SET text = ? WHERE id = ?", (text, work))
    over = True
    for route in held:
        route.continue_()
    expect(told).to_contain_text("documents of this folder are about")
    asker.leave()


def test_a_project_is_made_by_keyboard_and_a_language_chosen(browser: Browser, server: Server) -> None:
    asker = Person(browser, server, OTHER_ASKER, viewport={"width": 390, "height": 800}).enter()
    asker.ask("How many days of holiday do we get?")
    asker.page.goto(f"{server.base}/me/projects")
    asker.page.locator("#new-name").fill("Audit")
    asker.page.locator("#new-instructions").fill("Answer in one line.")
    asker.page.get_by_role("button", name="New project").press("Enter")
    card = asker.page.locator("article", has=asker.page.get_by_text("Audit", exact=True))
    card.get_by_placeholder("Find a document by its title").fill("leave policy")
    asker.page.keyboard.press("Enter")
    card.get_by_role("button", name="Add").first.press("Enter")
    expect(card.get_by_role("button", name="Take out")).to_be_visible()
    assert fits(asker.page)
    assert serious_in_both(asker.page) == []
    asker.page.goto(f"{server.base}/me")
    asker.page.locator("article details summary").first.click()
    asker.page.get_by_label("Project of “How many days").first.select_option("Audit")
    asker.page.get_by_role("button", name="Put there").first.click()
    expect(asker.page.locator("article .tag").first).to_have_text("Audit")
    asker.page.get_by_label("Your language").select_option("de")
    asker.page.get_by_role("button", name="Save", exact=True).click()
    expect(asker.page.get_by_role("heading", name="Ihre Sprache")).to_be_visible()
    assert fits(asker.page)
    assert serious_in_both(asker.page) == []
    asker.page.get_by_label("Ihre Sprache").select_option("")
    asker.submit(asker.page.get_by_role("button", name="Speichern", exact=True))
    asker.leave()
