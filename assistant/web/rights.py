"""Which documents a person may read today, for what was stored under the rights of another day."""

from __future__ import annotations

from collections.abc import Iterable

from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.index import access


async def readable(db: Database, asker: Asker, document_ids: Iterable[int]) -> set[int]:
    """Those of the documents that are still there and that the asker may read now."""
    wanted = set(document_ids)
    if not wanted:
        return set()
    async with db.read() as session:
        return set(await access.allowed(session, await access.rules_of(session, asker), wanted))
