"""Which documents a person may read today, for what was stored under the rights of another day."""

from __future__ import annotations

from collections.abc import Iterable

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.domain import Asker
from assistant.index import access


async def documents(db: Database, asker: Asker, document_ids: Iterable[int]) -> dict[int, DocumentRow]:
    """Those of the documents that are still there and that the asker may read now."""
    wanted = set(document_ids)
    return await db.reading(lambda session: access.readable(session, asker, wanted)) if wanted else {}


async def readable(db: Database, asker: Asker, document_ids: Iterable[int]) -> set[int]:
    """The ids of those."""
    return set(await documents(db, asker, document_ids))
