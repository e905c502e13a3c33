"""The admin pages. For anybody who is not an admin none of them exists."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from assistant.domain import now
from assistant.errors import AssistantError
from assistant.index import catalogue
from assistant.memory import people, questions
from assistant.ops import audit, cases, usage
from assistant.web import house, in_words
from assistant.web.admin import ratings, state
from assistant.web.admin.render import page
from assistant.web.gatekeeper import Admin
from assistant.web.sessions import present

router = APIRouter(prefix="/admin")
By = Literal["day", "segment", "feature", "model", "person"]
Text = Annotated[str, Form(max_length=4_000)]
SHOWN = 4


def back(path: str) -> Response:
    """To a page, after something was done."""
    return RedirectResponse(path, status_code=303)


@router.get("")
async def show_overview(request: Request, asker: Admin) -> Response:
    """What people are answered from, what waits for an admin, and what the day was like."""
    db = house.parts().db
    return page(
        request,
        asker,
        "overview.html",
        state=await state.state(db),
        run=await state.run_view(db),
        releases=(await state.releases(db))[:SHOWN],
        counts=await catalogue.counts(db),
        gaps=await cases.gaps(db),
        today=await usage.of_day(db, f"{now():%Y-%m-%d}"),
    )


@router.get("/knowledge")
async def show_knowledge(asker: Admin) -> Response:
    """Where the overview was before; bookmarks and printed instructions name it."""
    return back("/admin")


# Ratings


@router.get("/ratings")
async def show_ratings(request: Request, asker: Admin) -> Response:
    """Bad ratings and declined questions."""
    db = house.parts().db
    asked = await questions.all_sent(db)
    return page(
        request, asker, "ratings.html", bad=await ratings.bad(db), declined=await ratings.declined(db), asked=asked
    )


@router.post("/questions/{question_id}/reply")
async def reply_for_owner(request: Request, asker: Admin, question_id: str, text: Text = "") -> Response:
    """Reply in place of an owner, as for one who has no account."""
    if text.strip():
        await questions.reply(house.parts().db, asker, question_id, text)
        await audit.note(house.parts().db, asker, "reply to a question", question_id)
    return back("/admin/ratings#owners")


@router.get("/ratings/{message_id}")
async def show_rating(request: Request, asker: Admin, message_id: str, problem: str = "") -> Response:
    """One answer whole, and the form that makes a case of it."""
    complaint = await ratings.complaint(house.parts().db, message_id)
    await audit.note(house.parts().db, asker, "read a rated answer", message_id)
    usual = await in_words.usual(house.parts().db, house.parts().settings.chat.budgets)
    rows = in_words.rows(complaint.receipt, present().language, None, usual) if complaint.receipt else []
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
    return back(f"/admin/ratings?made={message_id}")


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


@router.get("/audit")
async def show_audit(
    request: Request,
    asker: Admin,
    person: Annotated[str, Query(max_length=254)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    """Who did what."""
    db = house.parts().db
    rows = await audit.entries(db, person, before)
    more = rows[audit.PAGE - 1].seq if len(rows) > audit.PAGE else None
    rows = rows[: audit.PAGE]
    return page(request, asker, "audit.html", rows=rows, more=more, person=person, actors=await audit.actors(db))
