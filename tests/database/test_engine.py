from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlmodel import SQLModel, select

from assistant.database.engine import Database
from assistant.database.tables import Person
from assistant.errors import BusyError


async def test_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    await db.migrate()
    assert await db.schema_is_current()
    await db.close()
    with create_engine(f"sqlite:///{tmp_path / 'a.db'}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


async def test_a_hundred_writers_at_once_lose_no_row(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    await db.migrate()

    async def write(i: int) -> None:
        async with db.write() as session:
            # Reading first is what made "database is locked": see Database.
            await session.exec(select(Person.id))
            session.add(Person(email=f"p{i}@example.test"))

    await asyncio.gather(*(write(i) for i in range(100)))
    async with db.read() as session:
        assert len((await session.exec(select(Person.id))).all()) == 100
    await db.close()


async def test_a_writer_that_waits_too_long_says_that_the_database_is_busy(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"
    holder, waiter = Database(url), Database(url, busy_s=0.2)
    await holder.migrate()
    async with holder.write():
        with pytest.raises(BusyError, match="in use"):
            async with waiter.write():
                pass
    async with waiter.write() as session:
        session.add(Person(email="later@example.test"))
    await holder.close()
    await waiter.close()


async def test_several_processes_may_migrate_at_once(tmp_path: Path) -> None:
    databases = [Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") for _ in range(4)]
    await asyncio.gather(*(db.migrate() for db in databases))
    for db in databases:
        assert await db.schema_is_current()
        await db.close()
