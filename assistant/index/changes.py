"""What became of the documents since a day: by the releases that are kept, within what a person may read.

Two releases are compared passage by passage; what a document said before is read from the older one. Where none reaches
back to that day, what has happened since the oldest one is known, and of the rest the documents' own dates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, ReleaseRow
from assistant.domain import Asker, Passage
from assistant.errors import ReleaseError
from assistant.index import access, release
from assistant.index.retrieve import Knowledge, Opened, passage_of
from assistant.index.store import Table


@dataclass(frozen=True)
class Changes:
    """The documents that were added, changed and removed since `known_since`, each list newest first.

    `whole` tells that nothing before that moment is left out; `same_reading` that both releases were cut by one parser,
    so that each difference is one of the document.
    """

    added: list[DocumentRow]
    changed: list[DocumentRow]
    removed: list[DocumentRow]
    known_since: datetime
    whole: bool
    same_reading: bool
    then: Table
    today: Opened
    rules: frozenset[int]

    async def said(self, document: int) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
        """What a document said then and what it says today, as far as the asker's rules admit each passage."""
        sides = []
        for table in (self.then, self.today.table):
            rows = await table.of_document(document)
            sides.append(tuple(passage_of(r) for r in rows if r["access"] in self.rules))
        return sides[0], sides[1]


async def since(db: Database, knowledge: Knowledge, asker: Asker, moment: datetime) -> Changes | None:
    """What changed since a moment; None where no earlier release is kept that tells, or there is no index."""
    try:
        today = await knowledge.release()
    except ReleaseError:
        return None
    async with db.read() as session:
        base = await _base(session, moment, today.row)
        rules = frozenset(await access.rules_of(session, asker))
    if base is None or base.activated_at is None:
        return None
    try:
        then = await knowledge.store.open(base.table_name, base.version)
        before, after = await then.documents(), await today.table.documents()
    except (ReleaseError, OSError, RuntimeError, ValueError):
        # Damage is told where releases are listed.
        return None
    same_reading = (base.parser, base.splitter) == (today.row.parser, today.row.splitter)
    added = [i for i in after if i not in before]
    changed = [i for i, (_, mark) in after.items() if i in before and before[i][1] != mark]
    removed = [i for i in before if i not in after]
    async with db.read() as session:
        live = await access.allowed(session, sorted(rules), [*added, *changed])
        gone = await _gone(session, rules, removed)
    readable = [i for i in removed if i in gone and await _was_readable(then, i, rules)]
    return Changes(
        _newest_first(live[i] for i in added if i in live),
        _newest_first(live[i] for i in changed if i in live),
        _newest_first(gone[i] for i in readable),
        base.activated_at,
        base.activated_at <= moment,
        same_reading,
        then,
        today,
        rules,
    )


async def _base(session: AsyncSession, moment: datetime, today: ReleaseRow) -> ReleaseRow | None:
    """The release that was live at the moment, else the oldest one that went live after it and is kept."""
    statement = select(ReleaseRow).where(
        col(ReleaseRow.state).in_(release.KEPT_STATES), col(ReleaseRow.activated_at).is_not(None)
    )
    kept = sorted((await session.exec(statement)).all(), key=lambda r: (r.activated_at or moment, r.id or 0))
    live = [r for r in kept if r.activated_at and r.activated_at <= moment]
    # A later one that was live at the moment, and is gone, would say more; then this tells too much, not too little.
    base = live[-1] if live else next(iter(kept), None)
    return base if base is not None and (base.id != today.id or live) else None


async def _gone(session: AsyncSession, rules: frozenset[int], documents: Sequence[int]) -> dict[int, DocumentRow]:
    """Documents that left, which the rules admit still."""
    statement = select(DocumentRow).where(
        col(DocumentRow.id).in_(documents),
        col(DocumentRow.rule_id).in_(sorted(rules)),
        col(DocumentRow.state).in_(("removed", access.LEAVING)),
    )
    return {d.id: d for d in (await session.exec(statement)).all() if d.id is not None}


async def _was_readable(then: Table, document: int, rules: frozenset[int]) -> bool:
    """Where the release carries a narrower rule than SQL, the narrower counts."""
    return all(r["access"] in rules for r in await then.of_document(document))


def _newest_first(rows: Iterable[DocumentRow]) -> list[DocumentRow]:
    return sorted(rows, key=lambda r: (-(r.modified.timestamp() if r.modified else 0), r.path))
