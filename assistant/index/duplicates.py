"""Documents that say the same: found when they are indexed, and answered from once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from heapq import nlargest
from itertools import chain

from sqlalchemy import bindparam, update
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.index import sketch

# The share of four-word shingles that two documents have in common to count as one; .8 is about one word changed in 36.
NEAR = 0.8
# A value that more documents share than this is of what they all say at their foot, and tells nothing.
COMMON = 50
LIKELY = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Kept:
    """What is kept of a document's text to tell its like."""

    id: int
    text_hash: str
    sketch: bytes


def groups(newest_first: Iterable[Kept]) -> dict[int, int]:
    """Each document that repeats a newer one, with that one. None repeats one that repeats another."""
    same: dict[str, int] = {}
    holders: defaultdict[int, list[int]] = defaultdict(list)
    heads: dict[int, frozenset[int]] = {}
    found: dict[int, int] = {}
    for document in newest_first:
        head = same.get(document.text_hash) if document.text_hash else None
        own = sketch.values(document.sketch)
        head = _nearest(own, holders, heads) if head is None else head
        if head is not None:
            found[document.id] = head
            continue
        same[document.text_hash] = document.id
        heads[document.id] = own
        for value in own:
            if len(holders[value]) < COMMON:
                holders[value].append(document.id)
    return found


def _nearest(
    own: frozenset[int], holders: Mapping[int, Sequence[int]], heads: Mapping[int, frozenset[int]]
) -> int | None:
    shared = Counter(chain.from_iterable(holders[value] for value in own if value in holders))
    alike = {head: count for head, count in shared.items() if count * 4 >= len(own)}
    likely = {head: sketch.resemblance(own, heads[head]) for head in nlargest(LIKELY, alike, key=lambda h: alike[h])}
    best = max(likely, key=lambda head: (likely[head], -head), default=None)
    return best if best is not None and likely[best] >= NEAR else None


async def mark(db: Database) -> int:
    """Note for every indexed document which newer one it repeats. Returns how many do."""
    async with db.read() as session:
        rows = await session.exec(
            select(DocumentRow.id, DocumentRow.text_hash, DocumentRow.sketch, DocumentRow.duplicate_of)
            .where(DocumentRow.state == "indexed")
            .order_by(col(DocumentRow.modified).desc().nulls_last(), col(DocumentRow.id))
        )
        held = [(i, text, drawn, before) for i, text, drawn, before in rows.all() if i is not None]
    found = groups(Kept(i, text, drawn or b"") for i, text, drawn, _ in held)
    changes = [{"document": i, "head": found.get(i)} for i, _, _, before in held if found.get(i) != before]
    if changes:
        table = DocumentRow.__table__  # type: ignore[attr-defined]
        statement = update(table).where(table.c.id == bindparam("document")).values(duplicate_of=bindparam("head"))
        async with db.write() as session:
            await (await session.connection()).execute(statement, changes)
    return len(found)


def once(
    order: Sequence[str], text: Mapping[str, str], document: Mapping[str, int], rows: Mapping[int, DocumentRow]
) -> list[str]:
    """The passages without those that a like document's newer passage says already, word for word.

    Of two the newer document's stays, in the place of the better one. `rows` holds the documents that the asker may
    read, and only their passages may be asked about: a text is never left out for one that is hidden from the asker.
    A newer passage never yields to an older one, nor any that has a word of its own.
    """
    kept: list[str] = []

    @cache
    def words(passage: str) -> frozenset[str]:
        return frozenset(_WORD.findall(text[passage].casefold()))

    of_group: defaultdict[int, list[int]] = defaultdict(list)
    for passage in order:
        row = rows[document[passage]]
        group = of_group[row.duplicate_of or document[passage]]
        for at in group:
            other = rows[document[kept[at]]]
            if other.id == row.id:
                continue
            newer, older = (passage, kept[at]) if _age(row) > _age(other) else (kept[at], passage)
            if words(older) and words(older) <= words(newer):
                kept[at] = newer
                break
        else:
            group.append(len(kept))
            kept.append(passage)
    return kept


def _age(row: DocumentRow) -> tuple[datetime, int]:
    """Greater for a newer document; of the same moment the one that `groups` takes first."""
    return row.modified or datetime.min.replace(tzinfo=UTC), -(row.id or 0)
