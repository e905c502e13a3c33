"""The admin pages: for admins alone, and each says what state things are in."""

from __future__ import annotations

import httpx
import pytest

from assistant.database.engine import Database
from assistant.database.tables import AuditRow
from tests.web.conftest import Chat, Site
from tests.web.test_ownership import _rate

PATHS = ["/admin", "/admin/knowledge", "/admin/knowledge/run", "/admin/knowledge/documents", "/admin/ratings"]
PATHS += ["/admin/ratings/x", "/admin/cost", "/admin/people"]
POSTS = ["/admin/knowledge/reindex", "/admin/knowledge/activate", "/admin/ratings/x/case"]


@pytest.mark.parametrize("path", PATHS)
async def test_for_others_the_pages_do_not_exist(site: Site, ada: httpx.AsyncClient, path: str) -> None:
    async with site.client() as nobody:
        for client in (ada, nobody):
            assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", POSTS)
async def test_for_others_nothing_can_be_done(site: Site, ada: httpx.AsyncClient, path: str) -> None:
    async with site.client() as nobody:
        for client in (ada, nobody):
            assert (await client.post(path, data={"release": 1})).status_code == 404


async def test_the_knowledge_page_says_first_what_people_are_answered_from(root: httpx.AsyncClient) -> None:
    text = (await root.get("/admin/knowledge")).text
    assert "People are being answered from release 1." in text
    assert "The file is encrypted." in text
    assert "2 indexed, 1 failed, 0 without text" in text


async def test_documents_are_found_by_title_path_and_reason(root: httpx.AsyncClient) -> None:
    for q, there, gone in (
        ("PAY", "Pay bands", "Leave"),
        ("leave.md", "Leave policy", "Pay"),
        ("encrypt", "broken", "Pay"),
    ):
        text = (await root.get("/admin/knowledge/documents", params={"q": q})).text
        assert there in text
        assert gone not in text
    assert "Nothing matches." in (await root.get("/admin/knowledge/documents", params={"q": "%"})).text
    failed = (await root.get("/admin/knowledge/documents", params={"state": "failed"})).text
    assert "broken.pdf" in failed
    assert "Leave" not in failed


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


async def test_the_cost_page_sums_the_ledger(chat: Chat, root: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    for by in ("day", "segment", "feature", "model", "person"):
        text = (await root.get("/admin/cost", params={"by": by})).text
        assert "<svg" in text
    assert "ada@demo.example" in text
    assert (await root.get("/admin/cost", params={"by": "secret"})).status_code == 422


async def test_what_an_admin_does_is_written_down(site: Site, root: httpx.AsyncClient) -> None:
    from sqlmodel import select

    assert (await root.post("/admin/knowledge/reindex")).status_code == 303
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.read() as session:
        rows = (await session.exec(select(AuditRow.person, AuditRow.action))).all()
    await db.close()
    assert ("root@demo.example", "re-index") in rows


async def test_the_pages_speak_german_too(site: Site, root: httpx.AsyncClient) -> None:
    text = (await root.get("/admin/knowledge", headers={"Accept-Language": "de-DE"})).text
    assert "Antworten kommen gerade aus Stand" in text


async def test_a_document_is_shown_in_every_state_it_can_be_in(site: Site, root: httpx.AsyncClient) -> None:
    from assistant.database.tables import DocumentRow

    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        for state in ("pending", "empty", "failed", "indexed", "removed", "something new"):
            session.add(DocumentRow(source="states", path=f"states/{state}.md", rule_id=1, state=state))
    await db.close()
    text = (await root.get("/admin/knowledge/documents", params={"q": "states/"})).text
    for word in ("not read yet", "without text", "failed", "indexed"):
        assert word in text
    assert "removed.md" not in text
