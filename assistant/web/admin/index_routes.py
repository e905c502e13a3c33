"""The admin pages of the index: documents, runs, releases, sources, a question tried as somebody else."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response

from assistant.commands import releases
from assistant.domain import Asker, Level
from assistant.errors import AssistantError, InputError
from assistant.index import catalogue, disputed, glossary
from assistant.memory import people
from assistant.ops import audit
from assistant.ops import runs as indexing
from assistant.web import house
from assistant.web.admin import state
from assistant.web.admin.journeys import STAGES, journeys
from assistant.web.admin.render import page
from assistant.web.admin.routes import back
from assistant.web.gatekeeper import Admin
from assistant.web.rights import readable

router = APIRouter(prefix="/admin")
Short = Annotated[str, Query(max_length=200)]
Number = Annotated[int, Query(ge=0, le=2**31 - 1)]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Release = Annotated[int, Query(ge=1, le=2**31 - 1)]
PASSAGES = 20
MONTHS = (3, 6, 12, 24)

# Documents


@router.get("/documents")
async def show_documents(
    request: Request,
    asker: Admin,
    q: Short = "",
    source: Short = "",
    kind: Short = "",
    state: Short = "",
    owner: Short = "",
    age: Short = "",
    language: Short = "",
    after: Number = 0,
) -> Response:
    """One page of documents, found by title, path or reason and by what is known of them."""
    db = house.parts().db
    wanted = catalogue.Filter(
        q=q.strip(), source=source, kind=kind, state=state, owner=owner, age=age, language=language
    )
    return page(
        request,
        asker,
        "documents.html",
        wanted=wanted,
        found=await catalogue.documents(db, wanted, after),
        counts=await catalogue.counts(db),
        # What is asked for while somebody types takes the list alone.
        choices=None if "hx-request" in request.headers else await catalogue.choices(db),
        ages=tuple(catalogue.AGES),
        states=catalogue.STATES,
    )


@router.get("/documents/{document_id}")
async def show_document(request: Request, asker: Admin, document_id: Id, start: Number = 0) -> Response:
    """One document; its passages only if this admin may read them, else after saying so in the audit log."""
    may_read = document_id in await readable(house.parts().db, asker, [document_id])
    return await _document(request, asker, document_id, start, may_read, shown=may_read)


@router.post("/documents/{document_id}")
async def show_hidden_document(
    request: Request, asker: Admin, document_id: Id, start: Annotated[int, Form(ge=0, le=2**31 - 1)] = 0
) -> Response:
    """The passages of a document that this admin's own groups do not admit; it is written down."""
    db = house.parts().db
    told = await catalogue.facts(db, document_id)
    await audit.note(db, asker, "read a hidden document", told.row.path)
    return await _document(request, asker, document_id, start, may_read=False, shown=True)


async def _document(
    request: Request, asker: Asker, document_id: int, start: int, may_read: bool, *, shown: bool
) -> Response:
    told = await catalogue.facts(house.parts().db, document_id)
    passages: list[dict[str, Any]] = []
    problem = ""
    if shown and told.row.state == "indexed":
        try:
            passages = await (await house.parts().knowledge.release()).table.of_document(document_id)
        except AssistantError as error:
            problem = str(error)
    return page(
        request,
        asker,
        "document.html",
        told=told,
        may_read=may_read,
        shown=shown,
        passages=passages[start : start + PASSAGES],
        start=start,
        more=start + PASSAGES if len(passages) > start + PASSAGES else None,
        problem=problem,
    )


@router.get("/documents/{document_id}/history")
async def show_history(request: Request, asker: Admin, document_id: Id) -> Response:
    """What each kept release made of a document; read from the releases, so it comes after the page."""
    found = await releases.history(house.parts().settings, document_id)
    return page(request, asker, "_history.html", found=found)


@router.get("/failed")
async def show_failed(
    request: Request, asker: Admin, source: Short = "", reason: Annotated[str, Query(max_length=1_000)] = "",
    after: Number = 0,
) -> Response:  # fmt: skip
    """The files that gave no passages, and why."""
    db = house.parts().db
    return page(
        request,
        asker,
        "failed.html",
        found=await catalogue.problems(db, source, reason, after),
        reasons=await catalogue.reasons(db, source),
        sources=[s for s in await _sources() if s.failed or s.empty],
        counts=await catalogue.counts(db),
        source=source,
        reason=reason,
        run=await state.run_view(db),
    )


async def _sources() -> list[catalogue.SourceState]:
    named = [(s.name, s.url or str(s.path)) for s in house.parts().settings.sources]
    return await catalogue.sources(house.parts().db, named)


# Runs


@router.get("/runs")
async def show_runs(
    request: Request, asker: Admin, before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> Response:
    """The run that is under way, and those before it."""
    db = house.parts().db
    rows = await catalogue.runs(db, before)
    more = rows[catalogue.PAGE - 1].id if len(rows) > catalogue.PAGE else None
    sources = [s.name for s in house.parts().settings.sources]
    run = await state.run_view(db)
    return page(request, asker, "runs.html", rows=rows[: catalogue.PAGE], more=more, sources=sources, run=run)


@router.get("/runs/now")
async def show_run_now(request: Request, asker: Admin) -> Response:
    """The newest run alone; the page asks for it again and again while it runs."""
    return page(request, asker, "_run.html", run=await state.run_view(house.parts().db), live=True)


@router.get("/runs/{run_id}")
async def show_run(request: Request, asker: Admin, run_id: Id) -> Response:
    """One run and its report."""
    return page(request, asker, "run.html", row=await catalogue.run(house.parts().db, run_id))


@router.post("/runs")
async def start_run(
    asker: Admin,
    source: Annotated[str, Form(max_length=200)] = "",
    allow_removals: Annotated[bool, Form()] = False,
    retry_failed: Annotated[bool, Form()] = False,
) -> Response:
    """Start a run in a process of its own, of all sources or of one, unless one is under way."""
    parts = house.parts()
    if source and all(s.name != source for s in parts.settings.sources):
        raise InputError("There is no such source.", "Reload the page.")
    if not indexing.is_starting() and not indexing.is_running(await indexing.latest_run(parts.db)):
        ways = [w for w, on in (("allow removals", allow_removals), ("retry failed", retry_failed)) if on]
        await audit.note(parts.db, asker, "re-index", ", ".join(filter(None, [source, *ways])))
        await indexing.start(
            parts.settings,
            asker.email,
            only=[source] if source else [],
            allow_removals=allow_removals,
            retry_failed=retry_failed,
        )
    return back("/admin/runs")


# Releases


@router.get("/releases")
async def show_releases(request: Request, asker: Admin) -> Response:
    """The releases, and what can be done with each."""
    return await _releases(request, asker)


async def _releases(request: Request, asker: Asker, problem: str = "") -> Response:
    db = house.parts().db
    now_, listed = await state.state(db), await state.releases(db)
    other = house.parts().knowledge.other_embedder
    return page(request, asker, "releases.html", state=now_, releases=listed, problem=problem, other_embedder=other)


@router.get("/releases/compare")
async def compare(
    request: Request,
    asker: Admin,
    first: Release | None = None,
    second: Release | None = None,
) -> Response:
    """Two releases side by side; what differs is searched while the page is there already."""
    kept = [r for r in await state.releases(house.parts().db) if r.state in {"ready", "retired", "held"}]
    numbers = [r.id for r in kept if r.id is not None]
    first = first or (numbers[1] if len(numbers) > 1 else None)
    second = second or (numbers[0] if len(numbers) > 1 else None)
    return page(request, asker, "compare.html", kept=kept, first=first, second=second)


@router.get("/releases/compare/found")
async def compare_found(
    request: Request,
    asker: Admin,
    first: Release,
    second: Release,
) -> Response:
    """What two releases differ in."""
    settings = house.parts().settings

    def search() -> dict[str, Any]:
        # Every case is searched twice: on a loop of its own nobody's answer waits for it.
        return asyncio.run(releases.compare(settings, first, second))

    try:
        found, problem = await asyncio.to_thread(search), ""
    except AssistantError as error:
        found, problem = None, str(error)
    return page(request, asker, "_compare.html", found=found, problem=problem)


@router.get("/releases/{release_id}")
async def show_release(request: Request, asker: Admin, release_id: Id) -> Response:
    """One release, and what the gate found of it."""
    db = house.parts().db
    seen = await state.seen(db, release_id)
    report = None
    if seen.report is not None:
        report = await releases.report(house.parts().settings, release_id)
        await _hide_texts(asker, report)
    now_ = await state.state(db)
    other = house.parts().knowledge.other_embedder
    return page(request, asker, "release.html", seen=seen, report=report, state=now_, other_embedder=other)


async def _hide_texts(asker: Asker, report: dict[str, Any]) -> None:
    """Take the words of documents out of a report that this admin's own groups do not admit."""
    passages = [p for case in report.get("worse", []) for side in ("then", "now") for p in case[side]]
    db = house.parts().db
    numbers = await catalogue.numbers(db, {p["document"] for p in passages})
    allowed = await readable(db, asker, {i for ids in numbers.values() for i in ids})
    for passage in passages:
        passage["hidden"] = not set(numbers.get(passage["document"], ())) <= allowed
        if passage["hidden"]:
            passage["text"] = ""


@router.post("/releases/{release_id}/{act}")
async def change_release(
    request: Request, asker: Admin, release_id: Id, act: Literal["accept", "drop", "activate"]
) -> Response:
    """Accept or drop a held release, or answer people from another kept one, from the next question on."""
    acts = {"accept": releases.accept, "drop": releases.drop, "activate": releases.activate}
    try:
        # Each writes its own line into the audit log, with what it did.
        await acts[act](house.parts().settings, release_id, asker.email)
    except AssistantError as error:
        return await _releases(request, asker, problem=str(error))
    return back("/admin/releases")


# Sources and what is stale


@router.get("/sources")
async def show_sources(request: Request, asker: Admin) -> Response:
    """Where documents come from, and what became of them."""
    parts = house.parts()
    there = await asyncio.to_thread(
        lambda: {s.name: s.kind != "folder" or s.path.is_dir() for s in parts.settings.sources}
    )
    rows, run = await _sources(), await state.run_view(parts.db)
    given = {s.name: s for s in parts.settings.sources}
    return page(request, asker, "sources.html", rows=rows, there=there, given=given, run=run)


@router.get("/stale")
async def show_stale(
    request: Request,
    asker: Admin,
    kind: Literal["expired", "unread", "contradicting"] = "expired",
    months: Annotated[int, Query(ge=1, le=120)] = 12,
    owner: Annotated[str | None, Query(max_length=300)] = None,
    after: Number = 0,
) -> Response:
    """Documents that somebody should look at, by owner."""
    db = house.parts().db
    if kind == "contradicting":
        return await _contradicting(request, asker, owner, after)
    if kind == "expired":
        stale = await catalogue.expired(db, owner, after)
    else:
        stale = await catalogue.unread(db, months, owner, after)
    return page(
        request, asker, "stale.html", stale=stale, kind=kind, months=months, owner=owner, choices=MONTHS,
        kept_days=house.parts().settings.retention.threads_days,
    )  # fmt: skip


async def _contradicting(request: Request, asker: Asker, owner: str | None, after: int) -> Response:
    parts, table, problem = house.parts(), None, ""
    try:
        table = (await parts.knowledge.release()).table
    except AssistantError as error:
        problem = str(error)
    found = await disputed.listed(parts.db, table, owner, after)
    documents = {s.document.id for p in found.pairs for s in p.sides if s.document.id is not None}
    return page(
        request, asker, "contradicting.html", found=found, owner=owner, choices=MONTHS, kind="contradicting", months=0,
        allowed=await readable(parts.db, asker, documents), problem=problem,
    )  # fmt: skip


@router.post("/stale/contradictions/{pair}/dismiss")
async def dismiss_contradiction(
    asker: Admin, pair: Id, owner: Annotated[str | None, Form(max_length=300)] = None
) -> Response:
    """Two passages that do not contradict each other leave the list for good."""
    db = house.parts().db
    async with db.write() as session:
        row = await disputed.dismiss(session, pair)
    await audit.note(db, asker, "dismiss contradiction", f"{pair}: documents {row.one_id} and {row.other_id}")
    of_owner = f"&owner={quote(owner)}" if owner is not None else ""
    return back(f"/admin/stale?kind=contradicting{of_owner}")


# Try it


@router.get("/try")
async def show_try(request: Request, asker: Admin) -> Response:
    """The form that asks as somebody else."""
    return await _try(request, asker)


@router.post("/try")
async def try_it(
    request: Request,
    asker: Admin,
    question: Annotated[str, Form(max_length=2_000)] = "",
    person: Annotated[str, Form(max_length=254)] = "",
) -> Response:
    """A question as any person: every stage, and the rule behind each hidden document. It is written down."""
    from assistant import bootstrap
    from assistant.index.explain import explain

    parts, question = house.parts(), question.strip()
    told, level, problem = None, None, ""
    try:
        if not question:
            raise InputError("There is no question.", "Write what the person would ask.")
        who = await people.asker(parts.db, person.strip())
        terms = await glossary.in_use(parts.db, parts.settings)
        told = await explain(parts.db, parts.knowledge, asker, who, question, terms=terms)
        level = bootstrap.outcome(parts, told).level
    except AssistantError as error:
        problem = str(error)
    return await _try(request, asker, question=question, person=person, told=told, level=level, problem=problem)


async def _try(
    request: Request,
    asker: Asker,
    *,
    question: str = "",
    person: str = "",
    told: Any = None,
    level: Level | None = None,
    problem: str = "",
) -> Response:
    return page(
        request,
        asker,
        "try.html",
        everyone=[p for p in await people.everyone(house.parts().db) if p.active],
        question=question,
        person=person,
        told=told,
        level=level,
        rows=journeys(told) if told else [],
        stages=STAGES,
        problem=problem,
    )
