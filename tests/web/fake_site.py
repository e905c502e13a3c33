"""The whole web edge around a fake installation, as a process: `python -m tests.web.fake_site SETTINGS.json`."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import assistant
from assistant.database.engine import Database
from assistant.database.tables import ReleaseReport
from assistant.settings import Settings


def _let_overtake(turns: Any) -> None:
    """An answer to a question that says so is whole in the moment after its thread was read to be shown.

    Chainlit reads a thread twice: whether the person may connect to it, and then to show it.
    """
    from assistant.web import data_layer

    today, connected = data_layer.texts_today, set[str]()

    async def overtaken(db: Database, asker: Any, opened: Any, language: str) -> Any:
        turn = turns.running(opened.thread.id)
        answer = await today(db, asker, opened, language)
        if turn is not None and "overtake" in turn.question:
            if turn.answer_id in connected:
                await asyncio.wait([turn.task])
            connected.add(turn.answer_id)
        return answer

    data_layer.texts_today = overtaken


def _stub() -> None:
    bootstrap: Any = types.ModuleType("assistant.bootstrap")

    @asynccontextmanager
    async def parts(settings: Settings, **_: Any) -> AsyncIterator[Any]:
        from tests.web.house_fakes import furnished

        made = await furnished(settings, delay=0.03)
        _let_overtake(made.turns)
        yield made
        await made.db.close()

    @asynccontextmanager
    async def database(settings: Settings) -> AsyncIterator[Any]:
        db = Database(settings.database_url)
        await db.migrate()
        yield db
        await db.close()

    async def report(settings: Settings, release_id: int) -> dict[str, Any]:
        """As of a release whose passages are gone: what the gate found, without their texts."""
        async with database(settings) as db, db.read() as session:
            row = await session.get(ReleaseReport, release_id)
        assert row is not None
        return {"release": row.release_id, "against": row.against_id, **row.body}

    bootstrap.serving = parts
    bootstrap.database = database
    bootstrap.settled = lambda: None
    sys.modules["assistant.bootstrap"] = bootstrap
    assistant.bootstrap = bootstrap
    from assistant.commands import releases

    releases.report = report
    for name in ("assistant.index.retrieve", "assistant.chat.turns", "assistant.chat.extract", "assistant.ops.trace"):
        sys.modules[name] = types.ModuleType(name)


if __name__ == "__main__":
    _stub()
    from assistant.web.app import serve

    asyncio.run(serve(Settings.model_validate(json.loads(Path(sys.argv[1]).read_text())), first_index=False))
