"""A small installation for a bench: real database, index and engine, in a folder of its own and in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant import bootstrap
from assistant.commands import indexing
from assistant.domain import Asker, Embedder
from assistant.memory import people
from assistant.settings import PROJECT, ModelSettings, Settings, Source

if TYPE_CHECKING:
    from assistant.bootstrap import Parts
    from assistant.chat.engine import Services


class Office:
    """What a bench asks. `services` gives the engine's parts with other models or chat settings."""

    def __init__(self, settings: Settings, parts: Parts, embedder: Embedder, asker: Asker) -> None:
        self.settings, self.parts, self.embedder, self.asker = settings, parts, embedder, asker

    def services(self, models: ModelSettings | None = None, **chat: Any) -> Services:
        from assistant.chat import guard, prompts
        from assistant.chat.engine import Services
        from assistant.chat.models import Models

        settings = self.settings.model_copy(
            update={
                "models": models or self.settings.models,
                "chat": self.settings.chat.model_copy(update=chat),
            }
        )
        return Services(
            settings=settings,
            db=self.parts.db,
            knowledge=self.parts.knowledge,
            models=Models(settings, self.embedder),
            prompts=prompts.load(settings.prompts_dir),
            rate=guard.RateLimit(settings.chat.questions_per_minute),
            owner="bench",
        )


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@contextlib.asynccontextmanager
async def office(folder: Path, documents: Mapping[str, str] | Path) -> AsyncIterator[Office]:
    """Index the documents, which everyone may read, with the built-in embedder, and open what answers from them."""
    from assistant.index.embed import embedder_from

    source = documents if isinstance(documents, Path) else await asyncio.to_thread(write, folder / "share", documents)
    chat = Settings().chat.model_copy(
        update={"questions_per_minute": 10_000, "answer_threshold": 0.0, "weak_threshold": 0.0}
    )
    settings = Settings(
        company="Lindt & Co",
        data=folder / "data",
        models_dir=PROJECT / "data/models",
        sources=[Source(name="share", path=source)],
        chat=chat,
    )
    await indexing.sync(settings, [], "bench")
    async with bootstrap.parts(settings) as parts:
        asker = people.asker_of(await people.add(parts.db, "ada@bench.invalid"))
        yield Office(settings, parts, embedder_from(settings, None), asker)
