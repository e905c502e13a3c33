"""The door to SQL: SQLite (WAL) or Postgres, one reading and one writing engine."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, inspect, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database import at_once
from assistant.database.at_once import T, Work
from assistant.errors import BusyError, FullError, SettingsError, UnreachableError

MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic keeps its context in module globals: one migration at a time in a process.
_migrating = threading.Lock()
# NUL, which Postgres refuses, and lone surrogates, which no database takes; a browser can send both.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    return type(value)(map(_storable, value)) if isinstance(value, tuple | list) else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _clean_parameters(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    return statement, _storable(parameters)


async def insert_new(session: AsyncSession, row: SQLModel) -> bool:
    """Insert a row, or return False when its key is already taken. The session does not hold the row."""
    kind = type(row)
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    told = {a.key: getattr(row, a.key) for a in inspect(kind).column_attrs}
    statement = dialect.insert(kind).values({k: v for k, v in told.items() if v is not None})
    return bool((await session.exec(statement.on_conflict_do_nothing())).rowcount)


def _newest() -> str | None:
    """The newest migration that this version has."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _busy() -> BusyError:
    return BusyError("The database is in use by another process.", "Try again in a moment.")


# How SQLite and Postgres word it that there is no room; SQLite calls it "disk I/O error" where it opens its files.
_FULL = ("disk is full", "no space left")
_LITTLE = 1_000_000
# How SQLite words it that its file is not to be had.
_GONE = ("unable to open database file", "readonly database", "disk I/O error", "not a database", "is malformed")


def _full() -> FullError:
    return FullError(
        "There is no room left on the disk of the database, so this could not be kept; what was saved before is.",
        "Free some space and try again.",
    )


def _unreachable() -> UnreachableError:
    return UnreachableError(
        "The database does not answer; what was saved before is kept.",
        "Try again in a moment; if it stays, tell your admin.",
    )


def _connect(dialect: Dialect, _record: Any, given: Any, named: Any) -> Any:
    """Connect to a server, which may be down just now: that is no fault of whoever asks."""
    try:
        return dialect.connect(*given, **named)
    except (OSError, dialect.loaded_dbapi.Error) as error:
        raise _unreachable() from error


def _prepare(engine: Engine, begin: str) -> None:
    """Make SQLite's connections what they must be, and begin every transaction with `begin`."""

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        # SQLite's own folds ASCII only: a search for "über" must find "Über", as on Postgres.
        connection.create_function("lower", 1, _lower, deterministic=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "before_cursor_execute", _clean_parameters, retval=True)


# The values of a statement are what people and documents say: they stand in no log line and in no error's text.
_QUIET: dict[str, Any] = {"hide_parameters": True}


class _Connection(sqlite3.Connection):
    """A connection that lets go of its locks when it is closed.

    SQLite keeps one open, with its transaction, while a result of it is not read to its end and still referred to, as
    by the traceback of who was stopped in the middle (https://sqlite.org/c3ref/close.html); nobody could write then.
    """

    def close(self) -> None:
        # Closed already, or on a disk that fails: then nothing of it holds a lock.
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()


class _AtOnce:
    """SQLite for work that runs at once: `here` on the thread that asks and never waits, the others on their own."""

    def __init__(self, url: URL, busy_s: float) -> None:
        def engine(wait_s: float, begin: str) -> Engine:
            given = {"timeout": wait_s, "factory": _Connection}
            made = create_engine(url, pool_size=1, max_overflow=0, connect_args=given, **_QUIET)
            _prepare(made, begin)
            return made

        self.here = engine(0, "BEGIN")
        self.reader, self.reading = engine(busy_s, "BEGIN"), ThreadPoolExecutor(1, "reading")
        self.writer, self.writing = engine(busy_s, "BEGIN IMMEDIATE"), ThreadPoolExecutor(1, "writing")

    def close(self) -> None:
        self.reading.shutdown()
        self.writing.shutdown()
        for engine in (self.here, self.reader, self.writer):
            engine.dispose()


class Database:
    """Sessions on one database.

    SQLite takes a lock when a transaction first writes, and a transaction that began as a reader cannot wait for
    it: it fails with "database is locked" at once, whatever the timeout (https://sqlite.org/isolation.html,
    SQLITE_BUSY_SNAPSHOT). So `write()` takes the lock at its start, through an engine of its own with one connection.
    """

    def __init__(self, url: str, busy_s: float = 15) -> None:
        self.url = url
        address = make_url(url)
        self.is_sqlite = address.get_backend_name() == "sqlite"
        self._at_once: _AtOnce | None = None
        if self.is_sqlite:
            if (name := address.database) and name != ":memory:":
                try:
                    Path(name).parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise SettingsError(
                        f"data: the folder {Path(name).parent} cannot be made: {error.strerror}.", "Name another one."
                    ) from error
                self._at_once = _AtOnce(address.set(drivername="sqlite"), busy_s)
            given = {"timeout": busy_s, "factory": _Connection}
            options: dict[str, Any] = {"pool_timeout": busy_s + 5, "connect_args": given, **_QUIET}
            self._reader = create_async_engine(url, pool_size=4, max_overflow=0, **options)
            self._writer = create_async_engine(url, pool_size=1, max_overflow=0, **options)
            _prepare(self._reader.sync_engine, "BEGIN")
            _prepare(self._writer.sync_engine, "BEGIN IMMEDIATE")
        else:
            self._reader = self._writer = create_async_engine(
                url, pool_size=10, max_overflow=10, pool_pre_ping=True, **_QUIET
            )
            event.listen(self._reader.sync_engine, "before_cursor_execute", _clean_parameters, retval=True)
            event.listen(self._reader.sync_engine, "do_connect", _connect)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading; nothing in it is committed."""
        with self._in_words():
            async with AsyncSession(self._reader, expire_on_commit=False) as session:
                yield session

    async def reading(self, work: Work[T]) -> T:
        """`work` with a session for reading, at once: see `at_once`.

        It looks up a few rows by their keys and may be done twice: on SQLite it is done here, where that takes less
        time than to wake a thread, and once more on a thread where another process keeps it from reading.
        """
        if self._at_once is None:
            async with self.read() as session:
                return await work(session)
        with self._in_words():
            try:
                return at_once.run(self._at_once.here, work, commit=False)
            except OperationalError as error:
                if "database is locked" not in str(error.orig):
                    raise
            run = partial(at_once.run, self._at_once.reader, work, commit=False)
            return await asyncio.get_running_loop().run_in_executor(self._at_once.reading, run)

    async def writing(self, work: Work[T]) -> T:
        """`work` in a transaction of `write`, at once: see `at_once`."""
        if self._at_once is None:
            async with self.write() as session:
                return await work(session)
        run = partial(at_once.run, self._at_once.writer, work, commit=True)
        with self._in_words():
            return await asyncio.get_running_loop().run_in_executor(self._at_once.writing, run)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if "database is locked" in str(error.orig):
                raise _busy() from error
            if self._is_full(error):
                raise _full() from error
            if error.connection_invalidated or self._is_gone(error):
                raise _unreachable() from error
            raise
        except PoolTimeoutError as error:
            raise _busy() from error

    def _is_gone(self, error: DBAPIError) -> bool:
        """Whether SQLite's file can no longer be opened, read or written."""
        return self.is_sqlite and any(words in str(error.orig) for words in _GONE)

    def _is_full(self, error: BaseException | None) -> bool:
        """Whether there is no room. SQLite then ends the transaction, so what is raised may be of its savepoint."""
        while error is not None:
            told = str(error).lower()
            if any(words in told for words in _FULL):
                return True
            if "disk i/o error" in told and self.is_sqlite and (name := make_url(self.url).database):
                return shutil.disk_usage(Path(name).parent).free < _LITTLE
            error = error.__context__
        return False

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at its end and rolls back on any error.

        Raises `BusyError` when it cannot begin, `FullError` when there is no room for what it writes,
        `UnreachableError` when the database is gone.
        """
        with self._in_words():
            async with AsyncSession(self._writer, expire_on_commit=False) as session, session.begin():
                await session.connection()
                yield session

    async def migrate(self) -> None:
        """Bring the schema to the newest version; safe when several processes start at once.

        Raises `BusyError` when another process holds the database, `SettingsError` when it cannot be reached, or a
        newer version of the program has made it: then nothing in it is touched.
        """
        try:
            await asyncio.to_thread(self._upgrade)
        except CommandError as error:
            if not isinstance(unknown := error.__cause__, ResolutionError):
                raise  # a fault of the migrations
            raise SettingsError(
                f"The database is of a newer version of assistant: its schema is {unknown.argument}, and this version "
                f"knows {_newest()} at most.",
                "Start the newer version, or restore the data from before the upgrade.",
            ) from error
        except ProgrammingError:
            raise  # a fault of the migration, not of the database
        except DBAPIError as error:
            if "database is locked" in str(error.orig):
                raise _busy() from error
            if self._is_full(error):
                raise _full() from error
            raise self._unusable(str(error.orig)) from error
        except OSError as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> SettingsError:
        address, reason = make_url(self.url), " ".join(reason.split())[:200]
        if self.is_sqlite:
            return SettingsError(
                f"The database {address.database} cannot be used: {reason}.",
                "Let assistant read and write it and its folder, or restore it where it is damaged.",
            )
        return SettingsError(
            f"database.url: {address.render_as_string(hide_password=True)} cannot be used: {reason}.",
            "Start that server, or correct the address.",
        )

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["url"] = self.url
        with _migrating:
            command.upgrade(config, "head")

    async def schema_is_current(self) -> bool:
        """Whether the schema is at the newest migration."""
        head = _newest()

        def current(connection: Connection) -> str | None:
            return MigrationContext.configure(connection).get_current_revision()

        try:
            async with self._reader.connect() as connection:
                return await connection.run_sync(current) == head
        except (DBAPIError, UnreachableError):
            return False

    async def close(self) -> None:
        if self._at_once is not None:
            await asyncio.to_thread(self._at_once.close)
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()
