"""Which of the sources a run takes, and what is said of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistant import bootstrap
from assistant.commands import indexing
from assistant.errors import InputError
from assistant.index import release
from assistant.ops import gate
from assistant.settings import Settings
from tests.commands.conftest import sync
from tests.index.conftest import put


async def states(settings: Settings) -> dict[str, dict[str, Any]]:
    async with bootstrap.database(settings) as db:
        return {s["source"]: s for s in await indexing.source_states(settings, db)}


async def test_a_run_of_one_source_leaves_the_others_as_they_are(installed: Settings, tmp_path: Path) -> None:
    await sync(installed)
    put(tmp_path, {"one/new.md": "# New\n\nText.", "two/b.md": None})
    report = await sync(installed, "one")
    assert (report["added"], report["removed"], report["documents"]) == (1, 0, 3)
    assert (await sync(installed, "two"))["removed"] == 1
    with pytest.raises(InputError, match="There is no source three"):
        await sync(installed, "three")


async def test_what_is_held_of_one_source_is_not_dropped_by_a_run_of_another(
    installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync(installed)

    async def worse(*_: object) -> Any:
        return release.Judgement("It finds less.")

    with monkeypatch.context() as patch:
        patch.setattr(gate.RetrievalGate, "__call__", worse)
        put(tmp_path, {"one/a.md": "# A\n\nLess."})
        assert (await sync(installed, "one"))["held"] == "It finds less."
        put(tmp_path, {"two/c.md": "# C\n\nMore."})
        # It takes the held change along, and so waits for the admin too.
        report = await sync(installed, "two")
    assert (report["held"], report["added"], report["changed"]) == ("It finds less.", 1, 1)


async def test_each_source_tells_its_documents_its_runs_and_what_is_wrong(installed: Settings, tmp_path: Path) -> None:
    new = await states(installed)
    assert [(s["state"], s["documents"], s["last_run"]) for s in new.values()] == [("new", 0, None)] * 2
    assert (new["one"]["next_run"][11:16], new["two"]["next_run"]) == ("05:00", None)
    put(tmp_path, {"one/broken.pdf": "no pdf", "one/blank.txt": " "})
    await sync(installed)
    (tmp_path / "two").rename(tmp_path / "away")
    report = await sync(installed)
    told = await states(installed)
    assert {k: told["one"][k] for k in ("state", "documents", "empty", "failed")} == {
        "state": "read", "documents": 1, "empty": 1, "failed": 1
    }  # fmt: skip
    assert (told["two"]["state"], told["two"]["documents"]) == ("failed", 1)
    assert told["two"]["problem"] == report["problems"]["two"]
    (tmp_path / "one").rename(tmp_path / "away too")
    with pytest.raises(InputError, match="of one: there is no folder"):
        await sync(installed)
