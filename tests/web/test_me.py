"""The pages of a person's own: what they do with their talks, what is remembered, what colleagues see of it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, Message, ReceiptRow
from assistant.memory import people
from tests.web.conftest import Chat, Site

HX = {"HX-Request": "true"}
HTML = {"Accept": "text/html"}
PAGES = ["/me", "/me/list", "/me/memory"]
POSTS = ["rename", "pin", "share", "delete", "restore", "erase"]


async def _asked(site: Site, client: httpx.AsyncClient, *questions: str) -> Chat:
    chat = await Chat(site, client).open()
    for question in questions:
        await chat.ask(question)
    return chat


async def _link(client: httpx.AsyncClient, thread: str) -> str:
    page = (await client.post(f"/me/threads/{thread}/share", data={"on": "true"}, headers=HX)).text
    found = re.search(r"/shared/[\w-]{32}", page)
    assert found is not None
    return found[0]


# Who may


@pytest.mark.parametrize("path", [*PAGES, "/shared/x", "/me/threads/x/export.md", "/me/threads/x/export.json"])
async def test_nobody_sees_anything_who_has_not_signed_in(site: Site, path: str) -> None:
    async with site.client() as nobody:
        assert (await nobody.get(path)).status_code == 401
        sent_away = await nobody.get(path, headers=HTML)
        assert (sent_away.status_code, sent_away.headers["location"]) == (302, "/chat/login")


async def test_a_talk_of_somebody_else_reads_like_one_that_does_not_exist(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient, root: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    for other in (fin, root):
        for what in POSTS:
            mine = await other.post(f"/me/threads/{chat.thread}/{what}", data={"title": "x"}, headers=HX)
            unknown = await other.post(f"/me/threads/nowhere/{what}", data={"title": "x"}, headers=HX)
            assert (mine.status_code, mine.content) == (404, unknown.content), what
        for kind in ("md", "json"):
            assert (await other.get(f"/me/threads/{chat.thread}/export.{kind}")).status_code == 404
        for what in ("again", "show"):
            assert (await other.post(f"/api/answers/{chat.answer_id}/{what}")).status_code == 404
    assert (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["name"] == "days?"


async def test_what_changes_something_comes_from_our_own_page_only(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    for path in (f"/me/threads/{chat.thread}/delete", "/me/memory", f"/api/answers/{chat.answer_id}/again"):
        answer = await ada.post(path, data={"text": "x"}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403


# The list


async def test_talks_are_found_by_words_of_titles_and_answers_and_hostile_ones_find_nothing(
    site: Site, ada: httpx.AsyncClient
) -> None:
    chat = await _asked(site, ada, "zebra days?")
    for q in ("zebra", "ZEBR", "carried unused", "days zebra"):
        assert chat.thread in (await ada.get("/me/list", params={"q": q})).text, q
    for q in ("zebra%", '"', "zebra* OR 1", "'; DROP TABLE thread; --", "NEAR(zebra, 2)", "\x00", "words:zebra"):
        answer = await ada.get("/me/list", params={"q": q})
        assert answer.status_code == 200
        assert chat.thread not in answer.text, q
        assert "Nothing matches." in answer.text
    listed = await ada.post(
        "/chat/project/threads", json={"pagination": {"first": 20}, "filter": {"search": "zebr carried"}}
    )
    assert listed.json()["data"] == []  # the words stand in two messages
    listed = await ada.post("/chat/project/threads", json={"pagination": {"first": 20}, "filter": {"search": "ZEBR"}})
    assert [t["id"] for t in listed.json()["data"]] == [chat.thread]
    await chat.close()


async def test_a_talk_is_renamed_and_pinned_to_the_top(site: Site, ada: httpx.AsyncClient) -> None:
    first = await _asked(site, ada, "first days?")
    second = await _asked(site, ada, "second days?")
    row = await ada.post(f"/me/threads/{first.thread}/rename", data={"title": "<b>Plans</b>"}, headers=HX)
    assert "&lt;b&gt;Plans" in row.text
    assert (await ada.get(f"/chat/project/thread/{first.thread}")).json()["name"] == "<b>Plans</b>"
    await ada.post(f"/me/threads/{first.thread}/pin", data={"on": "true"})
    page = (await ada.get("/me")).text
    assert page.index(first.thread) < page.index(second.thread)
    await ada.post(f"/me/threads/{first.thread}/pin", data={"on": "false"})
    page = (await ada.get("/me")).text
    assert page.index(first.thread) > page.index(second.thread)
    await first.close()
    await second.close()


async def test_the_list_goes_on_behind_its_end(site: Site, ada: httpx.AsyncClient) -> None:
    from assistant.memory import people, threads

    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    person = await people.by_email(db, "ada@demo.example")
    assert person is not None
    for i in range(45):
        await threads.open_turn(db, people.asker_of(person), f"page-{i}", f"page-q-{i}", f"quagga {i}")
    await db.close()
    seen: list[str] = []
    address = "/me/list?q=quagga"
    while address:
        text = (await ada.get(address)).text
        seen += re.findall(r'id="talk-(page-\d+)"', text)
        more = re.search(r'hx-get="(/me/list\?[^"]+)"', text)
        address = more[1].replace("&amp;", "&") if more else ""
    assert sorted(seen) == sorted(f"page-{i}" for i in range(45))


# Deleting


@pytest.mark.parametrize("by", ["page", "sidebar"])
async def test_a_deleted_talk_is_gone_at_once_and_comes_back_whole(
    site: Site, chat: Chat, ada: httpx.AsyncClient, root: httpx.AsyncClient, by: str
) -> None:
    await chat.ask("days?")
    link = await _link(ada, chat.thread)
    before = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()
    if by == "page":
        answer = await ada.post(f"/me/threads/{chat.thread}/delete", headers=HX)
        assert "Undo" in answer.text
    else:
        await ada.request("DELETE", "/chat/project/thread", json={"threadId": chat.thread})
    for path in (f"/chat/project/thread/{chat.thread}", f"/api/receipts/{chat.answer_id}", link):
        assert (await ada.get(path)).status_code == 404, path
    assert (await root.get(link)).status_code == 404
    assert chat.thread not in (await ada.get("/me/list")).text
    assert f"/me/threads/{chat.thread}/restore" in (await ada.get("/me")).text
    assert (await ada.post(f"/me/threads/{chat.thread}/restore", headers=HX)).status_code == 200
    assert (await ada.get(f"/chat/project/thread/{chat.thread}")).json() == before
    assert (await ada.post(f"/me/threads/{chat.thread}/restore", headers=HX)).status_code == 404


async def test_an_erased_talk_does_not_come_back(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    assert (await ada.post(f"/me/threads/{chat.thread}/erase", headers=HX)).status_code == 404
    await ada.post(f"/me/threads/{chat.thread}/delete")
    assert (await ada.post(f"/me/threads/{chat.thread}/erase")).status_code == 303
    assert (await ada.post(f"/me/threads/{chat.thread}/restore")).status_code == 404


# Taking along


async def test_a_talk_is_exported_with_its_sources_and_receipts(chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    text = await ada.get(f"/me/threads/{chat.thread}/export.md")
    assert "attachment" in text.headers["content-disposition"]
    assert "## days?" in text.text
    assert "- [1] Leave policy · page 2 · Carrying days over" in text.text
    data = (await ada.get(f"/me/threads/{chat.thread}/export.json")).json()
    question, answer = data["messages"]
    assert (question["role"], question["text"]) == ("user", "days?")
    assert answer["citations"][0]["title"] == "Leave policy"
    assert answer["receipt"]["id"] == chat.answer_id


async def test_an_export_holds_nothing_that_its_owner_may_no_longer_read(site: Site, fin: httpx.AsyncClient) -> None:
    chat = await _asked(site, fin, "what is the pay?")
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        row = await session.get(DocumentRow, 2)
        assert row is not None
        row.state = "removed"
        session.add(row)
    try:
        for kind in ("md", "json"):
            text = (await fin.get(f"/me/threads/{chat.thread}/export.{kind}")).text
            assert "61,000" not in text
            assert "Pay bands" not in text
            assert "pay.html" not in text
    finally:
        async with db.write() as session:
            row = await session.get(DocumentRow, 2)
            assert row is not None
            row.state = "indexed"
            session.add(row)
        await db.close()
        await chat.close()


# Sharing


async def test_a_colleague_sees_a_shared_talk_until_it_is_ended(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days & <b>more</b>?")
    link = await _link(ada, chat.thread)
    assert await _link(ada, chat.thread) == link
    page = (await fin.get(link)).text
    assert "days &amp; &lt;b&gt;more" in page
    assert "<strong>ten unused days</strong>" in page
    assert "Shared by Ada Byron" in page
    passage = await fin.get(f"{link}/{chat.answer_id}/1")
    assert "Days carried over lapse on 31 March." in passage.text
    assert (await fin.get(f"{link}/{chat.answer_id}/2")).status_code == 404
    # Reading it opens nothing else of its owner's.
    assert (await fin.get(f"/api/receipts/{chat.answer_id}")).status_code == 404
    assert (await fin.get(f"/chat/project/thread/{chat.thread}")).status_code == 404
    async with site.client() as nobody:
        assert (await nobody.get(link)).status_code == 401
    await ada.post(f"/me/threads/{chat.thread}/share", data={"on": "false"}, headers=HX)
    assert (await fin.get(link)).status_code == 404
    assert await _link(ada, chat.thread) != link


async def test_what_a_colleague_may_not_read_is_withheld_with_all_that_may_repeat_it(
    site: Site, fin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    chat = await _asked(site, fin, "days?", "what is the pay?", "and days again?")
    link = await _link(fin, chat.thread)
    mine = (await fin.get(link)).text
    assert "61,000 pounds" in mine
    assert mine.count("may be carried into") == 2
    theirs = (await ada.get(link)).text
    for secret in ("61,000", "Pay bands", "pay.html", "Band five"):
        assert secret not in theirs
    assert "[1] not available to you" in theirs
    # The first answer is open to her; the third was written by a model that had read the second.
    assert theirs.count("may be carried into") == 1
    assert theirs.count("This answer is not shown to you") == 2
    for answer in re.findall(r'hx-get="(/shared/[^"]+)"', mine):
        assert ((await ada.get(answer)).status_code == 200) is (answer in theirs)
    await chat.close()


async def _looked_up(site: Site, answer: str, *documents: int) -> None:
    """Let an answer be one of a look-up that named these documents and cited none."""
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        row = await session.get(ReceiptRow, answer)
        assert row is not None
        use = {"name": "find_document", "by": "rules", "outcome": "ok", "documents": list(documents)}
        row.body = {**row.body, "passages": [], "verification": [], "prompts": [], "tools": [use]}
        message = (await session.exec(select(Message).where(Message.id == answer))).one()
        message.text = "Named: canary-title."
        session.add_all([row, message])
    await db.close()


async def test_what_was_looked_up_is_shown_to_those_who_may_read_all_it_names(
    site: Site, fin: httpx.AsyncClient, ada: httpx.AsyncClient
) -> None:
    chat = await _asked(site, fin, "days?", "what is the pay?")
    link = await _link(fin, chat.thread)
    await _looked_up(site, chat.answer_id, 1)
    assert "canary-title" in (await ada.get(link)).text
    await _looked_up(site, chat.answer_id, 1, 2)
    assert "canary-title" in (await fin.get(link)).text
    assert "canary-title" not in (await ada.get(link)).text
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    try:
        await people.set_groups(db, "fin@demo.example", [])
        for path in (f"/chat/project/thread/{chat.thread}", f"/me/threads/{chat.thread}/export.md"):
            page = (await fin.get(path)).text
            assert "canary-title" not in page
            assert "no longer available to you" in page
    finally:
        await people.set_groups(db, "fin@demo.example", ["finance"])
        await db.close()
        await chat.close()


async def test_a_cut_answer_is_withheld_since_nobody_knows_what_it_rests_on(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        question = (await ada.get(f"/chat/project/thread/{chat.thread}")).json()["steps"][0]["id"]
        session.add(
            Message(
                id="cut-1",
                thread_id=chat.thread,
                parent_id=question,
                role="assistant",
                text="canary-words",
                state="interrupted",
            )
        )
    await ada.post("/api/answers/cut-1/show")
    await db.close()
    page = (await fin.get(await _link(ada, chat.thread))).text
    assert "canary-words" not in page
    assert "This answer is not shown to you" in page


# Versions


async def test_an_answer_given_again_stands_beside_the_first(site: Site, chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    first = chat.answer_id
    again = (await ada.post(f"/api/answers/{first}/again")).json()
    assert again["thread"] == chat.thread
    view = await _receipt(ada, again["answer"])
    assert view["versions"] == [first, again["answer"]]
    assert await _shown(ada, chat.thread) == ["days?", again["answer"]]
    await ada.post(f"/api/answers/{first}/show")
    assert await _shown(ada, chat.thread) == ["days?", first]


@pytest.mark.parametrize(
    ("reason", "refused"),
    [("PolicyError", True), ("InputError", True), ("LimitError", False), ("nothing close enough", False)],
)
async def test_a_refused_question_is_told_from_one_that_asking_again_may_help(
    site: Site, chat: Chat, ada: httpx.AsyncClient, reason: str, refused: bool
) -> None:
    await chat.ask("what is the pay?")  # nobody but finance may read that
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        row = await session.get_one(ReceiptRow, chat.answer_id)
        row.body = {**row.body, "decision": {"level": "declined", "reason": reason}}
        session.add(row)
    await db.close()
    assert (await _receipt(ada, chat.answer_id))["refused"] is refused


async def test_a_question_offered_under_an_answer_is_asked_in_the_same_talk(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    first = chat.answer_id
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    async with db.write() as session:
        row = await session.get_one(ReceiptRow, first)
        row.body = {**row.body, "choices": [{"label": "Leave in Leeds", "question": "days in Leeds?"}]}
        session.add(row)
    await db.close()
    assert (await _receipt(ada, first))["choices"] == ["Leave in Leeds"]
    path = f"/api/answers/{first}/choices"
    assert (await fin.post(f"{path}/1")).status_code == 404
    assert (await ada.post(f"{path}/2")).status_code == 404
    chosen = (await ada.post(f"{path}/1")).json()
    assert chosen["thread"] == chat.thread
    await _receipt(ada, chosen["answer"])
    assert await _shown(ada, chat.thread) == ["days?", first, "days in Leeds?", chosen["answer"]]


async def test_an_edited_question_keeps_what_was_there(site: Site, chat: Chat, ada: httpx.AsyncClient) -> None:
    await chat.ask("days?")
    first, question = chat.answer_id, (await _steps(ada, chat.thread))[0]["id"]
    await chat.ask("and after?")
    second = chat.answer_id
    chat.events.clear()
    chat._ended.clear()
    edited = {"id": question, "output": "days in Leeds?", "type": "user_message"}
    await chat.sio.emit("edit_message", {"message": edited})
    await chat.over()
    assert "ten unused days" in chat.screen()
    third = chat.answer_id
    assert await _shown(ada, chat.thread) == ["days in Leeds?", third]
    assert (await _receipt(ada, third))["versions"] == [first, third]
    await chat.ask("and then?")
    assert (await _shown(ada, chat.thread))[:2] == ["days in Leeds?", third]
    await ada.post(f"/api/answers/{first}/show")
    assert await _shown(ada, chat.thread) == ["days?", first, "and after?", second]


async def test_a_question_of_somebody_else_cannot_be_edited(
    site: Site, chat: Chat, ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await chat.ask("days?")
    question = (await _steps(ada, chat.thread))[0]["id"]
    stranger = await _asked(site, fin, "days?")
    edited = {"id": question, "output": "mine now", "type": "user_message"}
    for message in (edited, {"id": "../x", "output": "mine now"}, {"id": question, "output": 3}):
        await stranger.sio.emit("edit_message", {"message": message})
    await stranger.sio.sleep(0.8)
    assert "There is no such conversation" in stranger.screen()
    assert len(await _steps(ada, chat.thread)) == 3
    assert "mine now" not in str(await _steps(fin, stranger.thread))
    await stranger.close()


async def _steps(client: httpx.AsyncClient, thread: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = (await client.get(f"/chat/project/thread/{thread}")).json()["steps"]
    return steps


async def _shown(client: httpx.AsyncClient, thread: str) -> list[str]:
    """The shown branch: texts of questions, ids of answers."""
    steps = await _steps(client, thread)
    return [s["output"] if s["type"] == "user_message" else s["id"] for s in steps if s["type"] != "run"]


async def _receipt(client: httpx.AsyncClient, answer: str) -> dict[str, Any]:
    while True:
        view: dict[str, Any] = (await client.get(f"/api/receipts/{answer}")).json()
        if view["state"] != "streaming":
            return view


# What is remembered


async def test_notes_are_shown_changed_and_forgotten_by_their_owner_only(
    ada: httpx.AsyncClient, fin: httpx.AsyncClient
) -> None:
    await ada.post("/me/memory", data={"text": "I work in <b>Leeds</b>"})
    page = (await ada.get("/me/memory")).text
    assert "I work in &lt;b&gt;Leeds" in page
    found = re.search(r'action="/me/memory/([0-9a-f-]{36})"', page)
    assert found is not None
    assert "Leeds&lt;/b&gt;" not in (await fin.get("/me/memory")).text
    for path in (f"/me/memory/{found[1]}", f"/me/memory/{found[1]}/delete"):
        assert (await fin.post(path, data={"text": "taken over"})).status_code == 404
    await ada.post(f"/me/memory/{found[1]}", data={"text": "I work in York"})
    assert "I work in York" in (await ada.get("/me/memory")).text
    await ada.post(f"/me/memory/{found[1]}/delete")
    assert "Nothing yet." in (await ada.get("/me/memory")).text


async def test_a_note_that_cannot_be_kept_is_refused_in_words(ada: httpx.AsyncClient) -> None:
    for text in ("", "  ", "x" * 301):
        answer = await ada.post("/me/memory", data={"text": text})
        assert answer.status_code == 400
        assert "1 to 300 characters" in answer.text


async def test_the_pages_speak_german_too(ada: httpx.AsyncClient) -> None:
    german = {"Accept-Language": "de-DE"}
    assert "Ihre Gespräche" in (await ada.get("/me", headers=german)).text
    assert "Was ich mir von Ihnen merke" in (await ada.get("/me/memory", headers=german)).text


# Language


async def test_a_chosen_language_holds_whatever_the_browser_says(site: Site, fin: httpx.AsyncClient) -> None:
    english = {"Accept-Language": "en"}
    assert "Your language" in (await fin.get("/me", headers=english)).text
    try:
        await fin.post("/me/language", data={"language": "de"}, headers=english)
        assert "Ihre Sprache" in (await fin.get("/me", headers=english)).text
        assert (await fin.get("/api/me", headers=english)).json()["language"] == "de"
        words = (await fin.get("/chat/project/translations?language=en-US", headers=english)).json()["translation"]
        german = (await site.client().get("/chat/project/translations?language=de-DE")).json()["translation"]
        assert words == german
        chat = await Chat(site, fin).open(**english)
        await chat.ask("days?")
        told = [d["text"] for e, d in chat.events if e == "window_message" and "text" in d]
        assert told[0] == "Unsere Dokumente werden durchsucht"
        await chat.close()
        assert (await fin.post("/me/language", data={"language": "fr"})).status_code == 400
    finally:
        await fin.post("/me/language", data={"language": ""})
    assert "Your language" in (await fin.get("/me", headers=english)).text
