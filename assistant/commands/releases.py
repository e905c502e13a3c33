"""Releases: listed, compared, put in front of people or let go, and what is found in them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from assistant import bootstrap
from assistant.errors import AssistantError, ReleaseError
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.database.engine import Database


async def listed(db: Database) -> list[dict[str, Any]]:
    """The releases, newest first, with what they hold."""
    from sqlmodel import col, select

    from assistant.database.tables import ReleaseRow
    from assistant.index import release

    async with db.read() as session:
        current = await release.active(session)
        rows = (await session.exec(select(ReleaseRow).order_by(col(ReleaseRow.id).desc()).limit(50))).all()
    return [
        {
            "release": r.id,
            "active": current is not None and r.id == current.id,
            "state": r.state,
            "documents": r.documents,
            "passages": r.passages,
            "embedder": r.embedder,
            "content_hash": r.content_hash,
            "created": r.created_at.isoformat(timespec="seconds"),
            "note": r.note,
        }
        for r in rows
    ]


async def activate(settings: Settings, release_id: int, by: str) -> None:
    """Answer people from another kept release; contradictions are looked for in it by a process of their own."""
    from assistant.index import release
    from assistant.index.store import Store
    from assistant.ops import runs

    async with bootstrap.database(settings) as db:
        await release.activate(db, Store(settings.index_uri), release_id, by)
    await asyncio.to_thread(runs.search_contradictions, settings)


async def accept(settings: Settings, release_id: int, by: str) -> None:
    """Answer people from a release that was held; see `activate`."""
    from assistant.index import release
    from assistant.index.store import Store
    from assistant.ops import runs

    async with bootstrap.database(settings) as db:
        await release.accept(db, Store(settings.index_uri), release_id, by)
    await asyncio.to_thread(runs.search_contradictions, settings)


async def drop(settings: Settings, release_id: int, by: str) -> None:
    """Let a held release go."""
    from assistant.index import release

    async with bootstrap.database(settings) as db:
        await release.drop(db, release_id, by)


async def report(settings: Settings, release_id: int) -> dict[str, Any]:
    """What the gate found of a release, with the texts of the passages that are still kept; for admins."""
    from assistant.index import joining, release
    from assistant.index.store import Store

    async with bootstrap.database(settings) as db:
        row = await release.report_of(db, release_id)
        body = {"release": row.release_id, "against": row.against_id, **row.body}
        body.pop("ranks", None)
        for side, number in (("then", row.against_id), ("now", row.release_id)):
            shown = [p for case in body.get("worse", []) for p in case[side]]
            with contextlib.suppress(AssistantError):
                _, table = await release.open_kept(db, Store(settings.index_uri), number or 0)
                texts = {r["id"]: r["text"] for r in await joining.read(table, [p["passage"] for p in shown])}
                for passage in shown:
                    passage["text"] = texts.get(passage["passage"], "")
        return body


async def compare(settings: Settings, first: int, second: int) -> dict[str, Any]:
    """Documents and case questions that two kept releases differ in."""
    from assistant.index import release
    from assistant.index.store import Store

    async with bootstrap.database(settings) as db:
        documents = await release.compare(db, Store(settings.index_uri), first, second)
        gate = bootstrap.retrieval_gate(settings, db, bootstrap.own_embedder(settings))
        return {"first": first, "second": second, **documents, "questions": await gate.changed(first, second)}


async def history(settings: Settings, document_id: int) -> list[dict[str, Any]]:
    """What each kept release made of a document."""
    from assistant.index import release
    from assistant.index.store import Store

    async with bootstrap.database(settings) as db:
        return await release.history(db, Store(settings.index_uri), document_id)


async def contradictions(
    settings: Settings, owner: str | None = None, after: int = 0, *, anew: bool = False
) -> dict[str, Any]:
    """Pairs of documents that contradict each other, with their passages; looked for once more if `anew`."""
    from assistant.index import disputed, release
    from assistant.index.store import Store

    async with bootstrap.database(settings) as db:
        async with db.read() as session:
            row = await release.active(session)
        if row is None:
            raise ReleaseError("There is no index yet.", "Run `assistant index sync`.")
        table = await Store(settings.index_uri).open(row.table_name, row.version)
        whole = (await disputed.refresh(db, table)).whole if anew else True
        found = await disputed.listed(db, table, owner, after)
    pairs = [
        {
            "id": pair.id,
            "newer": pair.newer,
            "documents": [
                {
                    "document": s.document.path,
                    "owner": s.document.owner,
                    "dated": s.at and s.at.date().isoformat(),
                    "says": s.text[s.start : s.end],
                }
                for s in pair.sides
            ],
        }
        for pair in found.pairs
    ]
    return {"count": found.count, "whole": whole, "owners": dict(found.owners), "pairs": pairs, "after": found.after}
