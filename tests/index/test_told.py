"""What goes wrong with a run is noted for those who are to hear of it, in the transaction that notes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from assistant.database.tables import OutboxRow, ReleaseRow, RunRow
from assistant.domain import now
from assistant.errors import InputError
from assistant.index import ingest, release
from assistant.index.release import Judgement
from assistant.index.run import Report
from assistant.settings import Source
from tests.index.conftest import Index, put

pytestmark = pytest.mark.usefixtures("in_process")
FILES = {"a.md": "# A\n\nHoliday.", "b.md": "# B\n\nTravel."}


async def told(index: Index) -> list[tuple[str, str]]:
    async with index.db.read() as session:
        rows = (await session.exec(select(OutboxRow).order_by(col(OutboxRow.seq)))).all()
    assert {r.subject for r in rows} <= {"webhook"}
    return [(r.payload["event"], r.payload["text"]) for r in rows]


async def run(index: Index, *sources: Source, check: release.Check | None = None) -> Report:
    parts = replace(index.parts, alerts=("webhook",), check=check)
    return await ingest.sync(parts, sources or [index.source], started_by="test")


async def test_a_run_that_fails_is_told_with_its_reason_and_one_that_ends_well_is_not(index: Index) -> None:
    put(index.folder, FILES)
    await run(index)
    assert await told(index) == []
    index.folder.rename(index.home / "away")
    with pytest.raises(InputError):
        await run(index)
    ((event, text),) = await told(index)
    assert event == "run failed"
    assert "no such folder" in text


async def test_a_run_that_was_killed_is_told_by_the_next_one(index: Index) -> None:
    async with index.db.write() as session:
        session.add(RunRow(started_by="somebody", beat_at=now()))
    put(index.folder, FILES)
    await run(index)
    assert [event for event, _ in await told(index)] == ["run failed"]


async def test_a_release_that_is_held_is_told_once_while_nothing_about_it_changes(index: Index) -> None:
    reason = "hit@5 fell from 0.9 to 0.7."

    async def gate(made: ReleaseRow, against: ReleaseRow, removed: object) -> Judgement:
        return Judgement(reason)

    put(index.folder, FILES)
    await run(index)
    for text in ("Less.", "Even less."):
        put(index.folder, {"a.md": f"# A\n\n{text}"})
        assert (await run(index, check=gate)).held == reason
    assert [event for event, _ in await told(index)] == ["release held"]
    reason = "hit@5 fell from 0.9 to 0.1."
    put(index.folder, {"a.md": "# A\n\nNothing."})
    await run(index, check=gate)
    texts = [text for _, text in await told(index)]
    assert len(texts) == 2
    assert "0.1" in texts[1]
    assert "Nothing" not in " ".join(texts)


async def test_a_source_that_cannot_be_read_is_told_when_that_begins(index: Index) -> None:
    other = Source(name="other", path=Path(index.home / "none"))
    put(index.folder, FILES)
    for _ in range(3):
        await run(index, index.source, other)
    assert [event for event, _ in await told(index)] == ["source unreadable"]
    other.path.mkdir()
    (other.path / "x.md").write_text("# X\n\nText.")
    await run(index, index.source, other)
    other.path.rename(index.home / "away")
    await run(index, index.source, other)
    assert [event for event, _ in await told(index)] == ["source unreadable"] * 2
