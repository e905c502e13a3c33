"""What the doctor finds wrong before anybody else does."""

from __future__ import annotations

from pathlib import Path

from assistant.commands.doctor import examine
from assistant.settings import Settings
from tests.commands.conftest import sync
from tests.index.conftest import put


async def found(settings: Settings, cases: Path | None) -> str:
    checks = await examine(settings.model_copy(update={"cases": cases}))
    return next((f"{c['state']}: {c['message']}" for c in checks if c["name"] == "cases"), "")


async def test_cases_that_hold_no_release_are_told_of(installed: Settings, tmp_path: Path) -> None:
    await sync(installed)
    line = (
        '{"id": "1", "turns": ["How long is a holiday?"], "doc": "%s", "answer_contains": ["long"], "kind": "single"}'
    )
    put(tmp_path, {"ours.jsonl": line % "a.md", "foreign.jsonl": line % "elsewhere.md", "broken.jsonl": "{"})
    assert await found(installed, None) == ""
    ours = await found(installed, tmp_path / "ours.jsonl")
    assert ours == "ok: 1 of the 1 that name a document name one of the index"
    foreign = await found(installed, tmp_path / "foreign.jsonl")
    assert foreign.startswith("note: 0 of the 1")
    assert "is about other documents" in foreign
    gone = await found(installed, tmp_path / "gone.jsonl")
    assert gone.startswith("bad: ")
    assert gone.endswith("Correct `cases` in assistant.toml, or remove it.")
    assert (await found(installed, tmp_path / "broken.jsonl")).startswith("bad: ")
