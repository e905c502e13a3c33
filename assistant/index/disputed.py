"""Which documents of a release contradict each other: looked for when a run goes live, kept for their owners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, union_all
from sqlalchemy import select as sql_select
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import ContradictionRow, DocumentRow
from assistant.domain import now
from assistant.errors import NotFoundError
from assistant.index import dates
from assistant.index.contradictions import Disagreement, Said, disagree, of_one_thing, said_in, worth_comparing
from assistant.index.store import Table

# Bounds of one search: seconds, statements held in memory (about 1 kB each), pairs compared (about 100 bytes each), and
# pairs kept.
SECONDS = 40.0
STATEMENTS = 100_000
COMPARED = 2_000_000
KEPT = 1_000
# Passages whose sentences are read together, in one go to a thread.
READ = 500
PAGE = 25


@dataclass(frozen=True)
class Found:
    """What a search found. `whole` is false when it ended at a bound before it had seen everything."""

    pairs: list[ContradictionRow]
    whole: bool


@dataclass(frozen=True)
class Side:
    """One of two documents that disagree, with its passage; no passage where the release that answers has none."""

    document: DocumentRow
    passage: str
    start: int
    end: int
    text: str = ""

    @property
    def at(self) -> datetime | None:
        """When its document is of, as search and chat take it."""
        return dates.dated(self.document.title, self.document.path, self.document.modified)


@dataclass(frozen=True)
class Pair:
    """Two documents that disagree. `newer` is 0 or 1: which is of a later date; None where that is not known."""

    id: int
    sides: tuple[Side, Side]

    @property
    def newer(self) -> int | None:
        one, other = (s.at for s in self.sides)
        return None if one is None or other is None or one == other else int(other > one)


@dataclass(frozen=True)
class Listed:
    """A page of pairs, how many there are in all and for each owner, and where the next page goes on."""

    pairs: list[Pair]
    count: int
    after: int | None
    owners: list[tuple[str, int]] = field(default_factory=list)


async def refresh(db: Database, table: Table) -> Found:
    """Look through a release, and keep what is found in place of what was. Returns those that nobody dismissed."""
    async with db.read() as session:
        live = set((await session.exec(select(DocumentRow.id).where(DocumentRow.state == "indexed"))).all())
    found = await search(table, live)
    async with db.write() as session:
        known = {_key(r): r for r in (await session.exec(select(ContradictionRow))).all()}
        there = {_key(r) for r in found.pairs}
        # What was dismissed stays so: a release that somebody goes back from may hold it again.
        gone = [r.id for k, r in known.items() if k not in there and (r.dismissed_at is None or not _live(r, live))]
        await session.exec(delete(ContradictionRow).where(col(ContradictionRow.id).in_(gone)))
        session.add_all(r for r in found.pairs if _key(r) not in known)
    shut = {k for k, r in known.items() if r.dismissed_at is not None}
    return Found([r for r in found.pairs if _key(r) not in shut], found.whole)


def _live(row: ContradictionRow, documents: set[int | None]) -> bool:
    return {row.one_id, row.other_id} <= documents


def _key(row: ContradictionRow) -> tuple[str, str, int, int]:
    return row.one_passage, row.other_passage, row.one_start, row.other_start


async def search(table: Table, documents: set[int | None]) -> Found:
    """Pairs of sentences of these documents that contradict each other, within the bounds above."""
    until = time.monotonic() + SECONDS
    said: list[Said] = []
    part: list[dict[str, Any]] = []
    async for row in table.rows(["id", "document_id", "title", "headings", "text"]):
        if row["document_id"] in documents:
            part.append(row)
        if len(part) >= READ:
            said += await asyncio.to_thread(_said, part)
            part = []
            if len(said) >= STATEMENTS or time.monotonic() > until:
                return await asyncio.to_thread(_compared, said[:STATEMENTS], until, whole=False)
    said += await asyncio.to_thread(_said, part)
    whole = len(said) <= STATEMENTS
    return await asyncio.to_thread(_compared, said[:STATEMENTS], until, whole=whole)


def _said(rows: Sequence[Mapping[str, Any]]) -> list[Said]:
    """The statements of these passages."""
    return [s for r in rows for s in said_in(r["document_id"], r["id"], r["title"], r["headings"] or (), r["text"])]


def _compared(said: Sequence[Said], until: float, *, whole: bool) -> Found:
    differ: list[tuple[int, int]] = []
    for n, (i, j) in enumerate(worth_comparing(said)):
        if n > COMPARED or time.monotonic() > until:
            whole = False
            break
        if disagree(said[i], said[j]):
            differ.append((i, j))
    rows = {_key(r): r for r in (_row(*pair) for pair in of_one_thing(said, differ))}
    return Found(sorted(rows.values(), key=_key)[:KEPT], whole and len(rows) <= KEPT)


def _row(one: Said, other: Said, where: Disagreement) -> ContradictionRow:
    places = [(one, where.one), (other, where.other)]
    (one, at), (other, there) = sorted(places, key=lambda p: (p[0].document, p[0].passage))
    return ContradictionRow(
        one_id=one.document,
        other_id=other.document,
        one_passage=one.passage,
        other_passage=other.passage,
        one_start=at[0],
        one_end=at[1],
        other_start=there[0],
        other_end=there[1],
    )


async def listed(db: Database, table: Table | None, owner: str | None = None, after: int = 0) -> Listed:
    """A page of the pairs that nobody dismissed, with their passages out of `table`; of one owner if named."""
    one, other = aliased(DocumentRow), aliased(DocumentRow)
    base: Any = (
        sql_select(ContradictionRow, one, other)
        .join(one, col(one.id) == col(ContradictionRow.one_id))
        .join(other, col(other.id) == col(ContradictionRow.other_id))
        .where(col(ContradictionRow.dismissed_at).is_(None), col(one.state) == "indexed", col(other.state) == "indexed")
    )
    both = [base.with_only_columns(ContradictionRow.id, col(d.owner).label("owner")) for d in (one, other)]
    named = union_all(*both).subquery()
    per_owner: Any = sql_select(named.c.owner, func.count(func.distinct(named.c.id))).group_by(named.c.owner)
    wanted = base if owner is None else base.where(or_(col(one.owner) == owner, col(other.owner) == owner))
    async with db.read() as session:
        owners = (await session.exec(per_owner)).all()
        count = int((await session.exec(wanted.with_only_columns(func.count(col(ContradictionRow.id))))).scalar_one())
        page = wanted.where(col(ContradictionRow.id) > after).order_by(col(ContradictionRow.id)).limit(PAGE + 1)
        rows = (await session.exec(page)).all()
    texts = await _texts(table, (i for row, _, _ in rows[:PAGE] for i in (row.one_passage, row.other_passage)))
    pairs = [
        Pair(
            row.id,
            (
                Side(a, row.one_passage, row.one_start, row.one_end, texts.get(row.one_passage, "")),
                Side(b, row.other_passage, row.other_start, row.other_end, texts.get(row.other_passage, "")),
            ),
        )
        for row, a, b in rows[:PAGE]
    ]
    told = sorted(((o, int(n)) for o, n in owners), key=lambda o: (-o[1], o[0]))
    return Listed(pairs, count, rows[PAGE - 1][0].id if len(rows) > PAGE else None, told)


async def _texts(table: Table | None, passages: Iterable[str]) -> dict[str, str]:
    ids = list(dict.fromkeys(passages))
    return {r["id"]: r["text"] for r in await table.passages(ids)} if table is not None and ids else {}


async def dismissed(db: Database, table: Table, documents: Collection[int]) -> set[frozenset[str]]:
    """The pairs of sentences of these documents of which somebody said that they do not contradict each other.

    By their words: under a question a passage may have grown by those next to it.
    """
    one, other = col(ContradictionRow.one_id), col(ContradictionRow.other_id)
    shut = col(ContradictionRow.dismissed_at).is_not(None)
    async with db.read() as session:
        rows = (
            await session.exec(select(ContradictionRow).where(shut, one.in_(documents), other.in_(documents)))
        ).all()
    texts = await _texts(table, (i for r in rows for i in (r.one_passage, r.other_passage)))
    return {
        frozenset({texts[r.one_passage][r.one_start : r.one_end], texts[r.other_passage][r.other_start : r.other_end]})
        for r in rows
        if {r.one_passage, r.other_passage} <= texts.keys()
    }


async def dismiss(session: AsyncSession, pair: int) -> ContradictionRow:
    """Say that two passages do not contradict each other, inside the caller's transaction. Raises `NotFoundError`."""
    row = await session.get(ContradictionRow, pair)
    if row is None:
        raise NotFoundError("There is no such pair of passages.", "It may be settled by now; reload the page.")
    row.dismissed_at = now()
    session.add(row)
    return row
