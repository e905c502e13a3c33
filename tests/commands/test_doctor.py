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


async def test_what_cannot_be_opened_is_said_and_the_rest_is_checked_all_the_same(
    installed: Settings, tmp_path: Path
) -> None:
    await sync(installed)
    (tmp_path / "one").rename(tmp_path / "elsewhere")
    index = tmp_path / "data" / "index"
    index.rename(tmp_path / "away")
    index.write_text("no folder")
    told = {c["name"]: (c["state"], c["message"]) for c in await examine(installed)}
    missing = f"there is nothing at {tmp_path / 'one'}. Correct `path` in assistant.toml, or put it there."
    assert told["source one"] == ("bad", missing)
    assert told["index"][1].startswith(f"The index {index} cannot be opened: Not a directory. Check")
    (tmp_path / "data" / "assistant.db").write_bytes(b"This was a database once. " * 100)
    told = {c["name"]: (c["state"], c["message"]) for c in await examine(installed)}
    assert told["database"][0] == "bad"
    assert "file is not a database" in told["database"][1]
    assert told["models"][0] == "note"
