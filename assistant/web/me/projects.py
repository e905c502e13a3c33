"""A person's own projects: their names, instructions and documents, and which talks belong to them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from assistant.domain import Asker
from assistant.errors import InputError, LimitError
from assistant.index import lookup
from assistant.memory import projects
from assistant.texts import say
from assistant.web import house
from assistant.web.gatekeeper import SignedIn
from assistant.web.me.render import page
from assistant.web.rights import documents, readable
from assistant.web.sessions import present

router = APIRouter()
Text = Annotated[str, Form(max_length=10_000)]
ADDRESS = "/me/projects"


async def _page(request: Request, asker: Asker, problem: str = "", q: str = "", of: str = "") -> Response:
    db = house.parts().db
    mine = await projects.list_of(db, asker)
    named = await documents(db, asker, {d for row, _ in mine for d in row.documents})
    return page(
        request,
        asker,
        "projects.html",
        status=400 if problem else 200,
        projects=mine,
        titles={i: d.title or d.path for i, d in named.items()},
        found=await lookup.titled(db, asker, q, 8) if q.strip() else [],
        q=q,
        of=of,
        problem=problem,
        limits={"name": projects.NAME_CHARS, "instructions": projects.INSTRUCTION_CHARS},
    )


@router.get(ADDRESS)
async def show_projects(
    request: Request,
    asker: SignedIn,
    q: Annotated[str, Query(max_length=200)] = "",
    of: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """All of one's projects; `q` finds documents by title to add to the project `of`."""
    return await _page(request, asker, q=q, of=of)


async def _changed(request: Request, asker: Asker, change: Any, back: str = ADDRESS) -> Response:
    language = present().language
    try:
        await change
    except LimitError:
        most = {"projects": projects.PROJECTS, "documents": projects.DOCUMENTS}
        return await _page(request, asker, say(language, "me.project_limit", **most))
    except InputError:
        limits = {"name": projects.NAME_CHARS, "instructions": projects.INSTRUCTION_CHARS}
        return await _page(request, asker, say(language, "me.bad_project", **limits))
    return RedirectResponse(back, status_code=303)


@router.post(ADDRESS)
async def create(request: Request, asker: SignedIn, name: Text = "", instructions: Text = "") -> Response:
    """Make a project."""
    return await _changed(request, asker, projects.create(house.parts().db, asker, name, instructions))


@router.post(ADDRESS + "/{project_id}")
async def change(
    request: Request, project_id: str, asker: SignedIn, name: Text = "", instructions: Text = ""
) -> Response:
    """Change its name and instructions."""
    return await _changed(request, asker, projects.change(house.parts().db, asker, project_id, name, instructions))


@router.post(ADDRESS + "/{project_id}/delete")
async def delete(request: Request, project_id: str, asker: SignedIn) -> Response:
    """Remove it; its talks stay."""
    return await _changed(request, asker, projects.delete(house.parts().db, asker, project_id))


@router.post(ADDRESS + "/{project_id}/documents")
async def choose(
    request: Request,
    project_id: str,
    asker: SignedIn,
    add: Annotated[int, Form(ge=0, le=2**31)] = 0,
    drop: Annotated[int, Form(ge=0, le=2**31)] = 0,
) -> Response:
    """Add a document that one may read, or take one out."""
    db = house.parts().db
    mine = {row.id: row for row, _ in await projects.list_of(db, asker)}
    chosen = set(mine[project_id].documents) if project_id in mine else set()
    chosen = (chosen | await readable(db, asker, [add] if add else [])) - {drop}
    return await _changed(request, asker, projects.choose(db, asker, project_id, sorted(chosen)))


@router.post(ADDRESS + "/{project_id}/only")
async def search_only(
    request: Request, project_id: str, asker: SignedIn, only: Annotated[bool, Form()] = False
) -> Response:
    """Search nothing but its documents, or these before all others."""
    return await _changed(request, asker, projects.search_only(house.parts().db, asker, project_id, only))


@router.post("/me/threads/{thread_id}/project")
async def put(request: Request, thread_id: str, asker: SignedIn, project: Text = "") -> Response:
    """Put a talk into a project, or out of it."""
    return await _changed(request, asker, projects.put(house.parts().db, asker, thread_id, project), "/me")
