"""Thumbs up and down. Chainlit's own routes check no owner, so these stand before them."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from assistant.memory import feedback
from assistant.web import house
from assistant.web.data_layer import answer_of
from assistant.web.gatekeeper import SignedIn
from assistant.web.surface import CHAT

router = APIRouter(prefix=CHAT)


class Rating(BaseModel):
    forId: str = Field(max_length=64)  # noqa: N815 - Chainlit's name
    value: Literal[0, 1]
    comment: str | None = None


class Rate(BaseModel):
    feedback: Rating


class Withdraw(BaseModel):
    feedbackId: str = Field(max_length=64)  # noqa: N815 - Chainlit's name


@router.put("/feedback")
async def rate(body: Rate, asker: SignedIn) -> Any:
    """Keep a rating of one's own answer, in place of an earlier one."""
    given = body.feedback
    kept = await feedback.rate(house.parts().db, asker, answer_of(given.forId), given.value, given.comment or "")
    return JSONResponse({"success": True, "feedbackId": kept})


@router.delete("/feedback")
async def withdraw(body: Withdraw, asker: SignedIn) -> Any:
    """Take one's own rating back."""
    await feedback.withdraw(house.parts().db, asker, body.feedbackId)
    return JSONResponse({"success": True})
