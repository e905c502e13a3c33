"""A receipt whole, for admins, and its question answered again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from assistant.commands import replay
from assistant.domain import Asker, Receipt
from assistant.errors import AssistantError
from assistant.memory import people, threads
from assistant.ops import audit, latency
from assistant.web import house, in_words
from assistant.web.admin import state
from assistant.web.admin.render import page
from assistant.web.gatekeeper import Admin
from assistant.web.rights import readable
from assistant.web.sessions import present

router = APIRouter(prefix="/admin/receipts")


@dataclass(frozen=True)
class Step:
    """A step of an answer beside what such steps usually take; milliseconds."""

    name: str
    ms: float
    note: str
    p95: float | None
    budget: int | None

    @property
    def slow(self) -> bool:
        """Whether steps of this name take longer than they should."""
        return self.p95 is not None and self.budget is not None and self.p95 > self.budget


async def steps_of(receipt: Receipt) -> list[Step]:
    figures, budgets = await latency.figures(house.parts().db), house.parts().settings.chat.budgets
    return [
        Step(s.name, s.ms, s.note, figures[s.name].p95 if s.name in figures else None, getattr(budgets, s.name, None))
        for s in receipt.steps
    ]


async def _usual() -> in_words.Usual:
    return await in_words.usual(house.parts().db, house.parts().settings.chat.budgets)


@router.get("")
async def find_receipt(request: Request, asker: Admin, of: Annotated[str, Query(max_length=64)] = "") -> Response:
    """Ask for a receipt by its id, as a person reads it under an answer."""
    if of.strip():
        return RedirectResponse(f"/admin/receipts/{of.strip()}", status_code=303)
    figures, budgets = await latency.figures(house.parts().db), house.parts().settings.chat.budgets
    rows = [Step(f.name, f.p50, str(f.count), f.p95, getattr(budgets, f.name, None)) for f in figures.values()]
    return page(request, asker, "receipts.html", rows=sorted(rows, key=lambda s: -(s.p95 or 0)))


@router.get("/{answer_id}")
async def show_receipt(request: Request, asker: Admin, answer_id: str) -> Response:
    """A receipt with all that it holds."""
    return await _page(request, asker, answer_id)


@router.get("/{answer_id}/receipt.json")
async def receipt_json(asker: Admin, answer_id: str) -> Response:
    """The receipt as `docs/receipt.schema.json` describes it."""
    receipt = await threads.receipt(house.parts().db, asker, answer_id)
    await audit.note(house.parts().db, asker, "read a receipt", answer_id)
    return JSONResponse(receipt.model_dump(mode="json"))


async def _page(request: Request, asker: Asker, answer_id: str, **more: Any) -> Response:
    db = house.parts().db
    receipt = await threads.receipt(db, asker, answer_id)
    past = await threads.answered(db, answer_id)
    person = await people.by_id(db, past.person_id)
    await audit.note(db, asker, "read a receipt", answer_id)
    return page(
        request,
        asker,
        "receipt.html",
        receipt=receipt,
        steps=await steps_of(receipt),
        rows=in_words.rows(receipt, present().language, None, await _usual()),
        line=in_words.line(receipt, present().language),
        person=person,
        models=[d.name for d in house.parts().settings.models.deployments],
        releases=[r for r in await state.releases(db) if r.state in {"ready", "retired"}],
        **{"again": None, "problem": "", "hidden": False, **more},
    )


@router.post("/{answer_id}/again")
async def answer_again(
    request: Request,
    asker: Admin,
    answer_id: str,
    model: Annotated[str, Form(max_length=200)] = "",
    release: Annotated[int | None, Form(ge=1, le=2**31)] = None,
) -> Response:
    """Answer the question once more, as who asked it and keeping nothing, and show what differs.

    Its words are shown to an admin who may read all that both answers rest on; the figures to every admin.
    """
    db = house.parts().db
    await threads.receipt(db, asker, answer_id)
    await audit.note(db, asker, "answer again", answer_id)
    try:
        past, now = await replay.answer_again(house.parts(), answer_id, model=model, release_id=release)
    except AssistantError as error:
        return await _page(request, asker, answer_id, problem=str(error))
    named = past.receipt.rests_on() | now.receipt.rests_on()
    hidden = named != await readable(db, asker, named)
    return await _page(request, asker, answer_id, again=replay.compared(past, now), hidden=hidden)
