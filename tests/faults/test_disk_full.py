"""A full disk is said in words, and what was accepted is kept. `make bench-disk-full POINTS=50` is the long form."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant import bootstrap
from assistant.database.engine import Database
from assistant.database.tables import Message
from assistant.errors import FullError, ReleaseError
from assistant.index import ingest, release
from assistant.memory import people
from assistant.settings import Settings
from tests.index.conftest import Index, in_process, put

__all__ = ["in_process"]


async def limit(db: Database, more: int) -> None:
    """Let the database grow by so many pages and no further; SQLite then says what it says of a full disk."""

    async def work(session: AsyncSession) -> None:
        pages = (await session.exec(text("PRAGMA page_count"))).scalar_one()  # type: ignore[call-overload]
        await session.exec(text(f"PRAGMA max_page_count = {pages + more}"))  # type: ignore[call-overload]

    # SQLite counts it for each connection.
    async with db.write() as session:
        await work(session)
    await db.writing(work)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("more", [0, 1, 3])
async def test_answers_and_runs_say_that_the_disk_is_full_and_go_on_when_it_is_not(tmp_path: Path, more: int) -> None:
    async with bootstrap.parts(Settings(data=tmp_path)) as parts:
        index = Index(tmp_path, parts.db)
        await index.sync({"a.md": "# Trains\n\nTrains are booked in second class."})
        asker = people.asker_of(await people.add(parts.db, "ada@example.test"))
        kept = await parts.answer(asker, "How are trains booked?", str(uuid4()))
        await limit(parts.db, more)

        async def ask_on() -> None:
            for _ in range(6):
                await parts.answer(asker, f"How are trains booked? {'please ' * 300}", str(uuid4()))

        with pytest.raises(FullError, match="Free some space"):
            await ask_on()
        put(index.folder, {f"{n}.md": f"# Page {n}\n\nText of page {n}." for n in range(60)})
        with pytest.raises((ReleaseError, FullError), match="no room"):
            await ingest.sync(index.parts, [index.source])
        assert (await release.open_active(parts.db, index.store))[0].id == 1
        await limit(parts.db, 100_000)
        assert (await index.sync()).added == 60
        again = await parts.answer(asker, "How are trains booked?", str(uuid4()))
        async with parts.db.read() as session:
            rows = (await session.exec(select(Message).where(Message.role == "assistant"))).all()
        complete = {m.id for m in rows if m.state == "complete"}
        assert {kept.id, again.id} <= complete
