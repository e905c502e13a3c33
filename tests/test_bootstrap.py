from __future__ import annotations

import shutil
from typing import Any

import pytest

from assistant import bootstrap
from assistant.database.tables import ReleaseRow
from assistant.domain import ADMINS, EVERYONE, Asker
from assistant.index.embed import embedder_from
from assistant.index.explain import explain
from assistant.ops import runs
from assistant.settings import IndexSettings, Settings
from tests.commands.conftest import installed, sync

__all__ = ["installed"]


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


async def test_a_release_made_before_there_was_a_table_of_words_is_searched_with_the_codes_it_has() -> None:
    provider = {"embedder": "openai/e", "embedder_api_base": "http://127.0.0.1:9/v1"}
    now_, then = (
        Settings(index=IndexSettings.model_validate({**provider, "word_codes": kind})) for kind in ("table", "model")
    )
    made = embedder_from(then)
    row = ReleaseRow(table_name="t", embedder=made.fingerprint, embedded_by={**provider, "embedder_api_key_env": ""})
    found = bootstrap.embedders(now_, embedder_from(now_))(row)
    assert found is not None
    assert (found.word_codes, found.fingerprint) == ("model", made.fingerprint)


async def test_a_start_makes_the_index_anew_only_where_none_of_it_can_be_searched(
    installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    async def start(_: Settings, by: str, **__: Any) -> int:
        started.append(by)
        return 1

    monkeypatch.setattr(runs, "start", start)
    await sync(installed)
    index = installed.data / "index"
    async with bootstrap.serving(installed):
        assert started == []
    away = index.rename(installed.data / "away")
    index.write_text("its disk is not there")
    async with bootstrap.serving(installed):
        assert started == []
    index.unlink()
    async with bootstrap.serving(installed):
        assert started == ["damage check"]
    shutil.rmtree(index, ignore_errors=True)
    away.rename(index)
    async with bootstrap.serving(installed):
        assert started == ["damage check"]
