"""Questions to the owners of documents: sent from a declined answer, shown to whom they went, replied to there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from assistant.domain import Asker, Nearest
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory import people, questions
from assistant.ops import alerts
from assistant.texts import say
from assistant.web import house
from assistant.web.admin.render import when
from assistant.web.gatekeeper import SignedIn
from assistant.web.me.render import page
from assistant.web.rights import documents, readable
from assistant.web.sessions import present

router = APIRouter()
Text = Annotated[str, Form(max_length=10_000)]


class Ask(BaseModel):
    """Whom to ask, by a document that the answer named, and what."""

    document: int
    text: str = Field(max_length=10_000)


async def _offered(asker: Asker, answer_id: str) -> list[Nearest]:
    """Documents whose owners may be asked: those that the answer named and that the asker may read today."""
    offers = await questions.offers(house.parts().db, asker, answer_id)
    allowed = await readable(house.parts().db, asker, [n.document_id for n in offers])
    return [n for n in offers if n.document_id in allowed]


async def under(asker: Asker, answer_id: str, question: str) -> dict[str, Any]:
    """What stands under a declined answer of one's own: who can be asked, or what was sent and replied."""
    language, db = present().language, house.parts().db
    if (sent := await questions.of_answer(db, asker, answer_id)) is not None:
        await questions.saw(db, asker, [sent])
        return {"sent": _told(language, sent)}
    offers = []
    company = house.parts().settings.company.strip().lower()
    for near in await _offered(asker, answer_id):
        if near.owner.strip().lower() == company:
            continue  # what writes a file often names the company where its owner should stand
        owner = await people.named_in(db, near.owner)
        name = (owner.name or owner.email) if owner else near.owner
        more = "web.ask_owner_more" if owner else "web.ask_owner_admins"
        if owner is None or owner.id != asker.person_id:
            offers.append(
                {
                    "document": near.document_id,
                    "ask": say(language, "web.ask_owner", owner=name),
                    "more": say(language, more, owner=name),
                }
            )
    return {"offers": offers, "question": question[: questions.TEXT_CHARS], "send": say(language, "web.send_question")}


def _told(language: str, asked: questions.Asked) -> dict[str, str]:
    row = asked.row
    sent = say(language, "web.owner_asked", owner=asked.to, when=when(language, row.created_at))
    if row.replied_at is None:
        return {"sent": sent, "said": say(language, "web.no_reply_yet"), "reply": ""}
    who = say(language, "web.owner_replied", owner=row.replied_by, when=when(language, row.replied_at))
    return {"sent": sent, "said": who, "reply": row.reply}


@router.post("/api/answers/{answer_id}/owner")
async def ask_owner(answer_id: str, body: Ask, asker: SignedIn) -> dict[str, str]:
    """Send a question to the owner of a document that a declined answer named. Says to whom it went."""
    parts, language = house.parts(), present().language
    near = next((n for n in await _offered(asker, answer_id) if n.document_id == body.document), None)
    if near is None:
        raise NotFoundError("There is nobody to ask about this.", "Reload the page.")
    channels = partial(alerts.channels_to, parts.settings)
    try:
        await questions.send(parts.db, asker, answer_id, near, body.text, channels)
    except LimitError as error:
        raise LimitError(say(language, "web.question_limit", limit=questions.A_DAY)) from error
    except InputError as error:
        raise InputError(say(language, "web.question_length", limit=questions.TEXT_CHARS)) from error
    sent = await questions.of_answer(parts.db, asker, answer_id)
    assert sent is not None
    return _told(language, sent)


async def _titles(asker: Asker, asked: Iterable[questions.Asked]) -> dict[int, str]:
    """Titles of the documents in question that the reader may read today."""
    found = await documents(house.parts().db, asker, [q.row.document_id for q in asked])
    return {i: d.title for i, d in found.items()}


async def _page(request: Request, asker: Asker, problem: str = "") -> Response:
    db = house.parts().db
    received, sent = await questions.sent_to(db, asker), await questions.sent_by(db, asker)
    await questions.saw(db, asker, sent)
    return page(
        request,
        asker,
        "questions.html",
        status=400 if problem else 200,
        received=received,
        sent=sent,
        titles=await _titles(asker, [*received, *sent]),
        chars=questions.TEXT_CHARS,
        problem=problem,
    )


@router.get("/me/questions")
async def show_questions(request: Request, asker: SignedIn) -> Response:
    """Questions for the person who looks, and those that they sent."""
    return await _page(request, asker)


@router.post("/me/questions/{question_id}")
async def reply(request: Request, question_id: str, asker: SignedIn, text: Text = "") -> Response:
    """Reply to a question for oneself."""
    try:
        await questions.reply(house.parts().db, asker, question_id, text)
    except InputError:
        return await _page(request, asker, say(present().language, "me.bad_reply", chars=questions.TEXT_CHARS))
    return RedirectResponse("/me/questions", status_code=303)
