"""What was used and what it cost, summed from the ledger."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import case, func, select
from sqlmodel import col

from assistant.database.engine import Database
from assistant.database.tables import Person, UsageRow
from assistant.domain import NANO

By = Literal["day", "segment", "feature", "model", "person"]
_COLUMNS = {
    "day": col(UsageRow.day),
    "segment": col(UsageRow.segment),
    "feature": col(UsageRow.feature),
    "model": col(UsageRow.model_asked),
    "person": func.coalesce(col(Person.email), ""),
}


async def of_day(db: Database, day: str) -> dict[str, Any]:
    """`calls`, `failed` and `dollars` of one day, YYYY-MM-DD in UTC."""
    failed = func.sum(case((col(UsageRow.outcome) == "ok", 0), else_=1))
    statement: Any = select(func.count(), func.coalesce(failed, 0), func.coalesce(func.sum(col(UsageRow.cost_nano)), 0))
    async with db.read() as session:
        calls, failures, cost = (await session.exec(statement.where(col(UsageRow.day) == day))).one()
    return {"calls": int(calls), "failed": int(failures), "dollars": int(cost) / NANO}


async def summary(db: Database, by: By) -> list[dict[str, Any]]:
    """One row for each day, segment, feature, model or person, dearest first (days in order).

    Keys: the name of the grouping, `calls`, `failed`, `tokens_in`, `tokens_out`, `tokens_cached`, `cost_nano`,
    `dollars`.
    """
    key = _COLUMNS[by]
    statement: Any = (
        select(
            key.label("key"),
            func.count().label("calls"),
            func.sum(case((col(UsageRow.outcome) == "ok", 0), else_=1)).label("failed"),
            func.sum(col(UsageRow.tokens_in)).label("tokens_in"),
            func.sum(col(UsageRow.tokens_out)).label("tokens_out"),
            func.sum(col(UsageRow.tokens_cached)).label("tokens_cached"),
            func.sum(col(UsageRow.cost_nano)).label("cost_nano"),
        )
        .select_from(UsageRow)
        .join(Person, col(Person.id) == col(UsageRow.person_id), isouter=True)
        .group_by(key)
    )
    async with db.read() as session:
        rows = (await session.exec(statement)).mappings().all()
    table = [
        {by: r["key"], **{k: int(r[k]) for k in r if k != "key"}, "dollars": int(r["cost_nano"]) / NANO} for r in rows
    ]
    if by == "day":
        return sorted(table, key=lambda r: str(r["day"]))
    return sorted(table, key=lambda r: (-r["cost_nano"], -r["calls"], str(r[by])))
