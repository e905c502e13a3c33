"""Work on SQLite that runs whole, in one go.

An asynchronous session goes back to the event loop several times for each statement. While fifty people ask, each of
these waits is milliseconds, and a writer keeps all others out meanwhile: opening a turn took a second. The same
coroutine, given a session that never waits, runs from its start to its end: where it writes, on a thread that may wait
for the disk; where it looks up a few rows, right here, for nine tenths of that are Python's own work anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Engine
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]


class _Here:
    """The part of `AsyncSession` that such work may use, on a session of this thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.add, self.get_bind = session.add, session.get_bind

    async def exec(self, statement: Any, **options: Any) -> Any:
        return self._session.exec(statement, **options)

    async def get(self, *key: Any, **options: Any) -> Any:
        return self._session.get(*key, **options)


def run(engine: Engine, work: Work[T], *, commit: bool) -> T:
    """Run `work` to its end on the calling thread. It may await nothing but its session."""
    with Session(engine, expire_on_commit=False) as session:
        session.connection()  # begins
        coroutine = cast(Any, work(cast(AsyncSession, _Here(session))))
        try:
            coroutine.send(None)
        except StopIteration as done:
            if commit:
                session.commit()
            return cast(T, done.value)
        coroutine.close()
        raise RuntimeError("work on a session at once awaited something else")
