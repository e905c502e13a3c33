"""What is measured: retrieval on judged collections, answers on cases, and when it is right to decline."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from assistant import bootstrap
from assistant.commands import indexing
from assistant.domain import Answer, Asker, Case, Progress
from assistant.errors import AssistantError, InputError
from assistant.settings import Settings

_SOMEBODY = "somebody@evaluation.invalid"


async def retrieval(settings: Settings, folder: Path, split: str, progress: Progress | None = None) -> dict[str, Any]:
    """Figures of a BEIR folder; see `index.evaluate`."""
    from assistant.index.evaluate import evaluate

    return await evaluate(folder, split, bootstrap.own_embedder(settings), settings.index, progress)


async def answers(
    settings: Settings, cases: Path | None, documents: Path | None, progress: Progress | None = None
) -> dict[str, Any]:
    """Run cases through the pipeline that answers people; see `ops.evaluate.answers`."""
    from assistant.ops import evaluate

    read = _cases(settings, cases)
    async with trial(settings, documents, progress) as tried:
        return await evaluate.answers(read, tried.ask, tried.resolves, progress)


async def calibrate(
    settings: Settings,
    cases: Path | None,
    documents: Path | None,
    foreign: Path | None,
    declined_wrong: float,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit the decision to answer on cases, and on questions of another company as ones to decline.

    The result can be written to `bootstrap.calibration_file`; see `ops.calibrate.calibrate` for what it holds.
    """
    from assistant.ops.calibrate import Judged
    from assistant.ops.calibrate import calibrate as fit

    others = _cases(settings, foreign) if foreign else []
    asked = [(c, bool(c.doc)) for c in _cases(settings, cases)]
    asked += [(c.model_copy(update={"asked_as": None}), False) for c in others]
    rows = []
    async with trial(settings, documents, progress) as tried:
        for done, (case, answerable) in enumerate(asked):
            if progress:
                progress(done, len(asked), case.id)
            answer = await tried.ask(case)
            rows.append(Judged(case.id, answer.receipt.decision.signals, answerable))
    return {**fit(rows, declined_wrong), "embedder": bootstrap.own_embedder(settings).fingerprint}


def _cases(settings: Settings, named: Path | None) -> list[Case]:
    """The cases of a file, or the installation's own."""
    from assistant.ops import cases

    files = [named] if named else [f for f in (settings.cases, settings.data / "cases.jsonl") if f and f.is_file()]
    if not files:
        raise InputError("There are no cases.", "Name a case file, or set `cases` in assistant.toml.")
    return [c for file in files for c in cases.read(file)]


@dataclass
class Trial:
    """An installation made for cases, indexed from the documents in question; the real one is not touched."""

    parts: bootstrap.Parts
    askers: dict[str, Asker]

    async def asker(self, case: Case) -> Asker:
        from assistant.memory import people

        email = case.asked_as or _SOMEBODY
        if email not in self.askers:
            known = await people.by_email(self.parts.db, email)
            self.askers[email] = people.asker_of(known or await people.add(self.parts.db, email))
        return self.askers[email]

    async def ask(self, case: Case) -> Answer:
        """The answer to the last of the case's turns, asked in a new thread."""
        asker, thread = await self.asker(case), str(uuid4())
        for question in case.turns[:-1]:
            await self.parts.answer(asker, question, thread)
        return await self.parts.answer(asker, case.turns[-1], thread)

    async def resolves(self, case: Case, answer: Answer) -> list[bool]:
        """For each citation whether it opens on the very text it quotes."""
        asker, found = await self.asker(case), []
        for citation in answer.citations:
            try:
                shown = await self.parts.knowledge.passage(asker, citation.passage, answer.receipt.release)
                found.append(shown.passage.text == citation.quote)
            except AssistantError:
                found.append(False)
        return found


@contextlib.asynccontextmanager
async def trial(settings: Settings, documents: Path | None, progress: Progress | None = None) -> AsyncIterator[Trial]:
    """Index the documents, or the installation's sources, into a scratch folder and open what answers from them."""
    with tempfile.TemporaryDirectory() as scratch:
        own = settings.model_copy(
            update={
                "data": Path(scratch),
                "chat": settings.chat.model_copy(update={"questions_per_minute": 10_000, "cache_minutes": 0}),
                "database": settings.database.model_copy(update={"url": ""}),
                "index": settings.index.model_copy(update={"uri": ""}),
                "sources": settings.sources if documents is None else [indexing.ad_hoc(documents, settings)],
            }
        )
        await indexing.sync(own, [], "evaluation", progress)
        async with bootstrap.parts(own) as built:
            yield Trial(built, {})
