"""A declined answer can be sent to the owner of the nearest document, whose pages show it, and the admins'."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx

from tests.web.conftest import Chat, Site


async def _declined(site: Site, client: httpx.AsyncClient) -> Chat:
    chat = await Chat(site, client).open()
    await chat.ask("what is the pay?")  # nobody but finance may read that
    return chat


async def _view(client: httpx.AsyncClient, answer: str) -> dict[str, Any]:
    return (await client.get(f"/api/receipts/{answer}")).json()["owner"]


async def test_a_question_goes_to_the_owner_and_the_reply_comes_back(
    site: Site, ada: httpx.AsyncClient, fin: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    chat = await _declined(site, ada)
    view = await _view(ada, chat.answer_id)
    (offer,) = view["offers"]
    assert offer["ask"] == "Ask Fin Ance"
    assert view["question"] == "what is the pay?"
    word = f"<b>pay</b> {uuid4()}"
    send = {"document": offer["document"], "text": word}
    sent = (await ada.post(f"/api/answers/{chat.answer_id}/owner", json=send)).json()
    assert sent["sent"].startswith("Sent to Fin Ance, ")
    assert (await _view(ada, chat.answer_id))["sent"]["said"] == "No reply yet."
    page = (await fin.get("/me/questions")).text
    shown = word.replace("<", "&lt;").replace(">", "&gt;")
    assert shown in page
    assert "Ada Byron (ada@demo.example) asked" in page
    assert (await fin.get("/api/me")).json()["waiting"] >= 1
    assert shown in (await root.get("/admin/ratings")).text
    number = page.split("/me/questions/")[1].split('"')[0]
    assert (await ada.post(f"/me/questions/{number}", data={"text": "mine"})).status_code == 404
    assert (await fin.post(f"/me/questions/{number}", data={"text": " "})).status_code == 400
    await fin.post(f"/me/questions/{number}", data={"text": "See <i>HR</i>."})
    assert (await ada.get("/api/me")).json()["waiting_said"] == "new replies for you: 1"
    assert (await _view(ada, chat.answer_id))["sent"]["reply"] == "See <i>HR</i>."
    assert (await ada.get("/api/me")).json()["waiting"] == 0
    assert "See &lt;i&gt;HR&lt;/i&gt;." in (await ada.get("/me/questions")).text
    await chat.close()


async def test_only_a_declined_answer_of_ones_own_and_a_document_that_it_named(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    assert "owner" not in (await ada.get(f"/api/receipts/{chat.answer_id}")).json()
    body = {"document": 1, "text": "x"}
    assert (await ada.post(f"/api/answers/{chat.answer_id}/owner", json=body)).status_code == 404
    declined = await _declined(site, ada)
    address = f"/api/answers/{declined.answer_id}/owner"
    assert (await fin.post(address, json=body)).status_code == 404
    assert (await ada.post(address, json={"document": 2, "text": "x"})).status_code == 404
    assert (await ada.post(address, json={"document": 1, "text": ""})).status_code == 400
    assert (await ada.post(address, json=body, headers={"Origin": "https://evil.example"})).status_code == 403
    await declined.close()


async def test_projects_are_made_filled_and_given_talks(
    chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    assert (await ada.post("/me/projects", data={"name": ""})).status_code == 400
    await ada.post("/me/projects", data={"name": "<b>Audit</b>", "instructions": "Be short."})
    page = (await ada.get("/me/projects")).text
    assert "&lt;b&gt;Audit" in page
    number = page.split('id="project-')[1].split('"')[0]
    found = (await ada.get("/me/projects", params={"of": number, "q": "leave policy"})).text
    assert 'name="add" value="1"' in found
    assert "Pay bands" not in (await ada.get("/me/projects", params={"of": number, "q": "pay bands"})).text
    await ada.post(f"/me/projects/{number}/documents", data={"add": "1"})
    await ada.post(f"/me/projects/{number}/documents", data={"add": "2"})  # finance only
    page = (await ada.get("/me/projects")).text
    assert 'name="drop" value="1"' in page
    assert 'name="drop" value="2"' not in page
    assert "checked" not in page
    assert (await fin.post(f"/me/projects/{number}/only", data={"only": "true"})).status_code == 404
    assert (await ada.post(f"/me/projects/{number}/only", data={"only": "true"})).status_code == 303
    assert 'name="only" value="true" checked' in (await ada.get("/me/projects")).text
    await ada.post(f"/me/projects/{number}/only")
    assert "checked" not in (await ada.get("/me/projects")).text
    assert (await fin.post(f"/me/projects/{number}/delete")).status_code == 404
    await ada.post(f"/me/threads/{chat.thread}/project", data={"project": number})
    assert "1 conversations" in (await ada.get("/me/projects")).text
    assert (await fin.post(f"/me/threads/{chat.thread}/project", data={"project": number})).status_code == 404
    await ada.post(f"/me/projects/{number}/delete")
    assert number not in (await ada.get("/me/projects")).text
