"""An answer of the past comes out the same under the same parts, and what another model changes is shown."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import litellm
import pytest

from assistant import bootstrap
from assistant.commands import indexing, replay
from assistant.errors import InputError
from assistant.index import joining
from assistant.memory import people, threads
from assistant.settings import ModelSettings, Settings, Source, StepSettings
from assistant.web.marks import carrying, claims_citing
from tests.chat.conftest import Provider

WHOLE = "How many vacation days does every employee have?"


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    share = tmp_path / "share"
    share.mkdir()
    (share / "leave.md").write_text(
        "# Leave\n\nEvery employee has 28 days of vacation a year. Unused vacation days lapse on 31 March.\n"
    )
    made = Settings(data=tmp_path / "data", sources=[Source(name="share", path=share)])
    await indexing.sync(made, [], "test")
    return made


async def answered(settings: Settings, *questions: str) -> tuple[str, int]:
    """The receipt of the last answer of a thread, and how many messages are kept."""
    async with bootstrap.parts(settings) as parts:
        ada = people.asker_of(await people.add(parts.db, "ada@example.test"))
        thread = str(uuid4())
        for question in questions:
            answer = await parts.answer(ada, question, thread)
        return answer.id, len((await threads.reopen(parts.db, ada, thread)).messages)


async def test_quoting_is_replayed_to_the_byte_and_nothing_of_it_is_kept(settings: Settings) -> None:
    receipt, kept = await answered(settings, WHOLE, "and when do they lapse?")
    found = await replay.replay(settings, receipt)
    assert found["same"]
    assert found["diff"] == found["passages_added"] == found["passages_removed"] == []
    async with bootstrap.parts(settings, answering=False) as parts:
        ada = people.asker_of(await people.by_email(parts.db, "ada@example.test"))  # type: ignore[arg-type]
        thread = (await threads.list_of(parts.db, ada))[0]
        assert len((await threads.reopen(parts.db, ada, thread.id)).messages) == kept


async def test_another_release_is_answered_from_and_the_difference_shown(settings: Settings) -> None:
    receipt, _ = await answered(settings, WHOLE)
    file = settings.sources[0].path / "leave.md"
    file.write_text(file.read_text().replace("28 days", "30 days"))
    await indexing.sync(settings, [], "test")
    assert (await replay.replay(settings, receipt))["same"]
    newer = await replay.replay(settings, receipt, release_id=2)
    assert not newer["same"]
    assert any("30 days" in line for line in newer["diff"] if line.startswith("+"))
    assert (newer["then"]["release"], newer["now"]["release"]) == (1, 2)


async def test_another_model_is_asked_when_it_is_named(settings: Settings, provider: Provider) -> None:
    receipt, _ = await answered(settings, WHOLE)
    with_models = settings.model_copy(update={"models": provider.settings("ok").models})
    name = with_models.models.deployments[0].name
    asked = await replay.replay(with_models, receipt, model=name)
    assert asked["now"]["model"] != "extract"
    assert (await replay.replay(with_models, receipt, model="extract"))["same"]
    with pytest.raises(InputError, match="There is no model gpt-0"):
        await replay.replay(with_models, receipt, model="gpt-0")


async def test_a_receipt_or_release_that_is_gone_is_said_to_be(settings: Settings) -> None:
    receipt, _ = await answered(settings, WHOLE)
    with pytest.raises(InputError, match="no receipt"):
        await replay.replay(settings, str(uuid4()))
    with pytest.raises(InputError, match="no kept release 99"):
        await replay.replay(settings.model_copy(update={"models": ModelSettings()}), receipt, release_id=99)


async def test_a_running_server_answers_again_as_the_command_does_and_takes_nothing_from_the_asker(
    settings: Settings,
) -> None:
    settings = settings.model_copy(update={"chat": settings.chat.model_copy(update={"questions_per_minute": 1})})
    async with bootstrap.parts(settings) as parts:
        ada = people.asker_of(await people.add(parts.db, "ada@example.test"))
        answer = await parts.answer(ada, WHOLE)
        for _ in range(2):
            past, again = await replay.answer_again(parts, answer.id)
            assert replay.compared(past, again)["same"]
        with pytest.raises(InputError):
            await replay.answer_again(parts, answer.id, model="nobody")
        past, again = await replay.answer_again(parts, answer.id, model="extract")
        assert past.text == again.text
        # A long life with many such looks costs no more than one look.
        told = len(litellm.success_callback)
        await replay.answer_again(parts, answer.id, model="extract")
        assert len(litellm.success_callback) == told


async def test_an_answer_that_was_given_before_is_compared_without_the_line_that_says_so(settings: Settings) -> None:
    async with bootstrap.parts(settings) as parts:
        ada = people.asker_of(await people.add(parts.db, "ada@example.test"))
        await parts.answer(ada, WHOLE)
        given = await parts.answer(ada, WHOLE)
        assert given.receipt.cache == "hit"
        assert replay.compared(*await replay.answer_again(parts, given.id))["same"]


LONG = "# Otters\n\n## Census\n\n" + "\n\n".join(
    "The otter census counts every otter holt along the river in spring. " * 9 + f"Team {n} walks stretch {n}."
    for n in range(3)
)


async def test_an_answer_from_joined_passages_is_kept_cited_opened_and_replayed_as_one(settings: Settings) -> None:
    (settings.sources[0].path / "otters.md").write_text(LONG)
    await indexing.sync(settings, [], "test")
    receipt, _ = await answered(settings, "When does the otter census count the otter holts along the river?")
    async with bootstrap.parts(settings, answering=False) as parts:
        ada = people.asker_of(await people.by_email(parts.db, "ada@example.test"))  # type: ignore[arg-type]
        kept = await threads.receipt(parts.db, ada, receipt)
        (used,) = [p for p in kept.passages if p.cited]
        assert joining.TO in used.passage
        shown = await parts.knowledge.passage(ada, used.passage, kept.release)
        assert hashlib.sha256(shown.passage.text.encode()).hexdigest()[:16] == used.text_hash
        thread = (await threads.list_of(parts.db, ada))[0]
        told = (await threads.reopen(parts.db, ada, thread.id)).messages[-1].text
        claims = claims_citing(told, used.n, [(c.start, c.end, c.citations) for c in kept.verification])
        assert carrying(shown.passage.text, claims)
    assert (await replay.replay(settings, receipt))["same"]
    apart = settings.model_copy(update={"chat": settings.chat.model_copy(update={"steps": StepSettings(join=False)})})
    newer = await replay.replay(apart, receipt)
    assert newer["passages_removed"] == ["otters.md"]
