"""A question over the socket, from the person to the stored answer and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

from tests.web.conftest import Chat, Site


async def _thread(client: httpx.AsyncClient, thread: str) -> Any:
    answer = await client.get(f"/chat/project/thread/{thread}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_answer_streams_and_its_numbers_are_links(chat: Chat) -> None:
    text = await chat.ask("Can I carry days over?")
    assert "[1](#source-1)" in text
    assert sum(e == "stream_token" for e, _ in chat.events) > 5


async def test_a_question_shows_what_is_being_done_while_it_is_searched(chat: Chat) -> None:
    await chat.ask("Can I carry days over?")
    stages = [d["stage"] for e, d in chat.events if e == "window_message" and "stage" in d]
    assert stages == ["search", "write"]


async def test_a_thread_reopens_whole(chat: Chat, ada: httpx.AsyncClient) -> None:
    text = await chat.ask("Can I carry days over?")
    again = await _thread(ada, chat.thread)
    kinds = [s["type"] for s in again["steps"]]
    assert kinds == ["user_message", "run", "assistant_message"]
    assert again["steps"][2]["output"] == text
    assert again["steps"][1]["parentId"] == again["steps"][0]["id"]
    assert again["steps"][2]["parentId"] == again["steps"][1]["id"]


async def test_a_thread_reopens_though_the_page_opened_its_socket_twice(
    site: Site, chat: Chat, ada: httpx.AsyncClient
) -> None:
    await chat.ask("Can I carry days over?")
    first, second = Chat(site, ada, chat.thread), Chat(site, ada, chat.thread)
    second.session = first.session
    await first.open(as_far_as_the_door=True)
    await first.close()
    await second.open()
    assert [d["id"] for e, d in second.events if e == "resume_thread"] == [chat.thread]
    await second.close()


async def test_twenty_chats_at_once_lose_no_row(site: Site, ada: httpx.AsyncClient) -> None:
    chats = [await Chat(site, ada).open() for _ in range(20)]
    await asyncio.gather(*(c.ask(f"Can I carry days over? {i}") for i, c in enumerate(chats)))
    listed: list[str] = []
    cursor = None
    while True:
        page = {"pagination": {"first": 15, "cursor": cursor}, "filter": {}}
        body = (await ada.post("/chat/project/threads", json=page)).json()
        listed += [t["id"] for t in body["data"]]
        if not body["pageInfo"]["hasNextPage"]:
            break
        cursor = body["pageInfo"]["endCursor"]
    assert len(listed) == len(set(listed))
    for i, c in enumerate(chats):
        assert c.thread in listed
        steps = (await _thread(ada, c.thread))["steps"]
        assert steps[0]["output"].endswith(f"? {i}")
        assert "31 March" in steps[2]["output"]
        await c.close()


async def test_a_thread_is_in_the_sidebar_when_the_page_is_told_of_it(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.send("long question, please")
    for _ in range(100):
        if chat.thread:
            break
        await asyncio.sleep(0.02)
    page = {"pagination": {"first": 5}, "filter": {}}
    listed = (await ada.post("/chat/project/threads", json=page)).json()["data"]
    assert chat.thread in [t["id"] for t in listed]
    await chat.over()


async def test_the_sidebar_finds_what_was_said(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("zebrafinch days")
    page = {"pagination": {"first": 5}, "filter": {"search": "ZEBRAfinch"}}
    listed = (await ada.post("/chat/project/threads", json=page)).json()["data"]
    assert [t["name"] for t in listed] == ["zebrafinch days"]


async def test_stop_ends_the_answer_and_keeps_what_was_shown(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.send("long answer about days")
    await asyncio.sleep(0.8)
    await chat.sio.emit("stop")
    await chat.over()
    assert "Stopped." in chat.screen()
    steps = (await _thread(ada, chat.thread))["steps"]
    assert steps[2]["output"].endswith("*Stopped.*")
    assert len(steps[2]["output"]) > 20


async def _reloaded(site: Site, ada: httpx.AsyncClient, question: str, shown: Callable[[str, Any], bool]) -> Chat:
    """A talk whose page was reloaded in the middle of an answer, once such an event has come."""
    first = await Chat(site, ada).open()
    await first.send(question)
    await asyncio.sleep(0.8)
    await first.close()
    again = await Chat(site, ada, first.thread).open()
    for _ in range(200):
        if any(shown(event, data) for event, data in again.events):
            break
        await asyncio.sleep(0.1)
    return again


async def test_a_reload_in_the_middle_of_an_answer_loses_nothing(site: Site, ada: httpx.AsyncClient) -> None:
    again = await _reloaded(
        site, ada, "long answer about days", lambda event, data: event == "window_message" and data.get("done")
    )
    whole = (await _thread(ada, again.thread))["steps"][2]["output"]
    assert again.screen() == whole
    assert whole.count("in writing") == 5
    await again.close()


async def test_an_answer_that_is_whole_just_after_a_reload_read_it_is_shown_whole(
    site: Site, ada: httpx.AsyncClient
) -> None:
    again = await _reloaded(site, ada, "overtake: long answer about days", lambda event, _: event == "resume_thread")
    shown = next(data for event, data in again.events if event == "resume_thread")
    whole = (await _thread(ada, again.thread))["steps"][2]["output"]
    assert whole.count("in writing") == 5
    assert [shown["steps"][2]["output"], again.screen()] == [whole, ""]
    await again.close()


async def test_a_second_question_waits_for_the_first_answer(site: Site, ada: httpx.AsyncClient) -> None:
    first = await Chat(site, ada).open()
    await first.send("long answer about days")
    await asyncio.sleep(0.8)
    second = await Chat(site, ada, first.thread).open()
    await second.send("and another?")
    await asyncio.sleep(0.5)
    assert "still being written" in second.screen()
    await first.sio.emit("stop")
    await first.over()
    await first.close()
    await second.close()


async def test_a_failure_is_said_without_its_text(chat: Chat, site: Site) -> None:
    text = await chat.ask("explode")
    assert "Your question is kept" in text
    assert "canary" not in text
    assert "canary" not in site.log()


async def test_what_is_no_message_is_passed_over(chat: Chat) -> None:
    for payload in (None, 1, [], {"message": None}, {"message": {"id": "../x", "output": "a"}}, {"message": {"id": 5}}):
        await chat.sio.emit("client_message", payload)
    assert "31 March" in await chat.ask("days?")


async def test_closed_events_do_nothing(chat: Chat, ada: httpx.AsyncClient) -> None:
    text = await chat.ask("days?")
    for event in ("message_favorite", "fetch_favorites", "audio_start", "audio_end", "chat_settings_change"):
        await chat.sio.emit(event, {})
    await asyncio.sleep(0.3)
    steps = (await _thread(ada, chat.thread))["steps"]
    assert [steps[0]["output"], steps[2]["output"]] == ["days?", text]


async def test_an_answer_that_was_cut_off_says_so_and_offers_to_ask_again(tmp_path: Any) -> None:
    made = Site(tmp_path)
    try:
        ada = await made.signed_in("ada@demo.example")
        chat = await Chat(made, ada).open()
        await chat.send("long answer about days")
        await asyncio.sleep(1.0)
        thread, answer = chat.thread, chat.answer_id
        made.end(kill=True)
        from assistant.database.engine import Database
        from assistant.memory import threads

        db = Database(f"sqlite+aiosqlite:///{made.data / 'assistant.db'}")
        await threads.mark_interrupted(db, alive=set())
        await db.close()
        made.begin()
        shown = (await _thread(ada, thread))["steps"][2]["output"]
        assert "cut off" in shown
        view = (await ada.get(f"/api/receipts/{answer}")).json()
        assert view["state"] == "interrupted"
        assert view["ask_again"] == "long answer about days"
    finally:
        made.end()


async def test_the_address_of_a_talk_that_is_not_ones_own_says_so_and_what_to_do(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    german = {"Accept": "text/html", "Accept-Language": "de"}
    told = set()
    for who, thread in ((fin, chat.thread), (ada, str(uuid4())), (ada, "nothing")):
        answer = await who.get(f"/chat/thread/{thread}", headers=german)
        assert answer.status_code == 404
        told.add(answer.text)
    assert len(told) == 1
    assert "Dieses Gespräch gibt es nicht" in told.pop()
    page = (await ada.get("/chat/")).text
    assert (await ada.get(f"/chat/thread/{chat.thread}")).text == page
    async with site.client() as nobody:
        assert (await nobody.get(f"/chat/thread/{chat.thread}")).text == page


async def test_what_is_asked_where_a_talk_was_deleted_begins_a_new_one(
    site: Site, chat: Chat, ada: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    assert (await ada.post(f"/me/threads/{chat.thread}/delete")).status_code == 303
    again = await Chat(site, ada, chat.thread).open()
    assert "31 March" in await again.ask("days?")
    assert again.thread != chat.thread
    assert len((await _thread(ada, again.thread))["steps"]) == 3
    await again.close()


async def test_what_cannot_be_done_is_said_in_the_language_of_who_asked(site: Site, ada: httpx.AsyncClient) -> None:
    german = await Chat(site, ada).open(**{"Accept-Language": "de-DE"})
    await german.ask("days?")
    assert (await ada.post(f"/me/threads/{german.thread}/delete")).status_code == 303
    assert (
        await german.ask("and now?")
        == "Dieses Gespräch gibt es nicht. Vielleicht wurde es gelöscht; beginnen Sie ein neues."
    )
    await german.close()
    gone = await ada.post("/me/projects/999", data={"name": "x"}, headers={"Accept-Language": "de"})
    assert "Dieses Projekt gibt es nicht." in gone.text
