"""Does the long work that answers wait for, one after the other; what comes of it takes the place of the answer."""

from __future__ import annotations

import asyncio
import contextlib
import time

from assistant.chat import lookups, tools, verify
from assistant.chat.receipt import Record
from assistant.chat.services import Services
from assistant.database.tables import WorkRow
from assistant.domain import Asker, Decision, Level, StepTime
from assistant.errors import AssistantError, NotFoundError
from assistant.memory import people, threads, work
from assistant.texts import say

EVERY_S = 2.0
NOTED_EVERY_S = 1.0
LONGEST_S = 900


async def run_next(services: Services) -> bool:
    """Take up the oldest piece of work and finish it. False when there is none.

    It is done under the rights that the asker has now. A process that is killed leaves it to the next one, which
    goes on with what was kept.
    """
    row = await work.claim(services.db, services.owner)
    if row is None:
        return False
    person = await people.by_id(services.db, row.person_id)
    if person is None or not person.active:
        await work.finish(services.db, row.id, services.owner, "failed")
        return True
    asker = people.asker_of(person)
    state = "failed"
    if row.tries <= work.TRIES:
        state = await _do(services, asker, row)
    if state == "failed":
        await _say_failed(services, asker, row)
    if state:
        await work.finish(services.db, row.id, services.owner, state)
    return True


async def _do(services: Services, asker: Asker, row: WorkRow) -> str:
    """How it went: `done`, `failed`, or nothing when it is no longer ours."""
    course = tools.Course(row.done, row.total, dict(row.kept))
    desk = tools.Desk(services.db, services.knowledge, asker, row.language, services.models, services.prompts, course)
    chosen = tools.Chosen(row.tool, row.arguments, "model" if row.chosen_by == "model" else "rules")
    began = time.monotonic()
    doing = asyncio.create_task(tools.call(lookups.TOOLS.get(row.tool), chosen, desk, LONGEST_S), name=f"work {row.id}")
    try:
        while not doing.done():
            await asyncio.wait([doing], timeout=NOTED_EVERY_S)
            if not await work.note(services.db, row.id, services.owner, course.done, course.total, course.kept):
                return ""
        use, result = doing.result()
    finally:
        doing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await doing
    if result is None:
        return "failed"
    try:
        past = await threads.receipt(services.db, asker, row.id)
    except NotFoundError:
        return ""
    record = Record(row.id, row.thread_id, asked=past.asked, segment=past.segment, language=row.language, began=began)
    record.release, record.passages = result.release, result.passages
    record.decision = Decision(level=Level.ANSWERED, score=1, reason="looked up")
    # What the person said, not the reference that it was taken for.
    said = next((t.arguments for t in past.tools if t.name == use.name), use.arguments)
    record.tools.append(use.model_copy(update={"arguments": said}))
    record.attempts.extend(desk.attempts)
    record.steps.append(StepTime(name="tools", ms=use.ms))
    with record.step("verify"):
        passages = dict(enumerate(result.passages, 1))
        record.verification = await asyncio.to_thread(verify.check, result.text, passages, row.language)
    answer = record.answer(result.text, "complete")
    await threads.replace_answer(services.db, asker, answer, record.attempts)
    return "done"


async def _say_failed(services: Services, asker: Asker, row: WorkRow) -> None:
    with contextlib.suppress(AssistantError):
        await threads.fail_answer(services.db, asker, row.id, say(row.language, "chat.work_failed"))
