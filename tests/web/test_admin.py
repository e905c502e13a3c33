"""The admin pages: for admins alone, and each says what state things are in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlmodel import SQLModel, select

from assistant.database.engine import Database
from assistant.database.tables import AuditRow, ContradictionRow, DocumentRow, ReleaseReport, ReleaseRow, RunRow
from assistant.domain import now
from assistant.web.admin import index_routes, routes, rules
from tests.web.conftest import Chat, Site
from tests.web.test_api import on
from tests.web.test_ownership import _rate

NAMED = {"{act}": "activate"}
# Every route there is, with something in the place of each number.
ROUTES = sorted(
    (method, re.sub(r"\{\w+\}", lambda m: NAMED.get(m[0], "1"), route.path))
    for router in (routes.router, index_routes.router, rules.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_for_others_the_pages_do_not_exist(site: Site, ada: httpx.AsyncClient, method: str, path: str) -> None:
    async with site.client() as nobody:
        for client in (ada, nobody):
            answer = await client.request(method, path, data={"question": "pay?"} if method == "POST" else None)
            assert answer.status_code == 404, (method, path)


HTML = {"accept": "text/html"}


@asynccontextmanager
async def stored(site: Site, *rows: SQLModel) -> AsyncIterator[None]:
    """These rows are there meanwhile; they come in this order and leave in the other."""

    async def come(db: Database) -> None:
        async with db.write() as session:
            for row in rows:
                session.add(row)
                await session.flush()

    async def leave(db: Database) -> None:
        async with db.write() as session:
            for row in reversed(rows):
                await session.delete(row)
                await session.flush()

    await on(site, come)
    try:
        yield
    finally:
        await on(site, leave)


async def test_a_page_that_is_not_there_says_so_and_leads_back(
    site: Site, root: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    for path in ("/admin/nothing", "/admin/releases/999", "/admin/documents/x", "/me/nothing", "/shared/nothing"):
        answer = await root.get(path, headers=HTML)
        assert (answer.status_code, "There is no such page" in answer.text) == (404, True), path
        assert 'href="/admin"' in answer.text
    # Whoever is no admin reads the same of every page, whether it is there or not.
    there, not_there = [await ada.get(p, headers=HTML) for p in ("/admin/cost", "/admin/nothing")]
    assert (there.status_code, there.text) == (not_there.status_code, not_there.text)
    assert 'href="/admin"' not in there.text
    german = await root.get("/admin/nothing", headers=HTML | {"accept-language": "de"})
    assert "Diese Seite gibt es nicht" in german.text
    async with site.client() as nobody:
        for path in ("/admin", "/admin/nothing"):
            answer = await nobody.get(path, headers=HTML)
            assert (answer.status_code, answer.headers["location"]) == (302, "/chat/login")


async def test_a_dropped_release_still_tells_why_it_was_held(site: Site, root: httpx.AsyncClient) -> None:
    found = {"passage": "gone", "document": "leave.md", "title": "Leave policy", "place": "page 2"}
    body = {
        "cases": 1,
        "gone": {},
        "better": [],
        "then": {"hit@1": 1.0, "hit@5": 1.0, "mrr": 1.0},
        "now": {"hit@1": 0.0, "hit@5": 0.0, "mrr": 0.0},
        "worse": [{"case": "c", "question": "how many days", "expected": ["leave.md"], "rank": [1, None],
                   "then": [found], "now": [found]}],
    }  # fmt: skip
    note = "The cases find less in it: hit@1 fell from 1.000 to 0.000; 0.02 is allowed."

    dropped = ReleaseRow(id=77, table_name="gone", state="dropped", note=note)
    async with stored(site, dropped, ReleaseReport(release_id=77, against_id=76, body=body)):
        answer = await root.get("/admin/releases/77")
        assert answer.status_code == 200
        assert "how many days" in answer.text
        german = (await root.get("/admin/releases/77", headers={"accept-language": "de"})).text
        assert "Seite 2" in german


async def test_a_release_of_another_embedder_says_how_it_is_searched_on_the_list_and_where_one_goes_back(
    site: Site, root: httpx.AsyncClient
) -> None:
    others = (
        ReleaseRow(id=70, table_name="old", state="retired", embedder="known"),
        ReleaseRow(id=71, table_name="older", state="retired", embedder="gone"),
        ReleaseRow(id=72, table_name="half", state="building", embedder="gone"),
    )
    async with stored(site, *others):
        # Once beside the release and once in what the button says first.
        for language, own, text_alone in (
            ("en", "searched with its own", "by its text alone"),
            ("de", "mit seinem eigenen durchsucht", "nur nach Text durchsucht"),
        ):
            speaks = {"accept-language": language}
            listed = (await root.get("/admin/releases", headers=speaks)).text
            assert (listed.count(own), listed.count(text_alone)) == (2, 2)
            alone = (await root.get("/admin/releases/71", headers=speaks)).text
            assert (alone.count(own), alone.count(text_alone)) == (0, 2)


async def test_why_a_release_waits_is_said_once(site: Site, root: httpx.AsyncClient) -> None:
    note = "39 of 47 documents of the source wiki are gone or can no longer be read: see whether its folder is there"
    same = {"hit@1": 1.0, "hit@5": 1.0, "mrr": 1.0}
    body = {"cases": 3, "gone": {}, "better": [], "worse": [], "then": same, "now": same}

    held = ReleaseRow(id=78, table_name="held", state="held", note=note)
    async with stored(site, held, ReleaseReport(release_id=78, against_id=1, body=body)):
        assert (await root.get("/admin/releases/78")).text.count(note) == 1


async def test_the_overview_says_first_what_people_are_answered_from_and_what_is_wrong(
    root: httpx.AsyncClient,
) -> None:
    text = (await root.get("/admin")).text
    assert "People are being answered from release 1." in text
    assert "1 failed" in text
    assert "Re-index now" in text
    old = await root.get("/admin/knowledge")
    assert (old.status_code, old.headers["location"]) == (303, "/admin")


async def test_documents_are_found_by_title_path_and_reason(root: httpx.AsyncClient) -> None:
    for q, there, gone in (
        ("PAY", "Pay bands", "Leave policy"),
        ("leave.md", "Leave policy", "Pay bands"),
        ("encrypt", "broken", "Pay bands"),
    ):
        text = (await root.get("/admin/documents", params={"q": q})).text
        assert there in text
        assert gone not in text
    assert "Nothing matches." in (await root.get("/admin/documents", params={"q": "%"})).text
    failed = (await root.get("/admin/documents", params={"state": "failed"})).text
    assert "broken.pdf" in failed
    assert "Leave policy" not in failed


async def test_failed_files_stand_with_their_reasons_and_can_be_narrowed(root: httpx.AsyncClient) -> None:
    assert "The file is encrypted." in (await root.get("/admin/failed")).text
    other = (await root.get("/admin/failed", params={"reason": "something else"})).text
    assert "broken.pdf" not in other


SOURCE = """[[sources]]
name = "demo"
path = "documents"
groups = ["everyone"]

[[sources.access]]
match = "finance/**"
groups = ["finance"]
"""


async def test_a_change_of_rights_is_shown_before_it_holds_and_holds_once_it_is_put_into_force(
    site: Site, root: httpx.AsyncClient
) -> None:
    site.config.write_text(SOURCE + '\n[[sources.access]]\nmatch = "leave.md"\ngroups = ["finance"]\n')
    text = (await root.get("/admin/rules")).text
    assert "ada@demo.example" in text
    assert "gains 1, loses 1" in text
    assert "− leave.md" in text
    again = (await root.get("/admin/documents/1")).text
    assert "demo:**" in again, "nothing was changed by looking"
    assert (await root.post("/admin/rules")).status_code == 303
    text = (await root.get("/admin/rules")).text
    assert "Nobody gains or loses a document" in text
    assert "demo:leave.md" in text
    site.config.write_text("[[sources]]\nname = 3\n")
    assert "assistant.toml" in (await root.get("/admin/rules")).text
    assert (await root.post("/admin/rules")).status_code >= 400

    async def put_back(db: Database) -> None:
        async with db.write() as session:
            for number, rule in ((1, 1), (2, 2), (3, 1)):
                document = await session.get(DocumentRow, number)
                assert document is not None
                document.rule_id = rule

    await on(site, put_back)


async def test_a_word_put_into_the_glossary_holds_at_once_and_is_taken_out_again(
    site: Site, root: httpx.AsyncClient
) -> None:
    assert "Nothing yet" in (await root.get("/admin/glossary")).text
    wrong = await root.post("/admin/glossary", data={"said": "furlo", "meant": "Furlo"})
    assert "cannot mean itself" in wrong.text
    assert 'value="furlo"' in wrong.text, "what was written stays"
    assert (await root.post("/admin/glossary", data={"said": "furlo", "meant": "holiday <b>"})).status_code == 303
    text = (await root.get("/admin/glossary")).text
    assert "holiday &lt;b&gt;" in text
    assert "root@demo.example" in text
    assert (await root.post("/admin/glossary/remove", data={"said": "furlo"})).status_code == 303
    assert "furlo" not in (await root.get("/admin/glossary")).text
    assert (await root.post("/admin/glossary/remove", data={"said": "furlo"})).status_code == 404
    log = (await root.get("/admin/audit")).text
    assert "added a word to the glossary" in log
    assert "removed a word from the glossary" in log


async def test_contradicting_documents_stand_side_by_side_until_somebody_dismisses_them(
    site: Site, root: httpx.AsyncClient
) -> None:
    async def add(db: Database) -> None:
        async with db.write() as session:
            one, other = (await session.exec(select(DocumentRow.id).where(DocumentRow.state == "indexed"))).all()[:2]
            places = {"one_passage": "a", "other_passage": "b", "one_start": 0, "other_start": 0}
            session.add(ContradictionRow(one_id=one, other_id=other, one_end=1, other_end=1, **places))

    await on(site, add)
    text = (await root.get("/admin/stale?kind=contradicting")).text
    assert text.count("This passage is not in the release that answers now.") + text.count("do not admit") == 2
    (act,) = re.findall(r'action="(/admin/stale/contradictions/\d+/dismiss)"', text)
    assert (await root.post(act)).status_code == 303
    assert "No two documents contradict each other" in (await root.get("/admin/stale?kind=contradicting")).text
    assert (await root.post("/admin/stale/contradictions/99/dismiss")).status_code == 404


async def test_a_source_that_is_none_starts_no_run(root: httpx.AsyncClient) -> None:
    assert (await root.post("/admin/runs", data={"source": "--config=/etc"})).status_code == 400


@pytest.mark.parametrize("path", ["/admin/documents/99", "/admin/runs/99", "/admin/releases/99"])
async def test_what_is_not_there_says_so(root: httpx.AsyncClient, path: str) -> None:
    answer = await root.get(path)
    assert answer.status_code == 404
    assert answer.text.startswith('{"detail":"There is no such')
    assert (await root.get(path.replace("99", str(2**40)))).status_code == 422


async def test_a_bad_rating_becomes_a_case(
    site: Site, chat: Chat, ada: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    await chat.ask("days & <b>more</b>?")
    await ada.put("/chat/feedback", json=_rate(chat.answer_id, 0, "<script>alert(1)</script>"))
    listed = (await root.get("/admin/ratings")).text
    assert "days &amp; &lt;b&gt;more" in listed
    assert "<script>alert" not in listed
    one = f"/admin/ratings/{chat.answer_id}"
    page = (await root.get(one)).text
    assert "may be carried" in page
    assert "Leave policy" in (await root.get(f"{one}/documents")).text
    incomplete = await root.post(f"{one}/case", data={"kind": "single", "doc": "leave.md", "facts": ""})
    assert "A case needs a fact." in incomplete.text
    made = await root.post(f"{one}/case", data={"kind": "single", "doc": "leave.md", "facts": "31 March\n31. März"})
    assert made.status_code == 303
    assert "is a case" in (await root.get("/admin/ratings")).text


async def test_an_admin_reads_complaints_and_no_other_talk(chat: Chat, root: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    assert (await root.get(f"/admin/ratings/{chat.answer_id}")).status_code == 404


async def test_a_declined_question_is_listed(chat: Chat, root: httpx.AsyncClient) -> None:
    await chat.ask("What is the pay of a quokka?")
    assert "What is the pay of a quokka?" in (await root.get("/admin/ratings")).text
    await chat.ask("what is the  pay of a quokka")
    text = (await root.get("/admin/ratings")).text
    assert text.lower().count("of a quokka") == 1
    assert "asked 2 times" in text
    # A word that no document has is offered to the glossary until somebody has said what it means.
    offered = (await root.get("/admin/glossary")).text
    assert 'href="/admin/glossary?said=quokka">quokka · 2</a>' in offered
    assert "said=what" not in offered
    assert 'value="quokka"' in (await root.get("/admin/glossary", params={"said": "quokka"})).text
    await root.post("/admin/glossary", data={"said": "quokka", "meant": "employee"})
    assert "said=quokka" not in (await root.get("/admin/glossary")).text


async def test_the_cost_page_sums_the_ledger(chat: Chat, root: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    for by in ("day", "segment", "feature", "model", "person"):
        text = (await root.get("/admin/cost", params={"by": by})).text
        assert '<ul class="bars"' in text
    assert "ada@demo.example" in text
    assert (await root.get("/admin/cost", params={"by": "secret"})).status_code == 422


async def test_what_an_admin_does_is_written_down(site: Site, root: httpx.AsyncClient) -> None:
    assert (await root.post("/admin/runs")).status_code == 303
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.read() as session:
        rows = (await session.exec(select(AuditRow.person, AuditRow.action))).all()
    await db.close()
    assert ("root@demo.example", "re-index") in rows


async def test_the_pages_tell_the_time_of_the_browser_that_reads_them(root: httpx.AsyncClient) -> None:
    assert " UTC" in (await root.get("/admin")).text
    root.cookies.set("zone", "Asia%2FTokyo")
    text = (await root.get("/admin")).text
    assert "active since" in text
    assert " UTC" not in text
    root.cookies.set("zone", "no%20zone")
    assert " UTC" in (await root.get("/admin")).text


async def test_the_pages_speak_german_too(site: Site, root: httpx.AsyncClient) -> None:
    text = (await root.get("/admin", headers={"Accept-Language": "de-DE"})).text
    assert "Antworten kommen gerade aus Stand" in text


async def test_a_document_is_shown_in_every_state_it_can_be_in(site: Site, root: httpx.AsyncClient) -> None:
    from assistant.database.tables import DocumentRow

    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        for state in ("pending", "empty", "failed", "indexed", "removed", "something new"):
            session.add(DocumentRow(source="states", path=f"states/{state}.md", rule_id=1, state=state))
    await db.close()
    text = (await root.get("/admin/documents", params={"q": "states/"})).text
    for word in ("not read yet", "without text", "failed", "indexed"):
        assert word in text
    assert "removed.md" not in text


async def test_a_source_that_a_run_could_not_read_is_named_wherever_the_run_is_told_of(
    site: Site, root: httpx.AsyncClient
) -> None:
    lost = {"wiki": "/mnt/wiki: no such folder. Correct the path of the source, or create the folder."}

    run = RunRow(state="done", host="x", pid=1, report={"unchanged": 75, "problems": lost}, finished_at=now())
    async with stored(site, run):
        for path in ("/admin", "/admin/runs"):
            assert "Could not be read: wiki." in (await root.get(path)).text, path
        one = (await root.get(f"/admin/runs/{run.id}")).text
        assert "/mnt/wiki: no such folder." in one
        assert "What it held before is still searched." in one
