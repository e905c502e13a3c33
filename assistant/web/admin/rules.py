"""Who may read what: the rules in force, and what those in the settings file would change for whom."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from assistant.errors import AssistantError
from assistant.index import access
from assistant.memory import people
from assistant.ops import audit
from assistant.settings import Settings, load
from assistant.web import house
from assistant.web.admin.render import page
from assistant.web.admin.routes import back
from assistant.web.gatekeeper import Admin

router = APIRouter(prefix="/admin")


@router.get("/rules")
async def show_rules(request: Request, asker: Admin) -> Response:
    """The rules in force, and beside them who would gain and lose which documents by the file as it is now."""
    db = house.parts().db
    changes, problem = [], ""
    try:
        wanted = await _as_written()
        askers = [people.asker_of(p) for p in await people.everyone(db) if p.active]
        async with db.read() as session:
            changes = await access.preview(session, wanted.sources, askers)
    except AssistantError as error:
        problem = str(error)
    async with db.read() as session:
        rules = await access.in_force(session)
    return page(request, asker, "rules.html", rules=rules, changes=changes, problem=problem)


@router.post("/rules")
async def apply_rules(asker: Admin) -> Response:
    """Put the rules of the settings file into force, from the next question on."""
    db = house.parts().db
    wanted = await _as_written()
    async with db.write() as session:
        changed = await access.realign(session, wanted.sources)
    await audit.note(db, asker, "apply rights", str(changed))
    return back("/admin/rules")


async def _as_written() -> Settings:
    """The settings as their file says now. Raises `SettingsError`."""
    return await asyncio.to_thread(load, None, house.parts().settings.data)
