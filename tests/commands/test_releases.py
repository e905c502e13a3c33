from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assistant.commands import releases
from assistant.index import release
from assistant.ops import gate
from assistant.settings import Settings
from tests.commands.conftest import sync
from tests.index.conftest import put


async def test_contradictions_are_those_of_the_release_that_answers_after_going_back_and_after_accepting(
    installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {f"one/{n}.md": f"# {n}\n\nFull-time employees have {n} days of holiday a year." for n in (28, 30)})
    assert (await sync(installed))["contradictions"] == 1
    put(tmp_path, {"one/28.md": "# 28\n\nFull-time employees have 30 days of holiday a year."})
    assert (await sync(installed))["contradictions"] == 0

    async def told(count: int) -> None:
        async with asyncio.timeout(90):
            while (await releases.contradictions(installed))["count"] != count:
                await asyncio.sleep(0.3)

    await releases.activate(installed, 1, "an admin")
    await told(1)

    async def worse(*_: object) -> Any:
        return release.Judgement("It finds less.")

    put(tmp_path, {"one/more.md": "# More\n\nNothing to see."})
    with monkeypatch.context() as patch:
        patch.setattr(gate.RetrievalGate, "__call__", worse)
        held = await sync(installed)
    await releases.accept(installed, held["release"], "an admin")
    await told(0)
