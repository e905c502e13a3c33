"""Wiring: builds the parts from the settings. The only file that knows all of them; heavy imports are inside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from assistant.domain import Answer, Asker, Attempt, Decision, Final, Level
from assistant.errors import InputError, ReleaseError
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.chat.models import Models
    from assistant.chat.services import Services
    from assistant.chat.turns import Turns
    from assistant.database.engine import Database
    from assistant.database.tables import ReleaseRow
    from assistant.index.explain import Explanation
    from assistant.index.rerank import Reader
    from assistant.index.retrieve import Knowledge
    from assistant.ops.gate import RetrievalGate


@dataclass
class Parts:
    """What answers people."""

    settings: Settings
    db: Database
    knowledge: Knowledge
    services: Services | None
    turns: Turns | None
    embedder: Reader | None = None
    # Made when an admin has a question answered under another model, and kept: LiteLLM never lets a router go.
    others: dict[str, Models] = field(default_factory=dict)

    async def asker(self, email: str) -> Asker:
        """The person on the command line. Raises `InputError` when none is named."""
        from assistant.memory import people

        if not email:
            raise InputError("Say who asks: --as EMAIL.", "See `assistant users list`.")
        return await people.asker(self.db, email)

    async def answer(self, asker: Asker, question: str, thread: str | None = None) -> Answer:
        """One turn, to its end."""
        from assistant.chat.engine import KnowledgeChatEngine

        assert self.services is not None
        engine = KnowledgeChatEngine(self.services, asker, thread or str(uuid4()), self.settings.chat.language)
        async for event in engine.turn(question, str(uuid4()), str(uuid4())):
            if isinstance(event, Final):
                return event.answer
        raise AssertionError("a turn ends with Final")


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The database, migrated, with the demo's people when it is the demo."""
    from assistant.database.engine import Database

    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{settings.data}: cannot be written ({error.strerror}).", "Name another folder: --data."
        ) from error
    db = Database(settings.database_url, settings.database.busy_s)
    try:
        await db.migrate()
        if settings.demo:
            from assistant.memory import demo

            await demo.make(settings, db)
        yield db
    finally:
        await db.close()


def own_embedder(settings: Settings, calls: list[Attempt] | None = None, *, hurried: bool = False) -> Reader:
    """The embedder that the settings name. `calls` collects what the calls of a paid one cost.

    `hurried` is for whoever answers people: see `index.embed.embedder_from`.
    """
    from assistant.index.embed import embedder_from

    return embedder_from(settings, calls.append if calls is not None else None, hurried=hurried)


def embedders(settings: Settings, own: Reader, *, hurried: bool = False) -> Callable[[ReleaseRow], Reader | None]:
    """Gives the embedder that a release was made with, from the names it keeps; None when it makes other vectors."""
    made = {own.fingerprint: own}

    def of(row: ReleaseRow) -> Reader | None:
        if row.embedder not in made and row.embedded_by:
            # Before there was a choice, the model made the codes.
            index = settings.index.model_copy(update={"word_codes": "model"} | row.embedded_by)
            other = own_embedder(settings.model_copy(update={"index": index}), hurried=hurried)
            made[other.fingerprint] = other
        return made.get(row.embedder)

    return of


def retrieval_gate(settings: Settings, db: Database, embedder: Reader) -> RetrievalGate:
    """What a new release has to pass: the installation's cases, searched in it and in the one before it."""
    from assistant.index.store import Store
    from assistant.ops import cases
    from assistant.ops.gate import RetrievalGate

    files = [f for f in (settings.cases, settings.data / "cases.jsonl") if f and f.is_file() and f.stat().st_size]
    return RetrievalGate(
        db=db,
        store=Store(settings.index_uri),
        cases=list({c.id: c for file in files for c in cases.read(file)}.values()),
        settings=settings.index.gate,
        embedder=embedder,
        embedder_of=embedders(settings, embedder),
        weight_before=settings.chat.weight_before,
    )


@contextlib.asynccontextmanager
async def parts(settings: Settings, *, answering: bool = True) -> AsyncIterator[Parts]:
    """Everything that searching takes and, if `answering`, the models too."""
    from assistant.index import access
    from assistant.index.crossencoder import reranker_from
    from assistant.index.retrieve import Knowledge
    from assistant.index.store import Store

    async with database(settings) as db:
        async with db.write() as session:
            await access.realign(session, settings.sources)
        embedder = own_embedder(settings, hurried=answering)
        embedder_of = embedders(settings, embedder, hurried=answering)
        knowledge = Knowledge(db, Store(settings.index_uri), embedder, embedder_of)
        chat = settings.chat
        knowledge.recipe = replace(
            knowledge.recipe,
            newest_first=chat.steps.newest_first,
            join_tokens=chat.join_tokens if chat.steps.join else 0,
        )
        knowledge.reranker = reranker_from(settings)
        built = Parts(settings, db, knowledge, None, None, embedder)
        if answering:
            _add_answering(built, embedder)
        try:
            yield built
        finally:
            if built.turns is not None:
                await built.turns.close()


def _add_answering(built: Parts, embedder: Reader) -> None:
    from assistant.chat import cache, decide, guard, prompts
    from assistant.chat.models import Models
    from assistant.chat.services import Services
    from assistant.chat.turns import Turns

    settings = built.settings
    built.services = Services(
        settings=settings,
        db=built.db,
        knowledge=built.knowledge,
        models=Models(settings, embedder),
        prompts=prompts.load(settings.prompts_dir),
        rate=guard.RateLimit(settings.chat.questions_per_minute),
        # The last part tells it from a former process of the same number.
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        cache=cache.AnswerCache(settings.chat.cache_minutes),
        calibration=decide.calibration(calibration_file(settings), embedder.fingerprint),
    )
    built.turns = Turns(built.services)


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Parts]:
    """What a server runs on: the parts, the release opened, and the jobs of the installation beside them."""
    from assistant.chat import work as long_work
    from assistant.index import schedule
    from assistant.memory import threads
    from assistant.ops import alerts, jobs, latency, outbox, runs

    tracer = None
    if settings.trace.host:
        from assistant.ops.trace import Tracer

        tracer = Tracer(settings)
    async with parts(settings) as built:
        # The first question need not wait for the release to be read and checked.
        try:
            held = await built.knowledge.release()
        except ReleaseError:
            await _mend_index(settings, built.db)
        else:
            # For many who ask in the first second; see below.
            if settings.models.deployments and settings.chat.steps.spelling:
                built.knowledge.read_words(held)
        assert built.services is not None
        services = built.services
        if settings.models.deployments:
            # Many may ask in the first second. One's own trial without a model waits a second for its first answer
            # instead of holding 130 MB more from the start.
            assert built.embedder is not None
            await asyncio.gather(services.models.ready(), built.embedder.ready())
        db, kept, us = built.db, settings.retention, services.owner
        work = [
            jobs.Job("cut answers", 20, lambda: jobs.mark_cut_answers(db, us)),
            jobs.Job("left work", 20, lambda: jobs.free_left_work(db, us)),
            jobs.Job("ended leases", 3600, lambda: jobs.forget_ended(db)),
            jobs.Job("old traces", 3600, lambda: outbox.forget_old(db, kept.trace_days)),
            jobs.Job("deleted threads", 60, lambda: threads.erase_deleted(db)),
            jobs.Job("step times", latency.EVERY_S, lambda: latency.measure(db)),
            jobs.Job("old threads", 3600, lambda: threads.forget_old(db, kept.threads_days)),
            jobs.Job("long work", long_work.EVERY_S, lambda: long_work.run_next(services)),
        ]
        if settings.sources:
            await schedule.plan(db, settings.sources, settings.data / "sources")
            work.append(jobs.Job("due sources", runs.DUE_S, lambda: runs.start_due(settings, db)))
            for source in settings.sources:
                if source.kind == "push":
                    # Something may have been pushed a moment before the process before this one ended.
                    await schedule.soon(db, source.name)
        if alerts.configured(settings):
            work.append(jobs.Job("alerts", alerts.EVERY_S, lambda: alerts.deliver(db, settings)))
        if tracer is not None and tracer.on:
            work.append(jobs.Job("deliveries", outbox.EVERY_S, lambda: outbox.deliver(db, tracer)))
        running = asyncio.create_task(jobs.run(db, us, work), name="jobs")
        try:
            # A reader who returns after a crash must not wait for an answer that nobody writes.
            await jobs.mark_cut_answers(db, us)
            await jobs.free_left_work(db, us)
            yield built
        finally:
            running.cancel()
            await asyncio.wait([running])


async def _mend_index(settings: Settings, db: Database) -> None:
    """Begin to make the index anew where no release of it can be searched: after damage, or an upgrade."""
    from assistant.index import release
    from assistant.ops import runs

    async with db.read() as session:
        active = await release.active(session)
    if settings.sources and active is not None and active.state == "damaged":
        await runs.start(settings, "damage check", on_terminal=True)


def settled() -> None:
    """What is imported by now stays: the collector need not walk half a million objects over and over."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def outcome(built: Parts, told: Explanation) -> Decision:
    """Whether a question that was searched as somebody else would be answered, so far as its passages tell.

    Raises `SettingsError` when the installation's calibration cannot be read.
    """
    from assistant.chat import decide

    if not told.stages["reranked"]:
        return Decision(level=Level.DECLINED, reason="nothing found")
    assert built.embedder is not None
    own = decide.calibration(calibration_file(built.settings), built.embedder.fingerprint)
    return decide.by_signals(told.signals, told.word_codes, built.settings.chat, own)


def calibration_file(settings: Settings) -> Path:
    """Where an installation keeps its own calibration."""
    return settings.data / "calibration.json"
