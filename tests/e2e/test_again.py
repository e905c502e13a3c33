"""An answer given again to a question that means the same, asked anew, and replayed, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import ADMIN, ENGINEER, PEOPLE_PARTNER, PROJECT, Person, Server, fits, serious

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
ASKED = "How many days of holiday do we get?"
MEANS_THE_SAME = "How many holiday days do we receive?"
MEANS_ANOTHER_THING = "How many days of sick leave do we get?"


def test_what_means_the_same_is_answered_from_before_with_its_age_and_asked_anew_by_one_click(
    browser: Browser, server: Server
) -> None:
    first = Person(browser, server, PEOPLE_PARTNER).enter()
    answered = first.ask(ASKED)
    assert "a moment ago" not in answered
    first.page.locator("#new-chat-button").first.click()
    confirm = first.page.get_by_role("button", name="Confirm")
    if confirm.count():
        confirm.click()
    first.page.wait_for_timeout(500)
    again = first.ask(MEANS_THE_SAME)
    assert again.startswith("Answered a moment ago, from the same passages.")
    assert answered.splitlines()[-1] in again
    assert first.page.locator('.ai-message a[href^="#source-"]').count() > 0
    first.page.get_by_role("button", name="Answer again").last.click()
    expect(first.page.locator(".versions")).to_contain_text("Version 2 of 2", timeout=30_000)
    first.page.locator("details.receipt").last.wait_for()
    assert "a moment ago" not in first.page.locator(".ai-message .message-content").last.inner_text()
    other = Person(browser, server, PEOPLE_PARTNER).enter()
    assert "ago" not in other.ask(MEANS_ANOTHER_THING).splitlines()[0]
    # Whoever has other rights is answered for themselves.
    engineer = Person(browser, server, ENGINEER).enter()
    assert "ago" not in engineer.ask(ASKED).splitlines()[0]
    # How its age reads later is held by tests/chat/test_engine.py.
    assert re.match("Answered (a|\\d+) (moment|minutes?) ago", other.new_talk().ask(MEANS_THE_SAME))
    for person in (first, other, engineer):
        person.leave()


def test_the_receipt_of_an_answer_is_replayed_by_the_command_to_the_byte(browser: Browser, server: Server) -> None:
    admin = Person(browser, server, ADMIN).enter()
    admin.ask("Which password manager do we use?")
    admin.page.locator("details.receipt summary").last.click()
    expect(admin.page.locator("details.receipt").last).to_contain_text("How fast")
    link = admin.page.get_by_role("link", name="The whole receipt").last.get_attribute("href")
    assert link is not None
    command = server.command("replay", link.rsplit("/", 1)[1], "--json")
    replayed = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True)
    assert replayed.returncode == 0, replayed.stderr
    found = json.loads(replayed.stdout)
    assert found["same"] is True
    assert found["diff"] == []
    assert found["then"]["release"] == found["now"]["release"]
    admin.leave()


def test_a_replay_under_another_model_shows_what_differs(browser: Browser, slow: Server) -> None:
    admin = Person(browser, slow, ADMIN, viewport={"width": 390, "height": 800}).enter()
    admin.ask(ASKED)
    admin.page.locator("details.receipt summary").last.click()
    admin.page.get_by_role("link", name="The whole receipt").last.click()
    admin.page.locator("select[name=model]").select_option("extract")
    admin.page.get_by_role("button", name="Answer again").click()
    expect(admin.page.get_by_role("status")).not_to_have_text("The same answer, byte for byte.")
    difference = admin.page.locator("pre.diff")
    expect(difference.locator(".down").first).to_contain_text("the policy allows this")
    expect(difference.locator(".better").first).to_be_visible()
    table = admin.page.get_by_role("region", name="Difference").first
    expect(table).to_contain_text("fake")
    expect(table).to_contain_text("extract")
    assert fits(admin.page)
    assert serious(admin.page) == []
    admin.leave()
