"""A source that is due is indexed by itself, by a real process that reads the settings of the installation."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from sqlmodel import col, select

from assistant import settings
from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, OutboxRow, RunRow, SourceRow
from assistant.domain import now
from assistant.index import schedule
from assistant.index.sources.push import About, Push
from assistant.ops import runs

CONFIG = """
[[sources]]
name = "share"
path = "share"
schedule = "0 5 * * *"

[[sources]]
name = "crm"
kind = "push"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    (tmp_path / "share").mkdir()
    (tmp_path / "share/a.md").write_text("# A\n\nText.")
    file = tmp_path / "assistant.toml"
    file.write_text(f'models_dir = "{settings.load().models_dir}"\n{CONFIG}')
    monkeypatch.setenv("ASSISTANT_CONFIG", str(file))
    return settings.load(file, tmp_path / "data")


@pytest.fixture
async def own(installed: settings.Settings) -> Database:
    db = Database(installed.database_url)
    await db.migrate()
    return db


async def test_what_was_pushed_is_indexed_by_itself_and_other_sources_wait_for_their_time(
    installed: settings.Settings, own: Database
) -> None:
    assert await runs.start_due(installed, own) == []
    Push(installed.sources[1], installed.data / "sources/crm").put("acme.md", About(), b"# Acme\n\nLamps.")
    await schedule.soon(own, "crm")
    while not (started := await runs.start_due(installed, own)):
        await asyncio.sleep(0.2)
    assert started == ["crm"]
    # While it is under way nothing else is started, and what is due stays so.
    await schedule.soon(own, "crm")
    while runs.is_starting():
        assert await runs.start_due(installed, own) == []
        await asyncio.sleep(0.2)
    async with own.read() as session:
        (run,) = (await session.exec(select(RunRow))).all()
        documents = {d.path: d.state for d in (await session.exec(select(DocumentRow))).all()}
        rows = {s.name: s for s in (await session.exec(select(SourceRow).order_by(col(SourceRow.name)))).all()}
    assert (run.state, run.started_by) == ("done", "schedule")
    assert documents == {"acme.md": "indexed"}
    assert rows["crm"].last_run is not None
    assert rows["share"].last_run is None
    assert rows["share"].next_run == schedule.following("0 5 * * *", now())
    await own.close()


async def test_why_a_run_could_not_begin_stands_in_the_log_and_where_runs_are_looked_for(
    installed: settings.Settings, own: Database, caplog: pytest.LogCaptureFixture
) -> None:
    told = installed.model_copy(update={"alerts": settings.AlertSettings(email=["ops@demo.example"])})
    await runs.start(told, "somebody", only=["nowhere"])
    while runs.is_starting():
        await asyncio.sleep(0.1)
    assert "exit code 2: " in caplog.text
    assert "nowhere" in caplog.text
    async with own.read() as session:
        (run,) = (await session.exec(select(RunRow))).all()
        (alert,) = (await session.exec(select(OutboxRow))).all()
    assert (run.state, run.started_by) == ("failed", "somebody")
    assert "There is no source nowhere." in run.message
    assert run.finished_at is not None
    assert "could not begin: There is no source nowhere." in alert.payload["text"]
    await own.close()


async def test_a_run_that_another_one_keeps_from_beginning_is_no_failure(
    installed: settings.Settings, own: Database
) -> None:
    async with own.write() as session:
        session.add(RunRow(started_by="other", host="elsewhere", pid=1))
    await runs.start(installed, "somebody", only=["nowhere"])
    while runs.is_starting():
        await asyncio.sleep(0.1)
    async with own.read() as session:
        assert [r.started_by for r in (await session.exec(select(RunRow))).all()] == ["other"]
    await own.close()


async def test_a_run_that_is_killed_is_told_at_once(
    installed: settings.Settings, own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its row is there, and while it runs, its process dies without a word."""
    told = installed.model_copy(update={"alerts": settings.AlertSettings(email=["ops@demo.example"])})
    for before in (True, False):
        pid = await runs.start(told, "somebody")
        while not before and runs.is_starting():
            async with own.read() as session:
                if (await session.exec(select(RunRow).where(RunRow.state == "running"))).first() is not None:
                    break
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        while runs.is_starting():
            await asyncio.sleep(0.05)
    async with own.read() as session:
        rows = (await session.exec(select(RunRow).order_by(col(RunRow.id)))).all()
        alerts = [r.payload for r in (await session.exec(select(OutboxRow).order_by(col(OutboxRow.seq)))).all()]
    assert [(r.state, r.started_by) for r in rows] == [("abandoned", "somebody")] * 2
    assert [a["event"] for a in alerts] == ["run failed"] * 2
    assert "Indexing run 2 was killed (signal 9)" in alerts[1]["text"]
    await own.close()


def test_of_an_error_that_is_not_ours_the_log_has_the_kind_alone() -> None:
    said = b'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: the text of a document'
    assert runs._why(said) == ": ValueError"
    assert runs._why(said + b"\nand a second line of it") == ": ValueError"
    assert (
        runs._why(b"a parser: the text of a document\nThere is no room. Free some.\n")
        == ": There is no room. Free some."
    )
    assert runs._why(b"") == ""
