"""What is somebody else's reads like what does not exist."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx

from tests.web.conftest import Chat, Site


def _rate(answer: str, value: int, comment: str | None = None) -> dict[str, Any]:
    return {"feedback": {"forId": f"run-{answer}", "value": value, "comment": comment}, "sessionId": str(uuid4())}


async def test_a_rating_is_kept_changed_and_withdrawn_by_its_owner(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    first = (await ada.put("/chat/feedback", json=_rate(chat.answer_id, 1))).json()["feedbackId"]
    second = (await ada.put("/chat/feedback", json=_rate(chat.answer_id, 0, "<b>wrong</b>"))).json()["feedbackId"]
    assert first == second
    run = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"][1]
    assert run["feedback"] == {"id": first, "forId": run["id"], "value": 0, "comment": "<b>wrong</b>"}
    assert (await ada.request("DELETE", "/chat/feedback", json={"feedbackId": first})).status_code == 200
    assert (await ada.request("DELETE", "/chat/feedback", json={"feedbackId": first})).status_code == 404


async def test_nobody_rates_or_unrates_for_another(
    chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    kept = (await ada.put("/chat/feedback", json=_rate(chat.answer_id, 1))).json()["feedbackId"]
    for other in (fin, root):
        assert (await other.put("/chat/feedback", json=_rate(chat.answer_id, 0))).status_code == 404
        assert (await other.request("DELETE", "/chat/feedback", json={"feedbackId": kept})).status_code == 404
    run = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"][1]
    assert run["feedback"]["value"] == 1


async def test_a_rating_that_is_none_is_refused(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    assert (await ada.put("/chat/feedback", json=_rate(chat.answer_id, 5))).status_code == 422
    assert (await ada.put("/chat/feedback", json=_rate(str(uuid4()), 1))).status_code == 404
    assert (await ada.put("/chat/feedback", json=_rate(chat.answer_id, 1, "x" * 5_000))).status_code == 400
    question = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"][0]["id"]
    assert (await ada.put("/chat/feedback", json=_rate(question, 1))).status_code == 404


async def test_a_thread_of_another_reads_like_an_unknown_one(
    chat: Chat, fin: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    unknown = str(uuid4())
    for other in (fin, root):
        for method, path, body in (
            ("GET", "/chat/project/thread/{}", None),
            ("PUT", "/chat/project/thread", {"threadId": "{}", "name": "mine now"}),
            ("DELETE", "/chat/project/thread", {"threadId": "{}"}),
        ):
            answers = []
            for thread in (chat.thread, unknown):
                filled = {k: v.format(thread) for k, v in body.items()} if body else None
                answers.append(await other.request(method, path.format(thread), json=filled))
            assert answers[0].status_code == answers[1].status_code == 404, (method, path)
            assert answers[0].content == answers[1].content


async def test_receipts_and_passages_are_their_owners(
    chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    for path in (f"/api/receipts/{chat.answer_id}", f"/api/passages/{chat.answer_id}/1"):
        assert (await ada.get(path)).status_code == 200
        for other in (fin, root):
            hidden, unknown = await other.get(path), await other.get(path.replace(chat.answer_id, str(uuid4())))
            assert hidden.status_code == unknown.status_code == 404
            assert hidden.content == unknown.content


async def test_a_message_cannot_be_put_into_the_thread_of_another(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    question = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"][0]["id"]
    stranger = await Chat(site, fin).open()
    message = {"id": question, "type": "user_message", "output": "mine", "threadId": chat.thread}
    await stranger.sio.emit("client_message", {"message": message, "fileReferences": []})
    await stranger.sio.sleep(0.6)
    steps = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"]
    assert [s["output"] for s in steps if s["type"] == "user_message"] == ["days?"]
    await stranger.close()


async def test_one_renames_and_deletes_ones_own(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    renamed = await ada.put("/chat/project/thread", json={"threadId": chat.thread, "name": "  Days \n off "})
    assert renamed.status_code == 200
    assert (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["name"] == "Days off"
    assert (await ada.request("DELETE", "/chat/project/thread", json={"threadId": chat.thread})).status_code == 200
    assert (await ada.get(f"/chat/project/thread/{chat.thread}")).status_code == 404
    assert (await ada.get(f"/api/receipts/{chat.answer_id}")).status_code == 404
