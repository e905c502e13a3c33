"""How long each step of an answer takes, of the receipts that are kept; measured beside the answers, not in them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ReceiptRow, StepFigure
from assistant.domain import now

EVERY_S = 300.0
# Beside its steps: from the question to the first word, and to the end.
FIRST_WORD, WHOLE = "first_word", "answer"
# The newest receipts of these days, and no more than so many.
DAYS = 7
RECEIPTS = 2_000


async def measure(db: Database) -> int:
    """Measure anew, in place of what was measured before. Returns how many receipts it looked at."""
    body: Any = col(ReceiptRow.body)
    newest = (
        select(body["steps"], body["ms_first"], body["ms"])
        .where(col(ReceiptRow.created_at) > now() - timedelta(days=DAYS))
        .order_by(col(ReceiptRow.created_at).desc())
        .limit(RECEIPTS)
    )
    async with db.read() as session:
        found = (await session.exec(newest)).all()
    figures = await asyncio.to_thread(_figures, found)
    async with db.write() as session:
        await session.exec(delete(StepFigure))
        session.add_all(figures)
    return len(found)


def _figures(receipts: Iterable[tuple[list[dict[str, Any]] | None, float | None, float | None]]) -> list[StepFigure]:
    taken: dict[str, list[float]] = defaultdict(list)
    for steps, first, whole in receipts:
        for step in steps or []:
            taken[step["name"]].append(float(step["ms"]))
        for name, ms in ((FIRST_WORD, first), (WHOLE, whole)):
            if ms is not None:
                taken[name].append(float(ms))
    return [
        StepFigure(name=name, count=len(ms), p50=percentile(ms, 50), p95=percentile(ms, 95))
        for name, ms in taken.items()
    ]


def percentile(values: Iterable[float], share: int) -> float:
    """The smallest value that so many in a hundred do not pass."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * share // 100) - 1)]


async def figures(db: Database) -> dict[str, StepFigure]:
    """What was measured last, by step."""
    async with db.read() as session:
        return {f.name: f for f in (await session.exec(select(StepFigure))).all()}
