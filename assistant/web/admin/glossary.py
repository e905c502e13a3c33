"""The company's own words, and what the documents call them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from assistant.domain import Asker
from assistant.errors import AssistantError
from assistant.index import glossary
from assistant.ops import audit
from assistant.web import house
from assistant.web.admin.render import page
from assistant.web.admin.routes import back
from assistant.web.gatekeeper import Admin

router = APIRouter(prefix="/admin")
Words = Annotated[str, Form(max_length=1_000)]


@router.get("/glossary")
async def show_glossary(request: Request, asker: Admin) -> Response:
    """All terms, and the form that adds one."""
    return await _glossary(request, asker)


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


async def _glossary(request: Request, asker: Asker, said: str = "", meant: str = "", problem: str = "") -> Response:
    async with house.parts().db.read() as session:
        terms = await glossary.listed(session)
    return page(
        request, asker, "glossary.html", terms=terms, said=said, meant=meant, problem=problem,
        said_chars=glossary.SAID_CHARS, meant_chars=glossary.MEANT_CHARS,
        on=house.parts().settings.chat.steps.glossary,
    )  # fmt: skip
