"""The wiring of sources: which of them a run takes, and what is said of each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assistant import bootstrap
from assistant.database.tables import ReleaseRow
from assistant.domain import ADMINS, EVERYONE, Asker
from assistant.errors import InputError, NotFoundError
from assistant.index import filling, release
from assistant.index.embed import embedder_from
from assistant.index.explain import explain
from assistant.memory import people
from assistant.ops import gate
from assistant.settings import AccessEntry, IndexSettings, Policy, Settings, Source
from tests.index.conftest import HashEmbedder, InThisProcess, put


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    embedder = HashEmbedder()
    monkeypatch.setattr(bootstrap, "_embedder", lambda *_, **__: embedder)
    monkeypatch.setattr(filling, "Workers", InThisProcess)
    put(tmp_path, {"one/a.md": "# A\n\nHoliday.", "two/b.md": "# B\n\nTravel."})
    sources = [
        Source(name="one", path=tmp_path / "one", schedule="0 5 * * *"), Source(name="two", path=tmp_path / "two")
    ]  # fmt: skip
    return Settings(data=tmp_path / "data", sources=sources)


async def sync(settings: Settings, *only: str) -> dict[str, Any]:
    return await bootstrap.sync(settings, [], "test", only=only)


async def states(settings: Settings) -> dict[str, dict[str, Any]]:
    async with bootstrap.database(settings) as db:
        return {s["source"]: s for s in await bootstrap.source_states(settings, db)}


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


async def test_what_other_groups_would_change_for_somebody_is_told_before_it_holds(
    installed: Settings, tmp_path: Path
) -> None:
    entry = AccessEntry(match="**", groups=["sales"])
    two = installed.sources[1].model_copy(update={"access": [entry]})
    settings = installed.model_copy(update={"sources": [installed.sources[0], two]})
    await sync(settings)
    async with bootstrap.database(settings) as db:
        await people.add(db, "ada@example.test", groups=["old"])
    for dry_run, kept in ((True, ["old"]), (False, ["sales"])):
        told = await bootstrap.set_groups(settings, "ada@example.test", [" sales"], dry_run=dry_run)
        assert told["groups"] == ["sales"]
        assert told["change"] == {"person": "ada@example.test", "gains": ["b.md"], "loses": []}
        async with bootstrap.database(settings) as db:
            person = await people.by_email(db, "ada@example.test")
            assert person is not None
            assert person.groups == kept
    told = await bootstrap.set_groups(settings, "ada@example.test", [""], dry_run=True)
    assert told["change"]["loses"] == ["b.md"]
    with pytest.raises(NotFoundError, match="no account"):
        await bootstrap.set_groups(settings, "bob@example.test", ["sales"], dry_run=True)


async def test_a_question_searched_as_somebody_else_says_whether_they_would_be_answered(installed: Settings) -> None:
    chat = installed.chat.model_copy(update={"answer_threshold": 0.05, "weak_threshold": 0.01})
    settings = installed.model_copy(update={"chat": chat})
    await sync(settings)
    async with bootstrap.parts(settings, answering=False) as parts:
        admin, everyone, nobody = (
            Asker(person_id="p", email="a@example.test", groups=frozenset({g})) for g in (ADMINS, EVERYONE, "none")
        )
        for who, level in ((everyone, "answered"), (nobody, "declined")):
            told = await explain(parts.db, parts.knowledge, admin, who, "Holiday")
            assert bootstrap.outcome(parts, told).level == level


async def test_contradictions_are_those_of_the_release_that_answers_after_going_back_and_after_accepting(
    installed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {f"one/{n}.md": f"# {n}\n\nFull-time employees have {n} days of holiday a year." for n in (28, 30)})
    assert (await sync(installed))["contradictions"] == 1
    put(tmp_path, {"one/28.md": "# 28\n\nFull-time employees have 30 days of holiday a year."})
    assert (await sync(installed))["contradictions"] == 0

    async def told(count: int) -> None:
        async with asyncio.timeout(90):
            while (await bootstrap.contradictions(installed))["count"] != count:
                await asyncio.sleep(0.3)

    await bootstrap.activate(installed, 1, "an admin")
    await told(1)

    async def worse(*_: object) -> Any:
        return release.Judgement("It finds less.")

    put(tmp_path, {"one/more.md": "# More\n\nNothing to see."})
    with monkeypatch.context() as patch:
        patch.setattr(gate.RetrievalGate, "__call__", worse)
        held = await sync(installed)
    await bootstrap.accept(installed, held["release"], "an admin")
    await told(0)


async def test_a_release_made_before_there_was_a_table_of_words_is_searched_with_the_codes_it_has() -> None:
    provider = {"embedder": "openai/e", "embedder_api_base": "http://127.0.0.1:9/v1"}
    now_, then = (
        Settings(index=IndexSettings.model_validate({**provider, "word_codes": kind})) for kind in ("table", "model")
    )
    made = embedder_from(then)
    row = ReleaseRow(table_name="t", embedder=made.fingerprint, embedded_by={**provider, "embedder_api_key_env": ""})
    found = bootstrap._embedder_of(now_, embedder_from(now_))(row)
    assert found is not None
    assert (found.word_codes, found.fingerprint) == ("model", made.fingerprint)


async def test_a_group_that_no_rule_and_no_policy_names_is_told(installed: Settings) -> None:
    entry = AccessEntry(match="**", groups=["sales"])
    two = installed.sources[1].model_copy(update={"access": [entry]})
    policy = Policy(topics=["salary"], except_groups=["hr"])
    settings = installed.model_copy(update={"sources": [installed.sources[0], two], "policies": [policy]})
    async with bootstrap.database(settings) as db:
        await people.add(db, "ada@example.test")
    told = await bootstrap.set_groups(settings, "ada@example.test", ["sales", "hr", ADMINS, "slaes"], dry_run=False)
    assert told["unknown"] == ["slaes"]
    async with bootstrap.database(settings) as db:
        person = await people.by_email(db, "ada@example.test")
        assert person is not None
        assert "slaes" in person.groups, "it is said, and not refused"
