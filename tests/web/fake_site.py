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


def _stub() -> None:
    bootstrap: Any = types.ModuleType("assistant.bootstrap")

    @asynccontextmanager
    async def parts(settings: Settings, **_: Any) -> AsyncIterator[Any]:
        from tests.web.house_fakes import furnished

        made = await furnished(settings, delay=0.03)
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
    bootstrap.report = report
    bootstrap.database = database
    bootstrap.demo_accounts = lambda _: []
    sys.modules["assistant.bootstrap"] = bootstrap
    assistant.bootstrap = bootstrap
    for name in ("assistant.index.retrieve", "assistant.chat.turns", "assistant.chat.extract", "assistant.ops.trace"):
        sys.modules[name] = types.ModuleType(name)


if __name__ == "__main__":
    _stub()
    from assistant.web.app import serve

    asyncio.run(serve(Settings.model_validate(json.loads(Path(sys.argv[1]).read_text())), first_index=False))
