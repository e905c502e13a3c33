"""A question of the past answered once more, as it was then or under another model, prompts or release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from assistant import bootstrap
from assistant.domain import Answer
from assistant.errors import InputError
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.memory.threads import Answered


async def replay(
    settings: Settings,
    receipt_id: str,
    *,
    model: str = "",
    prompts_dir: Path | None = None,
    release_id: int | None = None,
) -> dict[str, Any]:
    """Answer a question of the past once more, and say what differs; see `chat.replay.compared`.

    The same release, models and prompts are used unless named: `model` is a deployment, or `extract` for quoting.
    Raises `InputError` where the receipt, its release, its person or the model is gone.
    """
    own = _replaying(settings, model).model_copy(update={"prompts_dir": prompts_dir or settings.prompts_dir})
    async with bootstrap.parts(own) as built:
        return compared(*await _answered_again(built, receipt_id, release_id))


async def answer_again(
    built: bootstrap.Parts, receipt_id: str, *, model: str = "", release_id: int | None = None
) -> tuple[Answered, Answer]:
    """As `replay`, with the parts of a running server: what was answered then and what is now."""
    from assistant.chat import cache, guard
    from assistant.chat.models import Models

    assert built.services is not None
    own = _replaying(built.settings, model)
    if model and model not in built.others:
        built.others[model] = Models(own, built.embedder)
    services = replace(
        built.services,
        settings=own,
        models=built.others[model] if model else built.services.models,
        cache=cache.AnswerCache(0),
        # An admin's looking back takes nothing from what the person may ask.
        rate=guard.RateLimit(own.chat.questions_per_minute),
    )
    return await _answered_again(replace(built, services=services), receipt_id, release_id)


def compared(past: Answered, now: Answer) -> dict[str, Any]:
    """What differs between an answer and its replay; see `chat.replay.compared`."""
    from assistant.chat import replay

    return replay.compared(past.text, past.receipt, now.text, now.receipt)


def _replaying(settings: Settings, model: str) -> Settings:
    """The settings to answer under, where `model` names one of theirs, or `extract`. Raises `InputError`."""
    deployments = settings.models.deployments
    if model:
        deployments = [d for d in deployments if d.name == model]
        if not deployments and model != "extract":
            names = ", ".join(["extract", *(d.name for d in settings.models.deployments)])
            raise InputError(f"There is no model {model}.", f"Name one of: {names}.")
    return settings.model_copy(
        update={
            "models": settings.models.model_copy(update={"deployments": deployments}),
            "chat": settings.chat.model_copy(update={"cache_minutes": 0}),
        }
    )


async def _answered_again(built: bootstrap.Parts, receipt_id: str, release_id: int | None) -> tuple[Answered, Answer]:
    from assistant.chat.replay import ReplayEngine
    from assistant.index import release
    from assistant.index.retrieve import Opened, Pinned
    from assistant.memory import people, threads

    assert built.services is not None
    services = built.services
    past = await threads.answered(built.db, receipt_id)
    person = await people.by_id(built.db, past.person_id)
    if person is None:
        raise InputError("The person who asked is gone.", "Ask the question anew: assistant ask.")
    if (wanted := release_id or past.receipt.release) is not None:
        store = built.knowledge.store
        row, table = await release.open_kept(built.db, store, wanted)
        reader = built.embedder or bootstrap.own_embedder(built.settings)
        pinned = Pinned(built.db, store, bootstrap.embedders(built.settings, reader)(row) or reader, Opened(row, table))
        services = replace(services, knowledge=built.knowledge.as_here(pinned))
    engine = ReplayEngine(services, people.asker_of(person), past.thread_id, past.receipt.language or "en")
    async for _ in engine.turn(past.question, past.question_id, str(uuid4())):
        pass
    assert engine.answer is not None
    return past, engine.answer
