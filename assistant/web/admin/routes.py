"""The admin pages. For anybody who is not an admin none of them exists."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from assistant.database.tables import AuditRow
from assistant.domain import Asker
from assistant.errors import AssistantError
from assistant.memory import people
from assistant.ops import cases, usage
from assistant.web import house, in_words, reindex
from assistant.web.admin import knowledge, ratings
from assistant.web.admin.render import page
from assistant.web.gatekeeper import Admin
from assistant.web.sessions import present

router = APIRouter(prefix="/admin")
By = Literal["day", "segment", "feature", "model", "person"]
Text = Annotated[str, Form(max_length=4_000)]


async def _noted(asker: Asker, action: str, subject: str = "") -> None:
    async with house.parts().db.write() as session:
        session.add(AuditRow(person=asker.email, action=action, subject=subject))


def _back(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


@router.get("")
async def start(asker: Admin) -> Response:
    return _back("/admin/knowledge")


# Knowledge


@router.get("/knowledge")
async def show_knowledge(request: Request, asker: Admin, problem: str = "") -> Response:
    """What people are answered from, the newest run, the releases, the documents."""
    db = house.parts().db
    return page(
        request,
        asker,
        "knowledge.html",
        state=await knowledge.state(db),
        run=await knowledge.run_view(db),
        releases=await knowledge.releases(db),
        documents=await knowledge.documents(db),
        counts=await knowledge.counts(db),
        problem=problem[:300],
    )


@router.get("/knowledge/run")
async def show_run(request: Request, asker: Admin) -> Response:
    """The newest run alone; the page asks for it again and again while it runs."""
    db = house.parts().db
    return page(request, asker, "_run.html", run=await knowledge.run_view(db), live=True)


@router.get("/knowledge/documents")
async def show_documents(
    request: Request,
    asker: Admin,
    q: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    after: Annotated[str, Query(max_length=1_000)] = "",
) -> Response:
    """One page of documents, found by title, path or reason."""
    documents = await knowledge.documents(house.parts().db, q.strip(), state, after)
    return page(request, asker, "_documents.html", documents=documents)


@router.post("/knowledge/reindex")
async def start_run(request: Request, asker: Admin) -> Response:
    """Start a run in a process of its own, unless one is under way."""
    if not reindex.is_starting() and not reindex.is_running(await reindex.latest_run(house.parts().db)):
        await _noted(asker, "re-index")
        await reindex.start(house.parts().settings, asker.email)
    return _back("/admin/knowledge")


@router.post("/knowledge/activate")
async def activate(request: Request, asker: Admin, release: Annotated[int, Form()]) -> Response:
    """Answer people from another kept release, from the next question on."""
    from assistant import bootstrap

    try:
        await bootstrap.activate(house.parts().settings, release, asker.email)
    except AssistantError as error:
        return await show_knowledge(request, asker, problem=str(error))
    await _noted(asker, "activate release", str(release))
    return _back("/admin/knowledge")


# Ratings


@router.get("/ratings")
async def show_ratings(request: Request, asker: Admin) -> Response:
    """Bad ratings and declined questions."""
    db = house.parts().db
    return page(request, asker, "ratings.html", bad=await ratings.bad(db), declined=await ratings.declined(db))


@router.get("/ratings/{message_id}")
async def show_rating(request: Request, asker: Admin, message_id: str, problem: str = "") -> Response:
    """One answer whole, and the form that makes a case of it."""
    complaint = await ratings.complaint(house.parts().db, message_id)
    await _noted(asker, "read a rated answer", message_id)
    rows = in_words.rows(complaint.receipt, present().language, None) if complaint.receipt else []
    return page(request, asker, "case.html", complaint=complaint, rows=rows, problem=problem, found=[], q="")


@router.get("/ratings/{message_id}/documents")
async def find_document(
    request: Request, asker: Admin, message_id: str, q: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Documents to expect, by title or path; those that were retrieved come first while nothing is searched."""
    found = await ratings.expected(house.parts().db, message_id, q.strip())
    return page(request, asker, "_expected.html", found=found, q=q)


@router.post("/ratings/{message_id}/case")
async def make_case(
    request: Request,
    asker: Admin,
    message_id: str,
    doc: Text = "",
    facts: Text = "",
    kind: Annotated[Literal["single", "follow_up", "unanswerable"], Form()] = "single",
) -> Response:
    """Make a case of it; from now on it is asked again at every gate."""
    unanswerable = kind == "unanswerable"
    try:
        await cases.make_case(
            house.parts().db,
            ratings.case_file(house.parts()),
            asker,
            message_id,
            doc=None if unanswerable else doc or None,
            facts=[] if unanswerable else facts.splitlines(),
            kind=kind,
        )
    except AssistantError as error:
        return await show_rating(request, asker, message_id, problem=str(error))
    return _back(f"/admin/ratings?made={message_id}")


# Cost and people


@router.get("/cost")
async def show_cost(request: Request, asker: Admin, by: By = "day") -> Response:
    """The ledger's sums, as a table and as bars."""
    rows: list[dict[str, Any]] = await usage.summary(house.parts().db, by)
    most = max((r["dollars"] for r in rows), default=0)
    calls = max((r["calls"] for r in rows), default=0)
    return page(request, asker, "cost.html", rows=rows, by=by, most=most, calls=calls)


@router.get("/people")
async def show_people(request: Request, asker: Admin) -> Response:
    """Who may sign in."""
    return page(request, asker, "people.html", everyone=await people.everyone(house.parts().db))
