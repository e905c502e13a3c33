"""Documents looked up by their titles, folders and dates, within what the asker may read today."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import case, func, or_
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.domain import Asker, now
from assistant.index import access, dates
from assistant.index.sentences import STOP, all_stems

LOOKED_AT = 60
# A copy gives a file the date of the day: on the day on which a document was first found it tells of no change.
_ARRIVED: Any = (func.date(col(DocumentRow.modified)) == func.date(col(DocumentRow.first_seen))) & (
    col(DocumentRow.modified) <= col(DocumentRow.first_seen)
)
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
# What people call any document; it says nothing of which.
_ANY = frozenset(
    {
        "document",
        "documents",
        "file",
        "page",
        "dokument",
        "datei",
        "seite",
        "called",
        "named",
        "namens",
        "please",
        "bitte",
    }
)


def _words(text: str) -> list[str]:
    return [w for w in _WORD.findall(text.lower()) if w not in STOP and w not in _ANY]


def _stems(text: str) -> set[str]:
    return set(all_stems(" ".join(_WORD.findall(text.lower()))))


async def _readable(db: Database, asker: Asker, *which: Any, order: Sequence[Any], most: int) -> list[DocumentRow]:
    async with db.read() as session:
        rules = await access.rules_of(session, asker)
        statement = select(DocumentRow).where(
            col(DocumentRow.rule_id).in_(rules), DocumentRow.state == "indexed", *which
        )
        return list((await session.exec(statement.order_by(*order).limit(most))).all())


async def titled(db: Database, asker: Asker, called: str, most: int = 4) -> list[DocumentRow]:
    """The documents whose title or path has every word of a name: the very title first, then what is still valid, then
    the newest. Empty when no word says which one."""
    words = _words(called)
    if not words:
        return []
    # The beginning of a word finds its other forms; which of them it is decides the stem.
    begins = [w[: max(4, len(w) - 3)] for w in words]
    holds = [
        col(DocumentRow.title).icontains(b, autoescape=True) | col(DocumentRow.path).icontains(b, autoescape=True)
        for b in begins
    ]
    hits: Any = sum((case((h, 1), else_=0) for h in holds[1:]), case((holds[0], 1), else_=0))
    order = (hits.desc(), col(DocumentRow.path))
    rows = await _readable(db, asker, or_(*holds), order=order, most=LOOKED_AT)
    asked, moment = _stems(" ".join(words)), now()
    fitting = [r for r in rows if asked <= _stems(f"{r.title} {PurePosixPath(r.path).stem}")]

    def rank(row: DocumentRow) -> tuple[bool, bool, float]:
        past = row.valid_until is not None and row.valid_until < moment
        return (_words(row.title) != words, past, -(row.modified.timestamp() if row.modified else 0))

    return sorted(fitting, key=rank)[:most]


async def numbered(db: Database, asker: Asker, ids: Sequence[int]) -> list[DocumentRow]:
    """Documents by their ids, in the order of these."""
    rows = {r.id: r for r in await _readable(db, asker, col(DocumentRow.id).in_(ids), order=(), most=LOOKED_AT)}
    return [rows[i] for i in ids if i in rows]


async def beside(db: Database, asker: Asker, row: DocumentRow, *, older: bool) -> DocumentRow | None:
    """The version of a document that comes just before it, or just after: of the same name but for year and version."""
    about, when = dates.series(row.title), dates.dated(row.title, row.path, row.modified)
    if when is None or not about:
        return None
    longest = max(about, key=len)
    likely = col(DocumentRow.title).icontains(longest[: max(3, len(longest) - 1)], autoescape=True)
    rows = await _readable(db, asker, likely, col(DocumentRow.id) != row.id, order=(col(DocumentRow.path),), most=500)
    versions = [
        (date, r)
        for r in rows
        if (date := dates.dated(r.title, r.path, r.modified)) is not None
        and (dates.series(r.title) == about or dates.same_series(dates.series(r.title), about))
        and (date < when if older else date > when)
    ]
    if not versions:
        return None
    return (max if older else min)(versions, key=lambda v: v[0])[1]


async def changed_since(db: Database, asker: Asker, since: datetime, most: int = 20) -> list[DocumentRow]:
    """The documents that were changed at or after a moment, the newest first, as far as their dates tell."""
    order = (col(DocumentRow.modified).desc(), col(DocumentRow.path))
    return await _readable(db, asker, col(DocumentRow.modified) >= since, ~_ARRIVED, order=order, most=most)


async def arrived_since(db: Database, asker: Asker, since: datetime) -> bool:
    """Whether there are documents of which it is only known that they came here at or after a moment."""
    return bool(await _readable(db, asker, col(DocumentRow.modified) >= since, _ARRIVED, order=(), most=1))


async def in_folder(db: Database, asker: Asker, called: str, most: int = 200) -> list[DocumentRow]:
    """The documents below the folder of that name, by path; of several such folders the one highest up."""
    name = re.sub(r"\s+", "-", called.strip().strip("/").lower())
    path = col(DocumentRow.path)
    below = or_(path.istartswith(f"{name}/", autoescape=True), path.icontains(f"/{name}/", autoescape=True))
    rows = await _readable(db, asker, below, order=(path,), most=most)
    depth = [PurePosixPath(r.path.lower()).parts for r in rows]
    places = [next((i for i in range(len(p)) if "/".join(p[i:]).startswith(f"{name}/")), 99) for p in depth]
    highest = min(places, default=0)
    return [r for r, place in zip(rows, places, strict=True) if place == highest]
