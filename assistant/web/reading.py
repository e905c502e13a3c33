"""What the page reads beside an answer: its receipt, a passage in its surroundings, the original document."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response
from sqlmodel import select

from assistant.chat.cite import without_citations
from assistant.database.tables import Message, ReleaseRow
from assistant.domain import Asker, Level, Receipt, Verdict
from assistant.errors import InputError, NotFoundError, PolicyError
from assistant.index.facts import plain
from assistant.memory import threads, work
from assistant.memory.questions import waiting as questions_for
from assistant.texts import day, say, section
from assistant.web import house, in_words
from assistant.web.gatekeeper import SignedIn
from assistant.web.marks import carrying, claims_citing, flowing, pieces
from assistant.web.me import questions
from assistant.web.rights import readable
from assistant.web.sessions import present
from assistant.web.today import hidden_numbers

router = APIRouter()
# Shown in the browser itself; everything else is saved. HTML is never rendered as HTML.
_AS_TEXT = frozenset({".txt", ".md", ".csv", ".eml", ".html", ".htm", ".json", ".log"})


@router.get("/api/me")
async def me(asker: SignedIn) -> dict[str, Any]:
    """Who is signed in, and the few words that the page's own script says."""
    language = present().language
    keys = ("admin", "close", "receipt", "open_document", "ask_again", "loading", "passage_failed", "source")
    talk = ("whole_receipt", "me", "me_short", "again", "version", "version_before", "version_after", "edit", "choices")
    received, replies = await questions_for(house.parts().db, asker)
    names = (
        "sidebar",
        "search",
        "new_chat",
        "send",
        "stop",
        "theme",
        "account",
        "options",
        "good",
        "bad",
        "copy",
        "copy_code",
        "down",
        "input",
    )
    return {
        "name": asker.name or asker.email,
        "admin": asker.is_admin,
        "language": language,
        "waiting": received + replies,
        "waiting_said": ", ".join(
            say(language, f"web.{key}", n=n) for key, n in (("waiting", received), ("replies", replies)) if n
        ),
        "words": {k: section(language, "web")[k] for k in (*keys, *talk, *names)},
    }


async def _own_answer(asker: Asker, answer_id: str) -> Message:
    async with house.parts().db.read() as session:
        found = await session.exec(select(Message).where(Message.id == answer_id))
        message: Message | None = found.first()
    # An unknown one, a question and one of somebody else read the same.
    if message is None or message.role != "assistant" or await _owner(message.thread_id) != asker.person_id:
        raise NotFoundError("There is no such answer.", "Reload the page.")
    return message


async def _owner(thread_id: str) -> str | None:
    return await threads.author(house.parts().db, thread_id)


async def _receipt(asker: Asker, answer_id: str) -> Receipt | None:
    try:
        return await threads.receipt(house.parts().db, asker, answer_id)
    except NotFoundError:
        return None


# Why a question was refused that would be refused again. One that came too fast may be asked once more.
_REFUSED = frozenset({InputError.__name__, PolicyError.__name__})


@router.get("/api/receipts/{answer_id}")
async def receipt(answer_id: str, asker: SignedIn) -> dict[str, Any]:
    """All that the page draws under an answer of one's own, under today's rights."""
    language = present().language
    message = await _own_answer(asker, answer_id)
    stored = await _receipt(asker, answer_id)
    view: dict[str, Any] = {"answer": answer_id, "state": message.state, "citations": []}
    if message.state in {"interrupted", "failed", "stopped"}:
        view["ask_again"] = await _question(message)
    if message.state != "streaming":
        view["versions"] = await threads.versions_of(house.parts().db, asker, answer_id)
    if stored is None:
        return view
    allowed = await readable(house.parts().db, asker, stored.rests_on())
    whole = stored.rests_on() <= allowed
    view["citations"] = [
        {
            "n": p.n,
            "passage": p.passage,
            "title": p.title,
            "place": in_words.place(language, p.place),
            "available": True,
        }
        if p.document_id in allowed
        else {"n": p.n, "available": False, "title": say(language, "chat.hidden_passage")}
        for p in stored.passages
        if p.cited
    ]
    if (waits := await work.of_answer(house.parts().db, asker, answer_id)) is not None:
        share = round(100 * waits.done / waits.total) if waits.total else 0
        said = say(language, f"web.work_{waits.state}", share=share)
        view["work"] = {"state": waits.state, "share": share, "said": said, "show": say(language, "web.work_show")}
    view["refused"] = stored.decision.level is Level.DECLINED and stored.decision.reason in _REFUSED
    view["line"] = in_words.line(stored, language)
    usual = await in_words.usual(house.parts().db, house.parts().settings.chat.budgets)
    # A filter and a choice may be titles of what was found.
    told = stored if whole else stored.model_copy(update={"filtered": "", "choices": ()})
    view["receipt"] = in_words.rows(told, language, await _activated(stored.release), usual)
    if asker.is_admin:
        view["whole"] = f"/admin/receipts/{answer_id}"
    if stored.decision.level is Level.DECLINED:
        view["owner"] = await questions.under(asker, answer_id, await _question(message))
    shown_as = house.parts().settings.chat.unsupported
    view["unsupported"] = [] if shown_as == "off" else _doubted(message.text, stored, allowed)
    view["unsupported_as"] = shown_as
    view["choices"] = [c.label for c in told.choices]
    return view


def _doubted(text: str, stored: Receipt, allowed: set[int]) -> list[dict[str, str]]:
    """The statements that their source does not carry: as they stand in the answer, as a person reads them, and why.

    Those that are no longer shown are left out, see `text_today`.
    """
    hidden = hidden_numbers(stored, allowed)
    return [
        {"text": text[s.start : s.end], "plain": without_citations(plain(text[s.start : s.end])), "why": s.reason}
        for s in stored.verification
        if s.verdict is Verdict.UNSUPPORTED and hidden.isdisjoint(s.citations)
    ]


async def _question(message: Message) -> str:
    async with house.parts().db.read() as session:
        asked = (await session.exec(select(Message.text).where(Message.id == message.parent_id))).first()
    return asked or ""


async def _activated(release: int | None) -> Any:
    if release is None:
        return None
    async with house.parts().db.read() as session:
        row = await session.get(ReleaseRow, release)
    return row.created_at if row else None


@router.get("/api/passages/{answer_id}/{n}")
async def passage(answer_id: str, n: int, asker: SignedIn) -> dict[str, Any]:
    """The passage behind a number of one's own answer, in its surroundings, its claim marked; 404 when not allowed."""
    language = present().language
    message = await _own_answer(asker, answer_id)
    stored = await _receipt(asker, answer_id)
    used = next((p for p in stored.passages if p.n == n), None) if stored else None
    if stored is None or used is None:
        raise NotFoundError("There is no such source.", "Reload the page.")
    try:
        shown = await house.parts().knowledge.passage(asker, used.passage, stored.release)
    except NotFoundError as error:
        raise HTTPException(404, say(language, "chat.hidden_passage")) from error
    spans = [(s.start, s.end, s.citations) for s in stored.verification]
    marks = carrying(shown.passage.text, claims_citing(message.text, n, spans))
    about = [p for p in (in_words.place(language, shown.place), _changed(shown.modified, language)) if p]
    return {
        "n": n,
        "title": shown.title,
        "about": " · ".join(about),
        "before": flowing(shown.before),
        "pieces": pieces(shown.passage.text, marks),
        "after": flowing(shown.after),
        "href": _address(shown.link, shown.passage.place.page),
        "owner": shown.owner,
    }


def _address(link: str, page: int | None) -> str:
    """Where the document is: our copy of it at the right page, or its own address in the company."""
    if link.startswith("/documents/"):
        return f"{link}#page={page}" if page else link
    return link if link.startswith(("https://", "http://")) else ""


def _changed(moment: Any, language: str) -> str:
    return say(language, "web.changed", day=day(language, moment)) if moment else ""


@router.get("/documents/{document_id}")
async def document(document_id: int, asker: SignedIn) -> Response:
    """The original file, for those who may read it today. Nothing in it can run: it is sandboxed, HTML is text."""
    original = await house.parts().knowledge.original(asker, document_id)
    suffix = original.path.suffix.lower()
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"}
    if suffix == ".pdf":
        # A sandboxed page may not start the browser's own viewer.
        headers["Content-Security-Policy"] = "default-src 'none'; object-src 'self'; plugin-types application/pdf"
        media, how = "application/pdf", "inline"
    elif suffix in _AS_TEXT:
        media, how = "text/plain; charset=utf-8", "inline"
    else:
        media, how = "application/octet-stream", "attachment"
    name = PurePath(original.path.name).name
    headers["Content-Disposition"] = f"{how}; filename*=UTF-8''{quote(name)}"
    if (data := getattr(original, "data", None)) is not None:
        return Response(data, media_type=media, headers=headers)
    return FileResponse(original.path, media_type=media, headers=headers)
