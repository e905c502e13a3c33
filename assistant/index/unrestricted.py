"""Search over one release, whoever may read what: for the gate and for admins, never for an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker
from assistant.index.rerank import Reader
from assistant.index.retrieve import Found, Opened, Pinned
from assistant.index.store import Store


class Watched(Pinned):
    """Keeps what it was told of the stages of its last search."""

    def __init__(self, db: Database, store: Store, embedder: Reader, held: Opened) -> None:
        super().__init__(db, store, embedder, held)
        self.stages: dict[str, dict[str, float]] = {}

    def _watch(self, stage: str, scores: Mapping[str, float]) -> None:
        self.stages[stage] = dict(scores)


class Unrestricted(Watched):
    """The very search that answers people, with every rule admitted and documents that are not live yet."""

    async def _rules(self, session: AsyncSession, asker: Asker) -> list[int]:
        return [i for i in (await session.exec(select(AccessRule.id))).all() if i is not None]

    async def _readable(
        self, session: AsyncSession, rules: Sequence[int], documents: Iterable[int]
    ) -> dict[int, DocumentRow]:
        statement = select(DocumentRow).where(col(DocumentRow.id).in_(set(documents)))
        return {d.id: d for d in (await session.exec(statement)).all() if d.id is not None}

    async def everything(self, query: str, k: int, before: Sequence[tuple[str, float]] = ()) -> Found:
        """The best `k` passages of the release."""
        return await self.search(_NOBODY, query, k, before)


_NOBODY = Asker(person_id="", email="")
