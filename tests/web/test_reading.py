"""Passages, receipts and documents beside an answer, under today's rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from assistant.database.engine import Database
from assistant.memory import people
from tests.web.conftest import Chat, Site


async def test_a_source_shows_its_passage_in_its_surroundings_with_the_claim_marked(
    chat: Chat, ada: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    shown = (await ada.get(f"/api/passages/{chat.answer_id}/1")).json()
    marked = " ".join(p["text"] for p in shown["pieces"] if p["claim"])
    assert "ten unused days" in marked
    assert "lapse on 31 March" in marked
    assert "parental leave" not in marked
    assert shown["title"] == "Leave policy"
    assert shown["about"] == "page 2 · Carrying days over · changed 12 May 2026"
    assert shown["before"].startswith("Every employee")
    assert shown["href"] == "/documents/1#page=2"


async def test_a_receipt_speaks_an_employees_words(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    view = (await ada.get(f"/api/receipts/{chat.answer_id}")).json()
    assert [p["text"] for p in view["line"]] == [
        "1 of 2 statements checked",
        "1 not found in its source",
        "1 source · 1.4 s",
        "found in the documents",
        "$0.0011",
    ]
    rows = {name: (value, figure) for name, value, figure in view["receipt"]}
    assert rows["How fast"][0].startswith("within what is allowed")
    assert rows["How fast"][1] == "1.4 s"
    assert rows["Searched for"] == ("carry unused vacation days into next year", "38 ms")
    assert rows["Model"] == ("built-in, quotes the documents", "1.2 s")
    assert rows["Cost"] == ("1,930 tokens in, 96 out", "$0.0011")
    german = (await ada.get(f"/api/receipts/{chat.answer_id}", headers={"Accept-Language": "de"})).json()
    assert german["line"][2]["text"] == "1 Quelle · 1,4 s"


async def test_a_statement_that_its_source_does_not_carry_is_named_with_its_reason(
    chat: Chat, ada: httpx.AsyncClient, tmp_path: Path
) -> None:
    await chat.ask("days?")
    view = (await ada.get(f"/api/receipts/{chat.answer_id}")).json()
    sentence = "Your manager has to agree in writing."
    assert view["unsupported"] == [{"text": f"{sentence} [1]", "plain": sentence, "why": "its source does not say so"}]
    assert view["unsupported_as"] == "mark"
    quiet = Site(tmp_path, chat={"unsupported": "off"})
    try:
        client = await quiet.signed_in("ada@demo.example")
        other = await Chat(quiet, client).open()
        await other.ask("days?")
        view = (await client.get(f"/api/receipts/{other.answer_id}")).json()
        assert view["unsupported"] == []
        assert view["line"][1]["text"] == "1 not found in its source"
        await other.close()
        await client.aclose()
    finally:
        quiet.end()


async def test_the_original_is_open_to_those_who_may_read_it(ada: httpx.AsyncClient, fin: httpx.AsyncClient) -> None:
    assert (await ada.get("/documents/1")).status_code == 200
    assert (await ada.get("/documents/2")).status_code == 404
    assert (await ada.get("/documents/2")).content == (await ada.get("/documents/999")).content
    assert (await fin.get("/documents/2")).status_code == 200


async def test_html_is_never_rendered_as_html(fin: httpx.AsyncClient) -> None:
    answer = await fin.get("/documents/2")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "<script>" in answer.text


async def test_who_has_not_signed_in_is_led_to_the_sign_in(site: Site) -> None:
    async with site.client() as client:
        answer = await client.get("/documents/1")
    assert (answer.status_code, answer.headers["location"]) == (302, "/chat/login")


async def test_a_passage_that_is_no_longer_allowed_is_gone_from_old_threads(tmp_path: Any) -> None:
    made = Site(tmp_path)
    try:
        fin = await made.signed_in("fin@demo.example")
        chat = await Chat(made, fin).open()
        assert "61,000" in await chat.ask("What is the pay of band five?")
        db = Database(f"sqlite+aiosqlite:///{made.data / 'assistant.db'}")
        await people.set_groups(db, "fin@demo.example", [])
        await db.close()
        thread = await fin.get(f"/chat/project/thread/{chat.thread}")
        assert "61,000" not in thread.text
        assert "no longer available to you" in thread.text
        view = await fin.get(f"/api/receipts/{chat.answer_id}")
        assert "Pay bands" not in view.text
        assert "pay.html" not in view.text
        assert view.json()["citations"][0]["available"] is False
        passage = await fin.get(f"/api/passages/{chat.answer_id}/1")
        assert passage.status_code == 404
        assert passage.json()["detail"] == "This passage is no longer available to you."
        assert (await fin.get("/documents/2")).status_code == 404
    finally:
        made.end()


async def test_an_unknown_number_is_no_source(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    assert (await ada.get(f"/api/passages/{chat.answer_id}/7")).status_code == 404
    assert (await ada.get(f"/api/passages/{chat.answer_id}/x")).status_code == 422


async def test_starters_name_only_what_the_asker_may_read(ada: httpx.AsyncClient, fin: httpx.AsyncClient) -> None:
    mine = (await ada.get("/chat/project/settings")).json()["starters"]
    theirs = (await fin.get("/chat/project/settings")).json()["starters"]
    assert [s["message"] for s in mine] == ["What does “Leave policy” say?"]
    assert "What does “Pay bands” say?" in [s["message"] for s in theirs]
