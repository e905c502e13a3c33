"""What programs call with a key.

`/v1/documents/{id}` pushes, shows and removes documents of the source that the key is for.
"""

from __future__ import annotations

import asyncio
import errno
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import select

from assistant.database.tables import ApiKeyRow, DocumentRow
from assistant.errors import FullError, InputError, NotFoundError, ParseError
from assistant.index import access, schedule
from assistant.index.page import moment
from assistant.index.sources.narrowing import named
from assistant.index.sources.opening import location
from assistant.index.sources.push import About, Push
from assistant.memory import keys
from assistant.settings import Source
from assistant.web import house
from assistant.web.surface import DOCUMENTS

router = APIRouter()
_FACTS = ("title", "owner", "groups", "valid_until")
_CHARS = 300


async def caller(request: Request, scope: str) -> ApiKeyRow:
    """The request's key: 401 without one that counts, 403 for one that is for something else."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    row = await keys.find(house.parts().db, key.strip()) if scheme.lower() == "bearer" else None
    if row is None:
        raise HTTPException(
            401, "Send a key that counts: Authorization: Bearer pk-…", headers={"WWW-Authenticate": "Bearer"}
        )
    if row.scope != scope:
        raise HTTPException(403, f"This key is not one to {scope}.")
    return row


async def _source(request: Request) -> Source:
    name = (await caller(request, "push")).source
    found = next((s for s in house.parts().settings.sources if s.name == name and s.kind == "push"), None)
    if found is None:
        raise HTTPException(403, f"The source {name} takes no documents any more.")
    return found


Pushed = Annotated[Source, Depends(_source)]


def _store(source: Source) -> Push:
    return Push(source, Path(location(source, house.parts().settings.data / "sources")))


def _about(request: Request) -> About:
    """What is said of a document, in the query or in headers like `Document-Title`. Raises `InputError`."""
    if unknown := sorted(set(request.query_params) - set(_FACTS)):
        raise InputError(f"There is no parameter {unknown[0][:50]}.", f"Use {', '.join(_FACTS)}.")
    said = {}
    for name in _FACTS:
        header = request.headers.get(f"document-{name.replace('_', '-')}", "")
        # Headers come as Latin-1 whatever they were.
        value = request.query_params.get(name) or header.encode("latin-1").decode("utf-8", "replace")
        said[name] = " ".join(value.split())
        if len(said[name]) > (_CHARS if name != "groups" else 5_000):
            raise InputError(f"{name} is too long.", f"Use at most {_CHARS} characters.")
    until = moment(said["valid_until"]) if said["valid_until"] else None
    if said["valid_until"] and until is None:
        raise InputError("valid_until is no date.", "Write it like 2027-12-31.")
    try:
        groups = named(said["groups"] or None)
    except ParseError as error:
        raise InputError("groups must be 1 to 50 names, divided by commas.", "Correct them.") from error
    return About(
        content_type=request.headers.get("content-type", "")[:200],
        title=said["title"],
        owner=said["owner"],
        groups=groups,
        valid_until=until.isoformat() if isinstance(until, datetime) else "",
    )


@router.put(DOCUMENTS)
async def put(id_: str, request: Request, source: Pushed) -> Response:
    """Keep a document; the next run, which starts by itself, indexes it. Doing it again changes nothing."""
    about = _about(request)
    limit = house.parts().settings.index.max_file_mb * 1_000_000
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limit:
            raise HTTPException(413, f"Larger than {limit // 1_000_000} MB, which index.max_file_mb allows.")
    try:
        changed = await asyncio.to_thread(_store(source).put, id_, about, bytes(data))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise FullError("There is no room left to keep the document.", "Free some and send it again.") from error
        raise
    if changed:
        await _let_index(source)
    return JSONResponse({**await _state(source, id_), "changed": changed}, 202 if changed else 200)


@router.get(DOCUMENTS)
async def get(id_: str, source: Pushed) -> Response:
    """What became of a document."""
    return JSONResponse(await _state(source, id_))


@router.delete(DOCUMENTS, status_code=204)
async def delete(id_: str, source: Pushed) -> Response:
    """Let a document go: no question finds it any more, and the next run takes it out of the index.

    Doing it again changes nothing.
    """
    async with house.parts().db.write() as session:
        await access.withdraw(session, source.name, id_)
    if await asyncio.to_thread(_store(source).remove, id_):
        await _let_index(source)
    return Response(status_code=204)


async def _let_index(source: Source) -> None:
    parts = house.parts()
    await schedule.plan(parts.db, [source], parts.settings.data / "sources")
    await schedule.soon(parts.db, source.name)


async def _state(source: Source, id_: str) -> dict[str, Any]:
    """A document and how far it is. Raises `NotFoundError` when none is kept under that id."""
    found = await asyncio.to_thread(_store(source).get, id_)
    if found is None:
        raise NotFoundError("There is no such document.", "See the id.")
    async with house.parts().db.read() as session:
        statement = select(DocumentRow).where(DocumentRow.source == source.name, DocumentRow.path == id_)
        row = (await session.exec(statement)).first()
    indexed = row is not None and row.mark == found.mark and row.state != "pending"
    return {
        "id": found.path,
        "source": source.name,
        "size": found.size,
        "received": found.modified and found.modified.isoformat(timespec="seconds"),
        "state": row.state if row is not None and indexed else "waiting",
        "reason": row.reason if row is not None and indexed else "",
        "passages": row.passages if row is not None and indexed else 0,
    }
