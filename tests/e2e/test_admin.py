"""The admin pages in a real browser, on a company whose newest release is held."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import ADMIN, ASKER, PROJECT, Person, Server, serious_in_both

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
BUDGET = "how much did we budget for Engineering in 2027"
# A release older than the one that serves, the one that serves, and the one that is held.
OLD, ACTIVE, HELD = 1, 2, 3
PATHS = [
    "", "/documents", "/documents/1", "/failed", "/sources", "/runs", "/runs/1", "/releases", f"/releases/{HELD}",
    f"/releases/compare?first={OLD}&second={ACTIVE}", "/try", "/stale?kind=unread&months=3",
    "/stale?kind=contradicting", "/glossary", "/ratings", "/cost", "/people", "/audit",
]  # fmt: skip


class Company(Server):
    """The demo company with documents of its own to change."""

    def __init__(self, folder: Path, prepared: Path) -> None:
        super().__init__(folder, prepared=prepared)
        self.documents = folder / "documents"
        copytree(PROJECT / "data/demo/documents", self.documents)
        text = (PROJECT / "assistant.toml").read_text(encoding="utf-8")
        text = text.replace('"data/demo/documents"', json.dumps(str(self.documents)))
        self.config = folder / "assistant.toml"
        self.config.write_text(text.replace('"data/demo/', f'"{PROJECT}/data/demo/'), encoding="utf-8")

    def command(self, *words: str) -> list[str]:
        return [
            sys.executable, "-m", "assistant", *words, "--config", str(self.config), "--data", str(self.data),
        ]  # fmt: skip

    def sync(self) -> int:
        return subprocess.run(
            self.command("index", "sync", "--json"), check=False, cwd=PROJECT, stdout=subprocess.DEVNULL
        ).returncode


@pytest.fixture(scope="module")
def server(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company(tmp_path_factory.mktemp("admin"), prepared)
    (made.documents / "company" / "canteen.md").write_text("# Canteen\n\nThe canteen opens at seven.\n")
    (made.documents / "company" / "broken.docx").write_bytes(b"no document at all")
    (made.documents / "company" / "silent.md").write_text("")
    assert made.sync() == 0
    for file in made.documents.rglob("*.md"):
        file.write_text(f"# Moved\n\nThis page has moved, says {file.stem}.\n")
    assert made.sync() == 1, "the gate let a worse release go live"
    made.begin()
    yield made
    made.end()


@pytest.fixture
def admin(browser: Browser, server: Company) -> Iterator[Person]:
    person = Person(browser, server, ADMIN, viewport={"width": 1280, "height": 900}).enter()
    yield person
    person.leave()


def _opened(page: Page, base: str, path: str) -> None:
    page.goto(f"{base}/admin{path}")
    if "compare" in path:
        page.locator("#found .strong").first.wait_for(timeout=120_000)
    if path == "/documents/1":
        page.locator(".history").wait_for()


def test_a_document_is_found_while_one_types_and_its_page_tells_all_of_it(admin: Person) -> None:
    page = admin.page
    page.goto(f"{admin.server.base}/admin/documents")
    expect(page.locator("#documents-list tbody tr")).to_have_count(26)
    page.get_by_role("link", name="More", exact=True).click()
    expect(page.locator("#documents-list tbody tr")).to_have_count(51)
    page.locator("#q").press_sequentially("on-call")
    expect(page.locator("#documents-list tbody tr")).to_have_count(1)
    assert "q=on-call" in page.url
    page.get_by_label("Kind").select_option("pdf")
    expect(page.locator("#documents-list .empty")).to_contain_text("Nothing matches.")
    page.get_by_label("Kind").select_option("md")
    page.locator("#documents-list tbody a").click()
    expect(page.locator("h1")).to_have_text("On-call handbook")
    expect(page.locator(".facts")).to_contain_text("engineering")
    history = page.locator(".history li")
    expect(history).to_have_count(3)
    expect(history.first).to_contain_text("changed")
    expect(history.last).to_contain_text("Release 1")
    # An admin is not among the engineers: the words come only with a line in the audit log.
    expect(page.locator(".passage")).to_have_count(0)
    page.get_by_role("button", name="Show its passages, and write it down").click()
    expect(page.locator(".passage").first).to_contain_text("characters 0 to")
    page.goto(f"{admin.server.base}/admin/audit")
    expect(page.locator("#audit-list tbody tr").first).to_contain_text("engineering/on-call-handbook.md")


def test_a_question_is_tried_as_somebody_without_rights(admin: Person) -> None:
    page = admin.page
    page.goto(f"{admin.server.base}/admin/try")
    page.get_by_label("Question").fill(BUDGET)
    page.get_by_label("As", exact=True).fill(ASKER)
    page.get_by_role("button", name="Search as this person").click()
    expect(page.locator("#found .note")).to_contain_text("It is written in the audit log.")
    hidden = page.locator(".hidings li", has_text="finance/budget-2027.xlsx")
    expect(hidden).to_contain_text("Only finance, leadership may read it. Rule share:finance/**")
    row = page.locator(".stages tr.hiding", has_text="Budget 2027").first
    assert re.match(r"\d+ \d", row.locator("td").first.inner_text().replace("\n", " "))
    assert row.locator("td").nth(3).inner_text() == row.locator("td").nth(4).inner_text() == "–"
    assert page.locator(".stages tr.shown").count() > 2
    page.goto(f"{admin.server.base}/admin/audit")
    expect(page.locator("#audit-list tbody tr").first).to_contain_text(ASKER)
    page.goto(f"{admin.server.base}/admin/try")
    page.get_by_label("Question").fill(BUDGET)
    page.get_by_label("As", exact=True).fill("nobody@larkfeld.example")
    page.get_by_role("button", name="Search as this person").click()
    expect(page.locator("#found .note")).to_contain_text("There is no active account")


def test_failed_and_empty_files_are_listed_with_their_reason(admin: Person) -> None:
    page = admin.page
    page.goto(f"{admin.server.base}/admin/failed")
    listed = page.locator("#failed-list tbody")
    expect(listed).to_contain_text("not really a docx file")
    expect(listed).to_contain_text("holds no text")
    page.locator(".reasons a", has_text="holds no text").click()
    expect(page.locator("#failed-list tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name="Try those of share again")).to_be_enabled()


def test_axe_finds_no_serious_fault_on_any_page_light_or_dark(browser: Browser, server: Company) -> None:
    person = Person(browser, server, ADMIN).enter()
    faults = {}
    for path in PATHS:
        _opened(person.page, server.base, path)
        faults[path] = serious_in_both(person.page)
    assert {k: v for k, v in faults.items() if v} == {}
    person.leave()


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_no_page_scrolls_sideways_on_a_phone_and_the_menu_opens(browser: Browser, server: Company, locale: str) -> None:
    size = {"width": 390, "height": 800}
    phone = Person(browser, server, ADMIN, viewport=size, has_touch=True, locale=locale).enter()
    page, wide = phone.page, {}
    for path in PATHS:
        _opened(page, server.base, path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {k: v for k, v in wide.items() if v > 390} == {}
    expect(page.locator("#menu")).to_be_hidden()
    page.locator(".top button").click()
    page.locator("#menu a[href='/admin/releases']").click()
    expect(page.locator("h1")).to_have_text({"en-GB": "Releases", "de-DE": "Stände"}[locale])
    phone.leave()


def test_the_keyboard_reaches_what_is_to_be_done(admin: Person) -> None:
    page = admin.page
    page.goto(f"{admin.server.base}/admin/releases/{HELD}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == f"Accept {HELD}":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Yes: Accept {HELD}")).to_be_visible()


def test_a_held_release_is_accepted_and_rolled_back(admin: Person) -> None:
    page, base = admin.page, admin.server.base
    page.goto(f"{base}/admin")
    expect(page.locator(".act")).to_contain_text(f"Release {HELD} waits for you")
    page.get_by_role("link", name=f"Look at release {HELD}").click()
    expect(page.locator("table.side tbody tr").first.locator(".down")).to_be_visible()
    # Neither here does an admin read what their groups may not.
    engineering = page.locator(".sides li", has_text="engineering/on-call-handbook.md").first
    expect(engineering).to_contain_text("Its words are not shown")
    worse = page.locator("details.worse").first
    expect(worse.locator(".ranks")).to_contain_text("→")
    expect(worse.locator(".sides section")).to_have_count(2)
    page.locator(".sure summary", has_text=f"Accept {HELD}").click()
    page.get_by_role("button", name=f"Yes: Accept {HELD}").click()
    expect(page.locator(".sub").first).to_contain_text(f"People are being answered from release {HELD}.")
    page.locator(".sure summary", has_text=f"Roll back to {ACTIVE}").click()
    page.get_by_role("button", name=f"Yes: Roll back to {ACTIVE}").click()
    expect(page.locator(".sub").first).to_contain_text(f"People are being answered from release {ACTIVE}.")
    page.goto(f"{base}/admin/audit")
    done = page.locator("#audit-list tbody tr")
    expect(done.nth(0)).to_contain_text("put a release live")
    expect(done.nth(0)).to_contain_text(ADMIN)
    expect(page.locator("#audit-list")).to_contain_text("accepted a held release")


def test_a_run_that_tries_again_is_started_and_watched_to_its_end(admin: Person) -> None:
    page, base = admin.page, admin.server.base
    page.goto(f"{base}/admin/failed")
    page.get_by_role("button", name="Try those of share again").click()
    expect(page.locator("#run .tag")).to_contain_text("indexing")
    page.get_by_text("The run is over.").wait_for(timeout=120_000)
    with page.expect_navigation():
        page.get_by_role("link", name="Show the new state").click()
    expect(page.locator("#runs-list tbody tr").first).to_contain_text(ADMIN)
    page.locator("#runs-list tbody a").first.click()
    expect(page.locator("main")).to_contain_text("broken.docx")
