"""Failed sign-ins count together, whichever process they came to."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import SignInTry
from assistant.domain import now
from assistant.memory import tries


async def test_tries_of_two_processes_count_together_and_a_right_password_ends_the_accounts(db: Database) -> None:
    other = Database(db.url)
    for process in (db, other, db):
        taken = await tries.take(process, ["account ada", "address 10.0.0.1"], 60)
    assert await tries.exhausted(other, {"account ada": 3}, 60)
    assert not await tries.exhausted(other, {"account ada": 4, "account bob": 1}, 60)
    await tries.worked(other, "account ada", taken)
    assert not await tries.exhausted(db, {"account ada": 1}, 60)
    # One's own account clears nothing of the address but this one try.
    assert await tries.exhausted(db, {"address 10.0.0.1": 2}, 60)
    assert not await tries.exhausted(db, {"address 10.0.0.1": 3}, 60)
    await other.close()


async def test_what_is_kept_names_nobody_and_is_dropped_when_it_is_old(db: Database) -> None:
    await tries.take(db, ["account ada@example.test"], 60)
    async with db.read() as session:
        (row,) = (await session.exec(select(SignInTry))).all()
    assert "ada" not in row.key
    async with db.write() as session:
        await session.exec(update(SignInTry).values(at=now() - timedelta(seconds=61)))
    assert not await tries.exhausted(db, {"account ada@example.test": 1}, 60)
    await tries.take(db, ["account \ud800"], 60)
    async with db.read() as session:
        assert len((await session.exec(select(SignInTry))).all()) == 1
