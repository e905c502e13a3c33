"""Showing a talk to colleagues: by a link that its owner makes and ends, for whoever has signed in."""

from __future__ import annotations

import secrets

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import Person, Thread
from assistant.domain import Asker
from assistant.errors import NotFoundError
from assistant.memory.threads import Reopened, opened, own


async def share(db: Database, asker: Asker, thread_id: str) -> str:
    """Open one's own thread to colleagues. Returns the key of its link; one that is open keeps its key."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.share_key = thread.share_key or secrets.token_urlsafe(24)
        session.add(thread)
        return thread.share_key


async def end(db: Database, asker: Asker, thread_id: str) -> None:
    """Close it again; its link opens nothing any more."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.share_key = None
        session.add(thread)


async def shared(db: Database, asker: Asker, key: str) -> tuple[Reopened, str]:
    """The shown branch of a shared thread, and its owner's name.

    What of it the reader may see is decided by their rights, not here. Raises `NotFoundError` when it is not shared,
    deleted, or its owner's account is closed.
    """
    async with db.read() as session:
        statement = (
            select(Thread, Person)
            .join(Person, col(Person.id) == col(Thread.person_id))
            .where(Thread.share_key == key, col(Thread.deleted_at).is_(None), col(Person.active))
        )
        found = (await session.exec(statement)).first() if key else None
        if found is None:
            raise NotFoundError("There is no such shared conversation.", "Ask whoever sent you the link.")
        thread, owner = found
        return await opened(session, thread, asker), owner.name or owner.email
