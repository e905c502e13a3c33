"""SQLite's statements in one visit each to the thread that has the connection.

SQLAlchemy's adapter visits it four times: cursor, execute, fetchall, close. Each visit waits for a turn of the event
loop, and a writer keeps the others out meanwhile: at fifty people asking, opening a turn waited a second for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util.concurrency import await_


class OneVisitCursor(AsyncAdapt_aiosqlite_cursor):
    """Runs a statement and takes all its rows at once, as the adapter does."""

    __slots__ = ("_description", "_lastrowid", "_rowcount")

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._rows = deque()
        self._description: Any = None
        self._rowcount = -1
        self._lastrowid: Any = None

    @property
    def description(self) -> Any:
        return self._description

    @property
    def rowcount(self) -> int:
        return self._rowcount

    @property
    def lastrowid(self) -> Any:
        return self._lastrowid

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        self._visit("execute", operation, () if parameters is None else parameters)
        return self

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        self._visit("executemany", operation, seq_of_parameters)
        return self

    def _visit(self, method: str, *arguments: Any) -> None:
        def there() -> tuple[Any, int, Any, Sequence[Any]]:
            cursor = self._connection._conn.cursor()
            try:
                getattr(cursor, method)(*arguments)
                rows = cursor.fetchall() if cursor.description else ()
                return cursor.description, cursor.rowcount, cursor.lastrowid, rows
            finally:
                cursor.close()

        async def visit() -> tuple[Any, int, Any, Sequence[Any]]:
            async with self._adapt_connection._execute_mutex:
                return await self._connection._execute(there)  # type: ignore[no-any-return]

        try:
            self._description, self._rowcount, self._lastrowid, rows = await_(visit())
        except Exception as error:  # noqa: BLE001 - handed to the adapter, which raises its own kind
            self._adapt_connection._handle_exception(error)
        self._rows = deque(rows)

    async def _async_soft_close(self) -> None:
        """The cursor is closed already."""

    def close(self) -> None:
        self._rows.clear()


def install() -> None:
    """From now on connections of aiosqlite use it."""
    AsyncAdapt_aiosqlite_connection._cursor_cls = OneVisitCursor
