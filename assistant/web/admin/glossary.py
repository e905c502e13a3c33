"""The company's own words, and what the documents call them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from assistant.domain import Asker
from assistant.errors import AssistantError
from assistant.index import glossary
from assistant.ops import audit
from assistant.web import house
from assistant.web.admin import ratings
from assistant.web.admin.render import page
from assistant.web.admin.routes import back
from assistant.web.gatekeeper import Admin

router = APIRouter(prefix="/admin")
# Words that are offered to be explained.
MISSING = 12
Words = Annotated[str, Form(max_length=1_000)]


@router.get("/glossary")
async def show_glossary(
    request: Request, asker: Admin, said: Annotated[str, Query(max_length=glossary.SAID_CHARS)] = ""
) -> Response:
    """All terms, the form that adds one, and words of unanswered questions that may want one."""
    return await _glossary(request, asker, said=said)


@router.post("/glossary")
async def add_term(request: Request, asker: Admin, said: Words = "", meant: Words = "") -> Response:
    """Let a word mean what the documents call it, from the next question on."""
    db = house.parts().db
    try:
        async with db.write() as session:
            row = await glossary.add(session, said, meant, asker.email)
    except AssistantError as error:
        return await _glossary(request, asker, said=said, meant=meant, problem=str(error))
    await audit.note(db, asker, "add term", f"{row.said}: {row.meant}")
    return back("/admin/glossary")


@router.post("/glossary/remove")
async def remove_term(asker: Admin, said: Words = "") -> Response:
    """Let a word stand for itself again."""
    db = house.parts().db
    async with db.write() as session:
        await glossary.remove(session, said)
    await audit.note(db, asker, "remove term", said)
    return back("/admin/glossary")


async def _missing(explained: Collection[str]) -> list[tuple[str, int]]:
    """Words of questions that were not answered which no document has, and how often they were asked with."""
    try:
        words = await house.parts().knowledge.words()
    except AssistantError:
        return []
    if words is None:
        return []
    times: Counter[str] = Counter()
    for complaint in await ratings.declined(house.parts().db):
        times.update(dict.fromkeys(words.missing(complaint.question), complaint.times))
    return [(word, n) for word, n in times.most_common() if word not in explained][:MISSING]


async def _glossary(request: Request, asker: Asker, said: str = "", meant: str = "", problem: str = "") -> Response:
    async with house.parts().db.read() as session:
        terms = await glossary.listed(session)
    missing = await _missing(glossary.words_said(terms))
    return page(
        request, asker, "glossary.html", terms=terms, missing=missing, said=said, meant=meant, problem=problem,
        said_chars=glossary.SAID_CHARS, meant_chars=glossary.MEANT_CHARS,
        on=house.parts().settings.chat.steps.glossary,
    )  # fmt: skip
