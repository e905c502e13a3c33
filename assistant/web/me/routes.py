"""What a person does with their own conversations and notes, and what they read of colleagues'."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from assistant.domain import Asker
from assistant.errors import AssistantError, InputError, LimitError, NotFoundError
from assistant.memory import people, projects, recall, sharing, threads
from assistant.texts import say
from assistant.web import house
from assistant.web.data_layer import cursor_of, delete_talk, from_cursor
from assistant.web.gatekeeper import SignedIn
from assistant.web.me import export
from assistant.web.me.colleague import seen_by
from assistant.web.me.render import page
from assistant.web.sessions import present

router = APIRouter()
PAGE = 20
PINNED = 100
Query200 = Annotated[str, Query(max_length=200)]
Cursor = Annotated[str, Query(max_length=120)]


def _back(request: Request, address: str) -> Response:
    """To the page again; a part of it that asked alone reads the whole list anew."""
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Location": address})
    return RedirectResponse(address, status_code=303)


# Conversations


def _origin(request: Request) -> str:
    """The address that a link is given out with."""
    return (house.parts().settings.web.public_url or str(request.base_url)).rstrip("/")


async def _listed(request: Request, asker: Asker, q: str, after: str) -> dict[str, Any]:
    db, q = house.parts().db, q.strip()
    found = await threads.list_of(db, asker, first=PAGE + 1, before=from_cursor(after), search=q, pinned=False)
    return {
        "projects": [row for row, _ in await projects.list_of(db, asker)],
        "q": q,
        "pinned": [] if after else await threads.list_of(db, asker, first=PINNED, search=q, pinned=True),
        "talks": found[:PAGE],
        "after": cursor_of(found[PAGE - 1]) if len(found) > PAGE else "",
        "origin": _origin(request),
    }


@router.get("/me")
async def show_talks(request: Request, asker: SignedIn, q: Query200 = "") -> Response:
    """One's own conversations, the pinned ones first, and those that can still be brought back."""
    deleted = await threads.list_of(house.parts().db, asker, first=PINNED, deleted=True)
    listed = await _listed(request, asker, q, "")
    visitor = present().person
    chosen = visitor.language if visitor else ""
    return page(request, asker, "talks.html", deleted=deleted, undo=threads.UNDO_MINUTES, chosen=chosen, **listed)


@router.get("/me/list")
async def show_list(request: Request, asker: SignedIn, q: Query200 = "", after: Cursor = "") -> Response:
    """The list alone, for a search, or what comes after its end."""
    return page(request, asker, "_talks.html", **await _listed(request, asker, q, after))


async def _row(request: Request, asker: Asker, thread_id: str) -> Response:
    if not request.headers.get("hx-request"):
        return RedirectResponse("/me", status_code=303)
    talk = await threads.of(house.parts().db, asker, thread_id)
    mine = [row for row, _ in await projects.list_of(house.parts().db, asker)]
    return page(request, asker, "_talk.html", talk=talk, projects=mine, origin=_origin(request), open=True)


@router.post("/me/threads/{thread_id}/rename")
async def rename(
    request: Request, thread_id: str, asker: SignedIn, title: Annotated[str, Form(max_length=1_000)] = ""
) -> Response:
    """Give it another title; an empty one changes nothing."""
    if title.strip():
        await threads.rename(house.parts().db, asker, thread_id, title)
    return await _row(request, asker, thread_id)


@router.post("/me/threads/{thread_id}/pin")
async def pin(request: Request, thread_id: str, asker: SignedIn, on: Annotated[bool, Form()] = False) -> Response:
    """Keep it at the top, or no longer."""
    await threads.pin(house.parts().db, asker, thread_id, on)
    return _back(request, "/me")


@router.post("/me/threads/{thread_id}/share")
async def share(request: Request, thread_id: str, asker: SignedIn, on: Annotated[bool, Form()] = False) -> Response:
    """Open it to colleagues by a link, or end that."""
    if on:
        await sharing.share(house.parts().db, asker, thread_id)
    else:
        await sharing.end(house.parts().db, asker, thread_id)
    return await _row(request, asker, thread_id)


@router.post("/me/threads/{thread_id}/delete")
async def delete(request: Request, thread_id: str, asker: SignedIn) -> Response:
    """Hide it at once; it can be brought back for some minutes."""
    talk = await threads.of(house.parts().db, asker, thread_id)
    await delete_talk(asker, thread_id)
    if not request.headers.get("hx-request"):
        return RedirectResponse("/me", status_code=303)
    return page(request, asker, "_deleted.html", talk=talk, undo=threads.UNDO_MINUTES)


@router.post("/me/threads/{thread_id}/restore")
async def restore(request: Request, thread_id: str, asker: SignedIn) -> Response:
    """Undo a deletion."""
    await threads.restore(house.parts().db, asker, thread_id)
    return await _row(request, asker, thread_id)


@router.post("/me/threads/{thread_id}/erase")
async def erase(request: Request, thread_id: str, asker: SignedIn) -> Response:
    """Remove a deleted one now, for good."""
    await threads.erase(house.parts().db, asker, thread_id)
    return _back(request, "/me")


@router.get("/me/threads/{thread_id}/export.json")
async def export_json(thread_id: str, asker: SignedIn) -> Response:
    """The conversation as data, with citations and receipts."""
    opened = await threads.reopen(house.parts().db, asker, thread_id)
    body = await export.as_json(asker, opened, present().language)
    return JSONResponse(body, headers=_saved_as(opened.thread.title, "json"))


@router.get("/me/threads/{thread_id}/export.md")
async def export_markdown(thread_id: str, asker: SignedIn) -> Response:
    """The conversation as a text with its sources."""
    opened = await threads.reopen(house.parts().db, asker, thread_id)
    text = await export.as_markdown(asker, opened, present().language)
    return Response(text, media_type="text/markdown; charset=utf-8", headers=_saved_as(opened.thread.title, "md"))


def _saved_as(title: str, suffix: str) -> dict[str, str]:
    name = re.sub(r"[^\w -]+", "", title).strip()[:60] or "conversation"
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{name}.{suffix}')}"}


@router.post("/me/language")
async def choose_language(asker: SignedIn, language: Annotated[str, Form(max_length=8)] = "") -> Response:
    """Read everything in this language from now on, or in the browser's."""
    await people.set_language(house.parts().db, asker.email, language)
    return RedirectResponse("/me", status_code=303)


# Versions of an answer


@router.post("/api/answers/{answer_id}/again")
async def answer_again(answer_id: str, asker: SignedIn) -> dict[str, str]:
    """Answer the same question once more; what was answered stays beside it. The new answer's id and its thread."""
    question = await threads.question_of(house.parts().db, asker, answer_id)
    return await _answered(asker, question.thread_id, question.id, question.text)


async def _answered(asker: Asker, thread_id: str, question_id: str, text: str) -> dict[str, str]:
    language = present().language
    if house.turns().running(thread_id) is not None:
        raise LimitError(say(language, "web.still_answering"))
    new = str(uuid4())
    turn = house.turns().start(asker, thread_id, question_id, new, text, language)
    async for _ in turn.events():
        break  # by its first event the answer is stored, and whoever opens the thread follows it
    return {"answer": new, "thread": thread_id}


@router.post("/api/answers/{answer_id}/show")
async def show_version(answer_id: str, asker: SignedIn) -> dict[str, str]:
    """Show the branch that an answer stands in."""
    return {"thread": await threads.show_version(house.parts().db, asker, answer_id)}


@router.post("/api/answers/{answer_id}/choices/{n}")
async def choose(answer_id: str, n: int, asker: SignedIn) -> dict[str, str]:
    """Ask the nth question that was offered under an answer of one's own. The new answer's id and its thread."""
    question = await threads.question_of(house.parts().db, asker, answer_id)
    offered = (await threads.receipt(house.parts().db, asker, answer_id)).choices
    if not 1 <= n <= len(offered):
        raise NotFoundError("There is no such choice.", "Reload the page.")
    return await _answered(asker, question.thread_id, str(uuid4()), offered[n - 1].question)


# What is remembered


async def _memory(request: Request, asker: Asker, problem: str = "") -> Response:
    notes = await house.parts().db.reading(lambda session: recall.notes(session, asker))
    limits = {"most": recall.NOTES, "chars": recall.NOTE_CHARS}
    status = 400 if problem else 200
    return page(request, asker, "memory.html", status=status, notes=notes, problem=problem, **limits)


Note = Annotated[str, Form(max_length=10_000)]


@router.get("/me/memory")
async def show_memory(request: Request, asker: SignedIn) -> Response:
    """All that is remembered of the person who asks."""
    return await _memory(request, asker)


@router.post("/me/memory")
async def add_note(request: Request, asker: SignedIn, text: Note = "") -> Response:
    """Remember something more."""
    return await _changed(request, asker, recall.remember(house.parts().db, asker, text))


@router.post("/me/memory/{note_id}")
async def change_note(request: Request, note_id: str, asker: SignedIn, text: Note = "") -> Response:
    """Change a note."""
    return await _changed(request, asker, recall.change(house.parts().db, asker, note_id, text))


@router.post("/me/memory/{note_id}/delete")
async def delete_note(request: Request, note_id: str, asker: SignedIn) -> Response:
    """Forget a note."""
    return await _changed(request, asker, recall.forget(house.parts().db, asker, note_id))


async def _changed(request: Request, asker: Asker, change: Any) -> Response:
    language = present().language
    try:
        await change
    except LimitError:
        return await _memory(request, asker, say(language, "me.too_many", most=recall.NOTES))
    except InputError:
        return await _memory(request, asker, say(language, "me.bad_note", chars=recall.NOTE_CHARS))
    return RedirectResponse("/me/memory", status_code=303)


# What colleagues shared


@router.get("/shared/{key}")
async def show_shared(request: Request, key: str, asker: SignedIn) -> Response:
    """A colleague's conversation, as far as the reader's own rights go."""
    opened, owner = await sharing.shared(house.parts().db, asker, key)
    seen = await seen_by(house.parts().db, asker, opened, present().language)
    return page(request, asker, "shared.html", thread=opened.thread, owner=owner, seen=seen, key=key)


@router.get("/shared/{key}/{answer_id}/{n}")
async def show_shared_passage(request: Request, key: str, answer_id: str, n: int, asker: SignedIn) -> Response:
    """The words of a cited passage, for a reader who may read it."""
    opened, _ = await sharing.shared(house.parts().db, asker, key)
    seen = await seen_by(house.parts().db, asker, opened, present().language)
    cited = next((dict(s.sources).get(n) for s in seen if s.id == answer_id and not s.withheld), None)
    if cited is None:
        raise NotFoundError("There is no such source.", "Reload the page.")
    try:
        shown = await house.parts().knowledge.passage(asker, cited.passage, opened.receipts[answer_id].release)
        text = shown.passage.text
    except AssistantError:
        text = ""
    return page(request, asker, "_passage.html", text=text)
