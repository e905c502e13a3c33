"""Fixtures for tests that must hold on every database we run on. A conftest imports the ones it offers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlmodel import SQLModel

from assistant.database import tables  # noqa: F401 - fills the metadata
from assistant.database.engine import Database
from tests.database import postgres as server

KINDS = ("sqlite", "postgres")


def _aside(job: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a thread: a fixture of the session may be asked for within a running loop."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, job).result()


# Making a database takes half a second, so tests share one and find it without a row.
_CLEAR = "; ".join(f'DELETE FROM "{table.name}"' for table in reversed(SQLModel.metadata.sorted_tables))


async def _on_server(address: str, statement: str, database: str = "postgres") -> None:
    url = make_url(address)
    connection = await asyncpg.connect(host=url.query["host"], user=url.username, database=database, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _migrated(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a running server, with `{}` for a database; `migrated` is at the newest schema."""
    programs = server.programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL on this machine (Debian: apt-get install postgresql)")
    with server.running(programs) as address:
        _aside(_on_server(address, "CREATE DATABASE migrated"))
        _aside(_migrated(address.format("migrated")))
        yield address


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file at the newest schema, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _aside(_migrated(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture(params=KINDS)
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a database without a table, on SQLite and on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    address, name = request.getfixturevalue("postgres"), f"t{uuid4().hex}"
    await _on_server(address, f"CREATE DATABASE {name}")
    yield address.format(name)
    await _on_server(address, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=KINDS)
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh database at the newest schema, on SQLite and on Postgres."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "a.db")
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
        yield database
        await database.close()
        return
    address = request.getfixturevalue("postgres")
    await _on_server(address, f"SET lock_timeout = '5s'; {_CLEAR}", "migrated")
    database = Database(address.format("migrated"))
    yield database
    await database.close()
