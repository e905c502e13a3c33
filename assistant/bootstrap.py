"""Wiring: builds the parts from the settings. The only file that knows all of them; heavy imports are inside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from assistant.domain import ADMINS, EVERYONE, Answer, Asker, Attempt, Case, Decision, Final, Level, Progress
from assistant.errors import AssistantError, InputError, NotFoundError, ReleaseError
from assistant.settings import Settings, Source

if TYPE_CHECKING:
    from assistant.chat.models import Models
    from assistant.chat.services import Services
    from assistant.chat.turns import Turns
    from assistant.database.engine import Database
    from assistant.database.tables import ReleaseRow
    from assistant.index.explain import Explanation
    from assistant.index.release import Judgement
    from assistant.index.rerank import Reader
    from assistant.index.retrieve import Knowledge
    from assistant.memory.threads import Answered
    from assistant.ops.gate import RetrievalGate

ACCOUNTS_FILE = "demo-accounts.json"


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
            await _demo_people(settings, db)
        yield db
    finally:
        await db.close()


async def _demo_people(settings: Settings, db: Database) -> None:
    """Make the demo's people once, with passwords of this installation; never beside other accounts."""
    from assistant.memory import people

    file = settings.data / ACCOUNTS_FILE
    if file.exists() or await people.everyone(db):
        return
    accounts = []
    for person in settings.demo_people:
        password = f"{secrets.choice(_WORDS)}-{secrets.choice(_WORDS)}-{secrets.randbelow(9000) + 1000}"
        with contextlib.suppress(InputError):
            await people.add(
                db, person.email, name=person.name, title=person.title, password=password, groups=person.groups
            )
            accounts.append({"email": person.email, "password": password, "groups": [EVERYONE, *person.groups]})
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(accounts, out, indent=1)


_WORDS = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "inlet",
    "juniper",
    "lagoon",
    "maple",
)


def demo_accounts(settings: Settings) -> list[dict[str, Any]]:
    """The demo's accounts with their passwords, for printing at start; empty when it is not the demo."""
    file = settings.data / ACCOUNTS_FILE
    if not settings.demo or not file.exists():
        return []
    return list(json.loads(file.read_text()))


def _embedder(settings: Settings, calls: list[Attempt] | None = None, *, hurried: bool = False) -> Reader:
    from assistant.index.embed import embedder_from

    return embedder_from(settings, calls.append if calls is not None else None, hurried=hurried)


def _embedder_of(settings: Settings, own: Reader, *, hurried: bool = False) -> Callable[[ReleaseRow], Reader | None]:
    """Gives the embedder that a release was made with, from the names it keeps; None when it makes other vectors."""
    made = {own.fingerprint: own}

    def of(row: ReleaseRow) -> Reader | None:
        if row.embedder not in made and row.embedded_by:
            # Before there was a choice, the model made the codes.
            index = settings.index.model_copy(update={"word_codes": "model"} | row.embedded_by)
            other = _embedder(settings.model_copy(update={"index": index}), hurried=hurried)
            made[other.fingerprint] = other
        return made.get(row.embedder)

    return of


def _gate(settings: Settings, db: Database, embedder: Reader) -> RetrievalGate:
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
        embedder_of=_embedder_of(settings, embedder),
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
        embedder = _embedder(settings, hurried=answering)
        embedder_of = _embedder_of(settings, embedder, hurried=answering)
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
        with contextlib.suppress(ReleaseError):
            await built.knowledge.release()
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


def _sources(settings: Settings, paths: Sequence[Path], only: Sequence[str] = ()) -> list[Source]:
    """What is to be indexed. Raises `InputError` at once, before anything heavy is imported."""
    for name in only:
        if all(s.name != name for s in settings.sources):
            raise InputError(f"There is no source {name}.", "See [[sources]] in assistant.toml.")
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: no such folder.", "Name an existing one.")
    chosen = [s for s in settings.sources if not only or s.name in only]
    sources = [_ad_hoc(p, settings) for p in paths] or chosen
    if not sources:
        raise InputError("There is nothing to index.", "Name a folder, or add [[sources]] to assistant.toml.")
    missing = [s for s in sources if s.kind == "folder" and not s.path.is_dir()]
    if len(missing) == len(sources):
        # Where another source can be read the run goes on without these, and says so.
        raise InputError(
            f"sources.path of {missing[0].name}: there is no folder {missing[0].path}.",
            "Correct it in assistant.toml, or create the folder.",
        )
    return sources


def settled() -> None:
    """What is imported by now stays: the collector need not walk half a million objects over and over."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def sync(
    settings: Settings,
    paths: Sequence[Path],
    started_by: str,
    progress: Progress | None = None,
    *,
    allow_removals: bool = False,
    retry_failed: bool = False,
    drop_others: bool = False,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Index the configured sources, of these the ones that `only` names, or these folders; see `ingest.sync`."""
    from dataclasses import asdict

    sources = _sources(settings, paths, only)

    from assistant.index import ingest, release, run
    from assistant.index.store import Store
    from assistant.ops import alerts

    async with database(settings) as db:
        async with db.read() as session:
            if only and await release.held(session) is not None:
                # A run of some sources would drop what is held of the others.
                sources = settings.sources
        calls: list[Attempt] = []
        embedder = _embedder(settings, calls)

        async def check(made: ReleaseRow, against: ReleaseRow, removed: Collection[str]) -> Judgement:
            # What searches the cases takes seconds to import: most runs find nothing new, or have no case.
            return await _gate(settings, db, embedder)(made, against, removed)

        work = run.Parts(
            db=db,
            store=Store(settings.index_uri),
            embedder=embedder,
            settings=settings.index,
            lock=settings.data / "index.lock",
            calls=calls,
            check=check,
            alerts=alerts.channels(settings),
        )
        settled()
        report = await ingest.sync(
            work,
            sources,
            configured=not paths,
            started_by=started_by,
            progress=progress,
            drop_others=drop_others,
            allow_removals=allow_removals,
            retry_failed=retry_failed,
            whole=not only,
        )
        return asdict(report)


def _ad_hoc(path: Path, settings: Settings) -> Source:
    """A folder of the command line: a configured source if it is one, else one that everyone may read."""
    full = path.resolve()
    known = next((s for s in settings.sources if s.path.resolve() == full), None)
    return known or Source.model_construct(
        name=str(full), path=full, groups=[EVERYONE], include=["**"], exclude=[], owner="", access=[]
    )


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
    async with parts(own) as built:
        return compared(*await _answered_again(built, receipt_id, release_id))


async def answer_again(
    built: Parts, receipt_id: str, *, model: str = "", release_id: int | None = None
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


async def _answered_again(built: Parts, receipt_id: str, release_id: int | None) -> tuple[Answered, Answer]:
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
        reader = built.embedder or _embedder(built.settings)
        pinned = Pinned(built.db, store, _embedder_of(built.settings, reader)(row) or reader, Opened(row, table))
        services = replace(services, knowledge=built.knowledge.as_here(pinned))
    engine = ReplayEngine(services, people.asker_of(person), past.thread_id, past.receipt.language or "en")
    async for _ in engine.turn(past.question, past.question_id, str(uuid4())):
        pass
    assert engine.answer is not None
    return past, engine.answer


async def source_states(settings: Settings, db: Database) -> list[dict[str, Any]]:
    """Each configured source: its kind, documents by state, last and next run, and what is wrong with it."""
    from sqlalchemy import func
    from sqlmodel import col, select

    from assistant.database.tables import DocumentRow, SourceRow
    from assistant.index import schedule

    await schedule.plan(db, settings.sources, settings.data / "sources")
    async with db.read() as session:
        rows = {r.name: r for r in (await session.exec(select(SourceRow))).all()}
        by_state = select(DocumentRow.source, DocumentRow.state, func.count()).group_by(
            col(DocumentRow.source), col(DocumentRow.state)
        )
        counts = {(source, state): count for source, state, count in (await session.exec(by_state)).all()}
    states = []
    for source in settings.sources:
        row = rows[source.name]
        states.append(
            {
                "source": source.name,
                "kind": source.kind,
                "state": "failed" if row.problem else "read" if row.last_run else "new",
                "documents": counts.get((source.name, "indexed"), 0),
                "empty": counts.get((source.name, "empty"), 0),
                "failed": counts.get((source.name, "failed"), 0),
                "last_run": row.last_run and row.last_run.isoformat(timespec="seconds"),
                "next_run": row.next_run and row.next_run.isoformat(timespec="seconds"),
                "problem": row.problem,
                "note": row.note,
            }
        )
    return states


async def releases(db: Database) -> list[dict[str, Any]]:
    """The releases, newest first, with what they hold."""
    from sqlmodel import col, select

    from assistant.database.tables import ReleaseRow
    from assistant.index import release

    async with db.read() as session:
        current = await release.active(session)
        rows = (await session.exec(select(ReleaseRow).order_by(col(ReleaseRow.id).desc()).limit(50))).all()
    return [
        {
            "release": r.id,
            "active": current is not None and r.id == current.id,
            "state": r.state,
            "documents": r.documents,
            "passages": r.passages,
            "embedder": r.embedder,
            "content_hash": r.content_hash,
            "created": r.created_at.isoformat(timespec="seconds"),
            "note": r.note,
        }
        for r in rows
    ]


async def activate(settings: Settings, release_id: int, by: str) -> None:
    """Answer people from another kept release; contradictions are looked for in it by a process of their own."""
    from assistant.index import release
    from assistant.index.store import Store
    from assistant.ops import runs

    async with database(settings) as db:
        await release.activate(db, Store(settings.index_uri), release_id, by)
    await asyncio.to_thread(runs.search_contradictions, settings)


async def contradictions(
    settings: Settings, owner: str | None = None, after: int = 0, *, anew: bool = False
) -> dict[str, Any]:
    """Pairs of documents that contradict each other, with their passages; looked for once more if `anew`."""
    from assistant.index import disputed, release
    from assistant.index.store import Store

    async with database(settings) as db:
        async with db.read() as session:
            row = await release.active(session)
        if row is None:
            raise ReleaseError("There is no index yet.", "Run `assistant index sync`.")
        table = await Store(settings.index_uri).open(row.table_name, row.version)
        whole = (await disputed.refresh(db, table)).whole if anew else True
        found = await disputed.listed(db, table, owner, after)
    pairs = [
        {
            "id": pair.id,
            "newer": pair.newer,
            "documents": [
                {
                    "document": s.document.path,
                    "owner": s.document.owner,
                    "dated": s.at and s.at.date().isoformat(),
                    "says": s.text[s.start : s.end],
                }
                for s in pair.sides
            ],
        }
        for pair in found.pairs
    ]
    return {"count": found.count, "whole": whole, "owners": dict(found.owners), "pairs": pairs, "after": found.after}


async def accept(settings: Settings, release_id: int, by: str) -> None:
    """Answer people from a release that was held; see `activate`."""
    from assistant.index import release
    from assistant.index.store import Store
    from assistant.ops import runs

    async with database(settings) as db:
        await release.accept(db, Store(settings.index_uri), release_id, by)
    await asyncio.to_thread(runs.search_contradictions, settings)


async def drop(settings: Settings, release_id: int, by: str) -> None:
    """Let a held release go."""
    from assistant.index import release

    async with database(settings) as db:
        await release.drop(db, release_id, by)


async def report(settings: Settings, release_id: int) -> dict[str, Any]:
    """What the gate found of a release, with the texts of the passages that are still kept; for admins."""
    from assistant.index import joining, release
    from assistant.index.store import Store

    async with database(settings) as db:
        row = await release.report_of(db, release_id)
        body = {"release": row.release_id, "against": row.against_id, **row.body}
        body.pop("ranks", None)
        for side, number in (("then", row.against_id), ("now", row.release_id)):
            shown = [p for case in body.get("worse", []) for p in case[side]]
            with contextlib.suppress(AssistantError):
                _, table = await release.open_kept(db, Store(settings.index_uri), number or 0)
                texts = {r["id"]: r["text"] for r in await joining.read(table, [p["passage"] for p in shown])}
                for passage in shown:
                    passage["text"] = texts.get(passage["passage"], "")
        return body


async def compare(settings: Settings, first: int, second: int) -> dict[str, Any]:
    """Documents and case questions that two kept releases differ in."""
    from assistant.index import release
    from assistant.index.store import Store

    async with database(settings) as db:
        documents = await release.compare(db, Store(settings.index_uri), first, second)
        questions = await _gate(settings, db, _embedder(settings)).changed(first, second)
        return {"first": first, "second": second, **documents, "questions": questions}


async def history(settings: Settings, document_id: int) -> list[dict[str, Any]]:
    """What each kept release made of a document."""
    from assistant.index import release
    from assistant.index.store import Store

    async with database(settings) as db:
        return await release.history(db, Store(settings.index_uri), document_id)


async def rights(settings: Settings, *, dry_run: bool) -> list[dict[str, Any]]:
    """Who gains and loses which documents by the rules in the settings; unless `dry_run`, they hold from now on."""
    from assistant.database.tables import AuditRow
    from assistant.index import access
    from assistant.memory import people

    async with database(settings) as db:
        askers = [people.asker_of(p) for p in await people.everyone(db) if p.active]
        async with db.write() as session:
            changes = await access.preview(session, settings.sources, askers)
            if not dry_run:
                await access.realign(session, settings.sources)
                session.add(AuditRow(person="command line", action="apply rights", subject=str(len(changes))))
    return [c.model_dump(mode="json") for c in changes]


async def set_groups(settings: Settings, email: str, groups: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Give a person these groups, unless `dry_run`, and say which documents they gain and lose by it.

    `unknown` are those of the groups that stand in no rule and in no policy. Raises `NotFoundError` for an unknown
    address.
    """
    from assistant.index import access
    from assistant.memory import people

    async with database(settings) as db:
        person = await people.by_email(db, email)
        if person is None:
            raise NotFoundError(f"There is no account for {email}.", "See `assistant users list`.")
        before, wanted = people.asker_of(person), people.clean_groups(groups)
        after = before.model_copy(update={"groups": frozenset({EVERYONE, *wanted})})
        async with db.read() as session:
            change = await access.preview_groups(session, before, after)
            known = await access.groups_named(session, settings.sources)
        if not dry_run:
            await people.set_groups(db, email, groups)
    known |= {ADMINS, *(g for p in settings.policies for g in (*p.groups, *p.except_groups))}
    unknown = [g for g in wanted if g not in known]
    return {"groups": wanted, "unknown": unknown, "change": change.model_dump(mode="json")}


async def evaluate_retrieval(
    settings: Settings, folder: Path, split: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Figures of a BEIR folder; see `index.evaluate`."""
    from assistant.index.evaluate import evaluate

    return await evaluate(folder, split, _embedder(settings), settings.index, progress)


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

    parts: Parts
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
                "sources": settings.sources if documents is None else [_ad_hoc(documents, settings)],
            }
        )
        await sync(own, [], "evaluation", progress)
        async with parts(own) as built:
            yield Trial(built, {})


async def evaluate_answers(
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

    The result can be written to `calibration_file`; see `ops.calibrate.calibrate` for what it holds.
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
    return {**fit(rows, declined_wrong), "embedder": _embedder(settings).fingerprint}


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


_SOMEBODY = "somebody@evaluation.invalid"


async def examine(settings: Settings) -> list[dict[str, str]]:
    """Check what can be checked: settings, prompts, database, index, models. Each with state `ok`, `note` or `bad`."""
    from assistant.chat import prompts
    from assistant.index import release
    from assistant.index.store import Store
    from assistant.memory import people

    checks = [_check("settings", "ok", "readable")]
    try:
        loaded = prompts.load(settings.prompts_dir)
        checks.append(_check("prompts", "ok", ", ".join(f"{p.name} {p.version}" for p in loaded.values())))
    except AssistantError as error:
        checks.append(_check("prompts", "bad", str(error)))
    checks += _examine_sources(settings)
    async with database(settings) as db:
        checks += [
            _check(f"source {s['source']}", "bad" if s["problem"] else "ok", s["problem"] or f"listed {s['last_run']}")
            for s in await source_states(settings, db)
            if s["kind"] not in {"folder", "mail"} and s["last_run"]
        ]
        current = await db.schema_is_current()
        checks.append(_check("database", "ok" if current else "bad", "sqlite" if db.is_sqlite else "postgres"))
        admins = [p.email for p in await people.everyone(db) if p.active and ADMINS in p.groups]
        checks.append(
            _check("admins", "ok" if admins else "note", ", ".join(admins) or "nobody is in the group admins")
        )
        async with db.read() as session:
            row = await release.active(session)
        if row is None:
            checks.append(_check("index", "bad", "there is none; run `assistant index sync`"))
        else:
            try:
                await release.whole(Store(settings.index_uri), row)
                checks.append(_check("index", "ok", f"release {row.id}, {row.passages} passages, whole"))
                if not await (await Store(settings.index_uri).open(row.table_name)).is_writable():
                    checks.append(_check("index table", "bad", "its marks are damaged; the next run makes a new one"))
            except ReleaseError as error:
                checks.append(_check("index", "bad", str(error)))
        async with db.read() as session:
            for aside in await release.set_aside(session):
                checks.append(_check(f"release {aside.id}", "bad", f"{aside.note} Run `assistant index sync`."))
            if (waiting := await release.held(session)) is not None:
                checks.append(_check(f"release {waiting.id}", "note", f"held: {waiting.note}"))
    names = ", ".join(d.name for d in settings.models.deployments)
    checks.append(_check("models", "ok" if names else "note", names or "none: passages are quoted"))
    for d in settings.models.deployments:
        if d.api_key_env and not settings.environment(d.api_key_env):
            checks.append(_check(f"model {d.name}", "bad", f"{d.api_key_env} is not set"))
    reranker = settings.chat.reranker
    if reranker.api_key_env and not settings.environment(reranker.api_key_env):
        checks.append(_check("reranker", "bad", f"{reranker.api_key_env} is not set"))
    return checks


def _examine_sources(settings: Settings) -> list[dict[str, str]]:
    checks = []
    for source in settings.sources:
        if source.kind in {"folder", "mail"}:
            found = source.path.is_dir() or (source.kind == "mail" and source.path.is_file())
            checks.append(_check(f"source {source.name}", "ok" if found else "bad", str(source.path)))
        elif source.secret_env and not source.secret:
            checks.append(_check(f"source {source.name}", "bad", f"{source.secret_env} is not set"))
    names = [settings.alerts.webhook_env, settings.alerts.smtp_env if settings.alerts.email else ""]
    checks += [_check("alerts", "bad", f"{n} is not set") for n in names if n and not settings.environment(n)]
    return checks


def _check(name: str, state: str, message: str) -> dict[str, str]:
    return {"name": name, "state": state, "message": message}
