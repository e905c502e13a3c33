"""Alembic's entry: runs the migrations on the address that `Database` hands over."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from assistant.database.tables import SQLModel
from assistant.database.words import alembic_knows


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
        include_name=alembic_knows,
        transactional_ddl=False,
    )
    context.run_migrations()


async def _upgrade(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            # One process migrates; the others wait here and find nothing to do. One that fails leaves nothing behind.
            if connection.dialect.name == "sqlite":
                await connection.execute(text("PRAGMA busy_timeout=30000"))
                await connection.execute(text("PRAGMA journal_mode=WAL"))
                await connection.execute(text("BEGIN IMMEDIATE"))
            else:
                await connection.execute(text("BEGIN"))
                await connection.execute(text("SELECT pg_advisory_xact_lock(7301)"))
            try:
                await connection.run_sync(_run)
            except BaseException:
                await connection.execute(text("ROLLBACK"))
                raise
            await connection.execute(text("COMMIT"))
    finally:
        await engine.dispose()


asyncio.run(_upgrade(context.config.attributes["url"]))
