"""What is told to be saved is saved, whoever else writes; the schema is the one of the code, on each database."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiosqlite
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, text
from sqlalchemy.exc import ProgrammingError
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database import engine as engine_module
from assistant.database.engine import Database, insert_new
from assistant.database.tables import Message, Person, UsageRow
from assistant.database.words import alembic_knows
from assistant.errors import BusyError, FullError, SettingsError, UnreachableError
from tests.database import postgres as server

PROJECT = Path(__file__).parents[2]
MIGRATE = """
import asyncio, sys
from assistant.database.engine import Database
async def main():
    database = Database(sys.argv[1])
    await database.migrate()
    assert await database.schema_is_current()
    await database.close()
asyncio.run(main())
"""


@asynccontextmanager
async def opened(url: str, busy_s: float = 15) -> AsyncIterator[Database]:
    database = Database(url, busy_s)
    try:
        yield database
    finally:
        await database.close()


async def rows(db: Database) -> int:
    async with db.read() as session:
        return len((await session.exec(select(Person.id))).all())


async def test_whoever_is_stopped_in_the_middle_of_writing_holds_up_nobody(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A result that is still referred to, as the tracebacks of who was stopped now and then do.
    held: list[aiosqlite.Cursor] = []
    reading = asyncio.Event()

    async def slow(cursor: aiosqlite.Cursor) -> None:
        held.append(cursor)
        reading.set()
        await asyncio.sleep(60)

    async with opened(f"sqlite+aiosqlite:///{shutil.copy(migrated_file, tmp_path / 'a.db')}", busy_s=0.5) as db:

        async def write() -> None:
            async with db.write() as session:
                session.add(Person(email=f"{uuid4()}@example.test"))
                await session.flush()
                await session.exec(select(Person.id))

        await write()  # and so the connection is there
        with monkeypatch.context() as patched:
            patched.setattr(aiosqlite.Cursor, "fetchall", slow)
            stopped = asyncio.create_task(write())
            await reading.wait()
            stopped.cancel()
            await asyncio.wait([stopped])
        await write()
        assert len(held) == 1
        assert await rows(db) == 2


# The schema


async def test_migrations_make_exactly_the_tables_of_the_code(empty_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": alembic_knows})
        return list(compare_metadata(context, SQLModel.metadata))

    async with opened(empty_url) as db:
        assert not await db.schema_is_current()
        await db.migrate()
        assert await db.schema_is_current()
        await db.migrate()  # the second time finds nothing to do
        async with db.read() as session:
            assert await (await session.connection()).run_sync(differences) == []


async def test_what_is_asked_with_every_turn_or_every_few_seconds_is_found_by_an_index(tmp_path: Path) -> None:
    streaming = select(Message.owner).where(Message.state == "streaming").distinct()
    spent = select(func.sum(UsageRow.cost_nano)).where(UsageRow.person_id == "ada", UsageRow.day == "2026-11-27")
    async with opened(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as db:
        await db.migrate()
        for statement, index in ((streaming, "ix_message_streaming"), (spent, "ix_usage_person_id_day")):
            asked = statement.compile(compile_kwargs={"literal_binds": True})
            async with db.read() as session:
                plan = (await (await session.connection()).execute(text(f"EXPLAIN QUERY PLAN {asked}"))).all()
            assert index in plan[0].detail


async def test_several_processes_may_migrate_at_once(empty_url: str) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = await asyncio.gather(*(asyncio.to_thread(p.communicate) for p in started))
    assert [p.returncode for p in started] == [0] * 3, [e[1][-500:] for e in ended]


async def test_several_starts_in_one_process_may_migrate_at_once(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(4)]
    await asyncio.gather(*(db.migrate() for db in databases))
    for db in databases:
        assert await db.schema_is_current()
        await db.close()


async def test_a_migration_that_fails_half_way_leaves_nothing_behind(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    (broken / "env.py").write_text((engine_module.MIGRATIONS / "env.py").read_text())
    (broken / "versions" / "1.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision = '1'\ndown_revision = None\n"
        "def upgrade():\n    op.create_table('half', sa.Column('id', sa.Integer()))\n    op.drop_table('nowhere')\n"
    )
    async with opened(empty_url) as db:
        with monkeypatch.context() as patch:
            patch.setattr(engine_module, "MIGRATIONS", broken)
            with pytest.raises((ProgrammingError, SettingsError)):
                await db.migrate()
        async with db.read() as session:
            tables = await (await session.connection()).run_sync(lambda c: inspect(c).get_table_names())
        assert "half" not in tables
        await db.migrate()
        assert await db.schema_is_current()


async def test_a_database_of_a_newer_version_is_refused_in_words_and_left_as_it_is(empty_url: str) -> None:
    async with opened(empty_url) as db:
        await db.migrate()
        async with db.write() as session:
            await (await session.connection()).execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(SettingsError, match=r"newer version of assistant: its schema is 9999, .* 00\d\d at most"):
            await db.migrate()
        async with db.read() as session:
            kept = await (await session.connection()).execute(text("SELECT version_num FROM alembic_version"))
            assert kept.scalars().all() == ["9999"]
        assert not await db.schema_is_current()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://assistant:pw-canary@127.0.0.1:9/assistant",
        "sqlite+aiosqlite:////proc/assistant.db",
        "sqlite+aiosqlite:///{here}/not_a_database",
        "sqlite+aiosqlite:///{here}/not_a_database/below.db",
    ],
)
async def test_a_database_that_cannot_be_used_is_named_in_one_line_without_its_password(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "not_a_database").write_text(
        "This is a text, and long enough to be taken for a header of 100 bytes." * 3
    )
    with pytest.raises(SettingsError) as caught:
        async with opened(url.format(here=tmp_path)) as db:
            await db.migrate()
    assert "\n" not in str(caught.value)
    assert "pw-canary" not in str(caught.value)
    assert ("Start that server" in caught.value.action) == url.startswith("postgresql")
    assert caught.value.action


async def test_a_database_that_is_gone_while_people_ask_is_said_to_be_and_shows_no_address(tmp_path: Path) -> None:
    (tmp_path / "damaged.db").write_bytes(b"This was a database once. " * 100)
    for url in ("postgresql+asyncpg://test:pw-canary@127.0.0.1:9/a", f"sqlite+aiosqlite:///{tmp_path / 'damaged.db'}"):
        async with opened(url) as db:
            for session in (db.read, db.write):
                with pytest.raises(UnreachableError) as caught:
                    async with session() as asked:
                        await asked.exec(select(Person))
                assert str(caught.value).startswith("The database does not answer")
                assert "127.0.0.1" not in str(caught.value)


async def test_a_server_that_ends_a_connection_is_no_fault_of_ours_and_the_next_look_is_answered(postgres: str) -> None:
    async def cut(db: Database) -> None:
        async with db.read() as session:
            await (await session.connection()).execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with opened(postgres.format("migrated")) as db:
        with pytest.raises(UnreachableError):
            await cut(db)
        assert await rows(db) >= 0


async def test_a_postgres_that_has_no_such_database_says_so(postgres: str) -> None:
    async with opened(postgres.format("nowhere")) as db:
        with pytest.raises(SettingsError, match='"nowhere" does not exist'):
            await db.migrate()
        assert not await db.schema_is_current()


# Writers


async def test_a_hundred_writers_at_once_lose_no_row(db: Database) -> None:
    async def write(i: int) -> None:
        async with db.write() as session:
            # Reading first is what made "database is locked": see Database.
            await session.exec(select(Person.id))
            session.add(Person(email=f"p{i}@example.test"))

    await asyncio.gather(*(write(i) for i in range(100)))
    assert await rows(db) == 100


async def test_a_writer_that_fails_leaves_nothing_and_keeps_nobody_waiting(db: Database) -> None:
    async def fail() -> None:
        async with db.write() as session:
            session.add(Person(email="never@example.test"))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with asyncio.timeout(2), db.write() as session:
        session.add(Person(email="after@example.test"))
    assert await rows(db) == 1


async def test_a_row_whose_key_is_taken_is_not_inserted_and_the_transaction_goes_on(db: Database) -> None:
    async with db.write() as session:
        assert await insert_new(session, Person(email="a@example.test"))
        assert not await insert_new(session, Person(email="a@example.test"))
        session.add(Person(email="b@example.test"))
    assert await rows(db) == 2


async def test_a_writer_that_waits_too_long_says_that_the_database_is_busy(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"
    async with opened(url) as holder, opened(url, busy_s=0.2) as waiter:
        await holder.migrate()
        async with holder.write():
            began = time.monotonic()
            with pytest.raises(BusyError, match="in use"):
                async with waiter.write():
                    pass
            assert time.monotonic() - began < 1
        async with waiter.write() as session:
            session.add(Person(email="later@example.test"))
        assert await rows(waiter) == 1


async def test_while_another_holds_the_lock_the_loop_runs_on_readers_read_and_the_writer_gets_its_turn(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.db"
    async with opened(f"sqlite+aiosqlite:///{file}") as db:
        await db.migrate()
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        holder.execute(
            "INSERT INTO source (name, location, configured, updated_at) VALUES ('a', 'b', 1, '2026-01-01 00:00:00')"
        )

        async def write() -> None:
            async with db.write() as session:
                session.add(Person(email="waited@example.test"))

        writing = asyncio.create_task(write())
        gaps, last = [], time.monotonic()
        while len(gaps) < 25:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - last - 0.01)
            last = time.monotonic()
        assert not writing.done()
        assert await rows(db) == 0
        holder.execute("COMMIT")
        holder.close()
        await writing
        assert await rows(db) == 1
        # 50 ms is the promise; a busy test machine may take one slice away.
        assert sorted(gaps)[-2] < 0.05


async def test_a_look_up_that_another_process_keeps_from_reading_waits_without_holding_up_the_loop(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.db"
    async with opened(f"sqlite+aiosqlite:///{file}") as db:
        await db.migrate()

    async def people(session: AsyncSession) -> int:
        return len((await session.exec(select(Person.id))).all())

    # Whoever mends or copies a database may take it for itself; nobody can read it then.
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    async with opened(f"sqlite+aiosqlite:///{file}", busy_s=0.2) as db:
        with pytest.raises(BusyError, match="in use"):
            await db.reading(people)
    async with opened(f"sqlite+aiosqlite:///{file}") as db:
        reading, ticks = asyncio.create_task(db.reading(people)), 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            ticks += not reading.done()
        assert ticks == 20
        holder.close()
        assert await reading == 0


async def test_writers_that_queue_behind_a_held_lock_all_end_with_the_word_busy(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    async with opened(f"sqlite+aiosqlite:///{file}") as db:
        await db.migrate()

    async with opened(f"sqlite+aiosqlite:///{file}", busy_s=0.1) as db:
        db._writer.sync_engine.pool._timeout = 0.15  # type: ignore[attr-defined]  # else five seconds more
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with db.write():
                pass

        ended = await asyncio.gather(*(write() for _ in range(6)), return_exceptions=True)
        holder.close()
        assert [type(e) for e in ended] == [BusyError] * 6


# What is stored


@pytest.mark.parametrize("hostile", ["a\x00b", "a\ud800b"], ids=["NUL", "lone surrogate"])
async def test_text_that_no_database_takes_is_stored_with_a_mark_in_its_place(db: Database, hostile: str) -> None:
    async with db.write() as session:
        session.add(Person(email="a@example.test", name=hostile))
        session.add_all(Person(email=f"{i}@example.test", name=hostile) for i in range(3))
    async with db.read() as session:
        assert set((await session.exec(select(Person.name))).all()) == {"a\ufffdb"}
        assert (await session.exec(select(Message).where(Message.id == hostile))).first() is None
        assert await session.get(Person, hostile) is None


async def test_upper_and_lower_case_are_the_same_to_a_search_in_every_language(db: Database) -> None:
    async with db.write() as session:
        session.add(Person(email="a@example.test", name="ÜBERSTUNDEN und Ärger"))
    async with db.read() as session:
        for wanted in ("überstunden", "Überstunden", "ÄRGER", "UND"):
            found = await session.exec(select(Person.id).where(col(Person.name).icontains(wanted, autoescape=True)))
            assert found.first(), wanted


async def test_moments_come_back_aware_and_equal_to_the_microsecond(db: Database) -> None:
    person = Person(email="a@example.test")
    async with db.write() as session:
        session.add(person)
    async with db.read() as session:
        stored = (await session.exec(select(Person))).one()
    assert stored.created_at == person.created_at
    assert stored.created_at.utcoffset() is not None
    assert stored.tokens_after is None


# The server of the tests


def test_the_postgres_of_the_tests_ends_with_the_process_that_started_it() -> None:
    if server.programs() is None:
        pytest.skip("there is no PostgreSQL on this machine")
    code = (
        "import os\nfrom pathlib import Path\nfrom tests.database import postgres as s\n"
        "with s.running(s.programs()) as address:\n"
        "    folder = Path(address.split('host=')[1])\n"
        "    print((folder / 'data/postmaster.pid').read_text().split()[0], folder, flush=True)\n"
        "    os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.returncode == 9, ended.stderr
    pid, folder = int(ended.stdout.split()[0]), ended.stdout.split()[1]
    until = time.monotonic() + 10
    while _lives(pid):
        assert time.monotonic() < until
        time.sleep(0.05)
    shutil.rmtree(folder)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_full_disk_is_said_in_words_and_what_was_saved_stays(tmp_path: Path) -> None:
    async with opened(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}") as db:
        await db.migrate()
        async with db.write() as session:
            session.add(Person(email="ada@example.test"))
        async with db.read() as session:
            pages = (await (await session.connection()).exec_driver_sql("PRAGMA page_count")).scalar_one()

        async def fill() -> None:
            async with db.write() as session:
                await (await session.connection()).exec_driver_sql(f"PRAGMA max_page_count = {pages}")
                await insert_new(session, Person(email="bob@example.test", name="b" * 200_000))

        with pytest.raises(FullError, match=r"no room left.*Free some space"):
            await fill()
        assert await rows(db) == 1
        async with db.write() as session:
            await (await session.connection()).exec_driver_sql("PRAGMA max_page_count = 1000000")
            session.add(Person(email="bob@example.test"))
        assert await rows(db) == 2
