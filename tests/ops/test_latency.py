"""How long steps take is measured from the receipts that are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from assistant.database.engine import Database
from assistant.database.tables import ReceiptRow
from assistant.domain import Asker, now
from assistant.ops import latency
from tests.ops.conftest import answered


async def test_each_step_is_measured_over_the_receipts_of_the_last_days(db: Database, ada: Asker) -> None:
    assert await latency.measure(db) == 0
    answers = [await answered(db, ada) for _ in range(3)]
    async with db.write() as session:
        row = await session.get(ReceiptRow, answers[0].id)
        assert row is not None
        row.body = {**row.body, "steps": [{"name": "retrieve", "ms": 900.0}], "ms_first": 700, "ms": 9_000}
        session.add(row)
    assert await latency.measure(db) == 3
    found = await latency.figures(db)
    assert (found["retrieve"].count, found["retrieve"].p50, found["retrieve"].p95) == (3, 12.5, 900.0)
    assert (found["first_word"].count, found["first_word"].p95) == (3, 700)
    assert (found["answer"].count, found["answer"].p95) == (3, 9_000)
    assert (found["guard"].count, found["guard"].p95) == (2, 1.0)
    async with db.write() as session:
        await session.exec(update(ReceiptRow).values(created_at=now() - timedelta(days=latency.DAYS + 1)))
    await latency.measure(db)
    assert await latency.figures(db) == {}


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([5], 95, 5), ([1, 2], 50, 1), (range(1, 101), 95, 95), (range(1, 101), 50, 50), ([3, 1, 2], 95, 3)],
)
def test_a_percentile_is_a_value_that_was_taken(values: list[int], share: int, found: int) -> None:
    assert latency.percentile(values, share) == found
