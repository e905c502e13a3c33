"""Search over one release, whoever may read what: for the gate and for admins, never for an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker
from assistant.index.retrieve import Found, Pinned
from assistant.index.scoring import Stages


class Watched(Pinned):
    """Keeps the stages of its last search."""

    stages: Stages

    def _watch(self, found: Stages) -> None:
        self.stages = found


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
