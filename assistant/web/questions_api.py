"""Programs ask on behalf of a person: `POST /v1/questions`, `GET /v1/questions/{id}`.

A key asks as the one person whom an admin named when it was made, within that person's rights of the moment and never
with those of an admin. What it asks stands among that person's conversations, under the key's name. It goes on with
talks that it began itself, reads no other, is told nothing of the person's notes, and has nothing remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select

from assistant.database.tables import ApiKeyRow, Message
from assistant.domain import ADMINS, Asker, Level, Receipt, Verdict
from assistant.errors import AssistantError, BusyError, InputError, NotFoundError
from assistant.memory import asked, people, threads, work
from assistant.web import house
from assistant.web.api import caller
from assistant.web.rights import readable
from assistant.web.sessions import present
from assistant.web.surface import QUESTIONS

log = logging.getLogger(__name__)
router = APIRouter()
LONGEST_WAIT_S = 60


class Question(BaseModel):
    """What a program sends. `thread` goes on with a talk that the same key began; `wait` is in seconds."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1)
    thread: str = Field(default="", max_length=64)
    wait: float = Field(default=0, ge=0, le=LONGEST_WAIT_S)


@dataclass(frozen=True)
class Program:
    """A key, and the person for whom it asks."""

    key: ApiKeyRow
    asker: Asker


async def _program(request: Request) -> Program:
    key = await caller(request, "ask")
    person = await people.by_id(house.parts().db, key.person_id or "")
    if person is None or not person.active:
        raise HTTPException(403, "The person for whom this key asks has no active account any more.")
    asker = people.asker_of(person)
    return Program(key, asker.model_copy(update={"groups": asker.groups - {ADMINS}, "program": True}))


Asking = Annotated[Program, Depends(_program)]


@router.post(QUESTIONS)
async def ask(body: Question, program: Asking) -> Response:
    """Ask. 200 with the answer where it is there within `wait` seconds, else 202; then ask for it by its id."""
    db, limit = house.parts().db, house.parts().settings.chat.question_chars
    if len(body.question) > limit:
        raise InputError(f"A question has {limit:,} characters at most.", "Shorten it.")
    answer, thread = str(uuid4()), body.thread or str(uuid4())
    most = house.parts().settings.web.key_questions_per_minute
    await asked.begin(db, program.key, answer, thread, goes_on=bool(body.thread), most=most)
    try:
        if house.turns().running(thread) is not None:
            raise BusyError("The question before is still being answered.", "Wait for its answer.")
        turn = house.turns().start(program.asker, thread, str(uuid4()), answer, body.question, present().language)
        async for _ in turn.events():
            break  # by its first event the question is stored
        if not body.thread:
            await threads.rename(db, program.asker, thread, f"{program.key.name}: {body.question}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(body.wait):
                async for _ in turn.events():
                    pass
    except AssistantError:
        await asked.withdraw(db, answer)
        raise
    except Exception as error:
        log.error("a question of a program failed: %s", type(error).__name__)
        raise HTTPException(500, "This did not work. Ask again in a moment.") from error
    view = await _view(program, answer)
    return JSONResponse(view, 202 if view["state"] in {"answering", "working"} else 200)


@router.get(QUESTIONS + "/{id_}")
async def get(id_: str, program: Asking) -> Response:
    """What became of a question that this key asked, under today's rights."""
    return JSONResponse(await _view(program, id_))


async def _view(program: Program, answer_id: str) -> dict[str, Any]:
    db = house.parts().db
    question = await asked.of_key(db, program.key, answer_id)
    await threads.of(db, program.asker, question.thread_id)
    async with db.read() as session:
        message = (await session.exec(select(Message).where(Message.id == answer_id))).first()
    if message is None or message.thread_id != question.thread_id:
        raise NotFoundError("There is no such question.", "See the id.")
    waits = await work.of_answer(db, program.asker, answer_id)
    state = "working" if waits is not None and waits.finished_at is None else message.state
    view: dict[str, Any] = {"id": answer_id, "thread": question.thread_id, "receipt": answer_id, "state": state}
    if state == "streaming":
        return {**view, "state": "answering"}
    try:
        receipt = await threads.receipt(db, program.asker, answer_id)
    except NotFoundError:
        return view  # cut before anything was kept of it
    return {**view, **await _answer(program.asker, message.text, receipt)}


async def _answer(asker: Asker, text: str, receipt: Receipt) -> dict[str, Any]:
    """An answer with its passages. One that rests on a document which the person may no longer read is withheld."""
    knowledge = house.parts().knowledge
    rests_on = receipt.rests_on()
    if rests_on - await readable(house.parts().db, asker, rests_on):
        return {"answer": None, "withheld": True, "citations": []}
    citations = []
    for used in (p for p in receipt.passages if p.cited):
        with contextlib.suppress(NotFoundError):
            shown = await knowledge.passage(asker, used.passage, receipt.release)
            citations.append(
                {
                    "n": used.n,
                    "document": used.document,
                    "title": used.title,
                    "place": used.place,
                    "text": shown.passage.text,
                    "link": shown.link,
                }
            )
    verdicts = [c.verdict for c in receipt.verification]
    return {
        "answer": text,
        "level": receipt.decision.level,
        "abstained": receipt.decision.level is Level.DECLINED,
        "citations": citations,
        "choices": [c.question for c in receipt.choices],
        "checked": {v.value: verdicts.count(v) for v in Verdict},
        "ms": receipt.ms,
        "cost_nano": receipt.cost_nano,
    }
