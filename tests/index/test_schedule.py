from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select, update

from assistant.database.tables import SourceRow
from assistant.domain import now
from assistant.errors import InputError
from assistant.index import schedule
from assistant.settings import Source
from tests.index.conftest import Index

pytestmark = pytest.mark.usefixtures("in_process")


async def row(index: Index, name: str = "share") -> SourceRow:
    async with index.db.read() as session:
        return (await session.exec(select(SourceRow).where(SourceRow.name == name))).one()


async def overdue(index: Index) -> None:
    async with index.db.write() as session:
        await session.exec(update(SourceRow).values(next_run=now() - timedelta(minutes=1)))


def test_the_words_of_cron_tell_the_next_moment_in_utc() -> None:
    moment = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert schedule.following("0 5 * * 1-5", moment) == datetime(2026, 3, 30, 5, tzinfo=UTC)
    assert schedule.following("*/15 * * * *", moment) == datetime(2026, 3, 29, 0, 45, tzinfo=UTC)
    assert schedule.following("", moment) is None


@pytest.mark.parametrize("words", ["daily", "* * * *", "61 * * * *", "* * * * * *", "0 0 31 2 *"])
def test_words_that_are_no_time_are_refused_at_the_start(tmp_path: Path, words: str) -> None:
    with pytest.raises(ValueError, match="five words of cron"):
        Source(name="x", path=tmp_path, schedule=words)


async def test_a_source_is_due_at_its_time_once_and_again_if_no_run_came_to_it(index: Index) -> None:
    source = Source(name="share", path=index.folder, schedule="0 5 * * *")
    await schedule.plan(index.db, [source], index.home)
    assert (await row(index)).next_run == schedule.following("0 5 * * *", now())
    assert await schedule.take_due(index.db, ["share"]) == []
    await overdue(index)
    assert await schedule.take_due(index.db, ["another"]) == []
    assert await schedule.take_due(index.db, ["share"]) == ["share"]
    assert await schedule.take_due(index.db, ["share"]) == []
    again = (await row(index)).next_run
    assert again is not None
    assert timedelta(minutes=4) < again - now() <= schedule.AGAIN


async def test_a_run_notes_what_it_found_of_a_source_and_when_the_next_is(index: Index) -> None:
    source = Source(name="share", path=index.folder, schedule="0 5 * * *")
    await schedule.plan(index.db, [source], index.home)
    await overdue(index)
    await index.sync({"a.md": "# A\n\nText."}, source)
    found = await row(index)
    assert found.last_run is not None
    assert (found.next_run, found.problem) == (schedule.following("0 5 * * *", now()), "")
    index.folder.rename(index.home / "away")
    with pytest.raises(InputError, match="no such folder"):
        await index.sync(None, source)
    assert "no such folder" in (await row(index)).problem


async def test_a_change_of_the_schedule_is_noticed_and_anything_else_leaves_the_time(index: Index) -> None:
    source = Source(name="share", path=index.folder, schedule="0 5 * * *")
    await schedule.plan(index.db, [source], index.home)
    await overdue(index)
    before = (await row(index)).next_run
    await schedule.plan(index.db, [source], index.home)
    assert (await row(index)).next_run == before
    await schedule.plan(index.db, [source.model_copy(update={"schedule": "0 6 * * *"})], index.home)
    assert (await row(index)).next_run == schedule.following("0 6 * * *", now())


async def test_what_was_pushed_brings_the_next_run_near_and_never_puts_it_off(index: Index) -> None:
    source = Source(name="crm", kind="push", schedule="0 5 * * *")
    await schedule.plan(index.db, [source], index.home)
    await schedule.soon(index.db, "crm")
    near = (await row(index, "crm")).next_run
    assert near is not None
    assert near - now() <= schedule.SOON
    await schedule.soon(index.db, "crm")
    assert (await row(index, "crm")).next_run == near


async def test_one_source_that_cannot_be_listed_leaves_the_others_and_its_own_documents(index: Index) -> None:
    other = Source(name="other", path=index.home / "other")
    other.path.mkdir()
    (other.path / "b.md").write_text("# B\n\nLamps of the other.")
    await index.sync({"a.md": "# A\n\nHoliday."}, index.source, other)
    (other.path / "b.md").unlink()
    other.path.rmdir()
    report = await index.sync({"c.md": "# C\n\nTravel."}, index.source, other)
    assert (report.added, report.removed, list(report.problems)) == (1, 0, ["other"])
    assert "b.md" in await index.found("lamps")
    index.embedder.fingerprint = "hash-2"
    report = await index.sync(None, index.source, other)
    assert list(report.problems) == ["other"]
