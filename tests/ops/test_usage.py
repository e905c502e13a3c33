from __future__ import annotations

import pytest

from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.memory import people
from assistant.ops import usage
from tests.ops.conftest import answered


@pytest.mark.parametrize("by", ["day", "segment", "feature", "model", "person"])
async def test_the_sums_of_the_ledger_equal_the_receipts(db: Database, ada: Asker, by: usage.By) -> None:
    bob = people.asker_of(await people.add(db, "bob@example.test"))
    receipts = [(await answered(db, who)).receipt for who in (ada, ada, bob)]
    rows = await usage.summary(db, by)
    assert sum(r["cost_nano"] for r in rows) == sum(r.cost_nano for r in receipts)
    assert sum(r["tokens_in"] for r in rows) == sum(r.tokens_in for r in receipts)
    assert sum(r["calls"] for r in rows) == 6
    assert sum(r["failed"] for r in rows) == 3
    if by == "person":
        assert {r["person"]: r["calls"] for r in rows} == {"ada@example.test": 4, "bob@example.test": 2}


async def test_an_empty_ledger_sums_to_nothing(db: Database) -> None:
    assert await usage.summary(db, "day") == []
