"""The running summary of a long thread: written by the small model after a turn, so that nobody waits for it."""

from __future__ import annotations

import time

from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.database.engine import Database
from assistant.domain import Asker, Receipt
from assistant.errors import ModelError
from assistant.index import access
from assistant.memory import threads
from assistant.settings import Settings

LIMIT_S = 20.0
# So many turns leave the window before it is written anew: a call for every turn would buy little.
EVERY = 3
ANSWER_CHARS = 600
SUMMARY_CHARS = 1_500


async def keep_up(
    db: Database, asker: Asker, receipt: Receipt, settings: Settings, models: Models, prompt: Prompt
) -> None:
    """Write the turns that have left the window into the summary. Nothing happens without a small model."""
    turns = settings.chat.window_turns
    if turns <= 0 or not models.has(prompt.tier):
        return

    async def whole(turns: int) -> threads.Past:
        return await db.reading(lambda session: threads.past(session, asker, receipt.thread, turns, before=""))

    past = await whole(turns)
    covered = past.summary.turns if past.summary else 0
    fresh = len(past.earlier) - covered
    if fresh < EVERY:
        return
    left = (await whole(turns + fresh)).window[:fresh]
    before = set(past.summary.documents) if past.summary else set()
    named = before.union(*(t.documents for t in left))
    allowed = set(await db.reading(lambda session: access.readable(session, asker, named)))
    kept = past.summary.text if past.summary and before <= allowed else ""
    lines, rests_on = [], before if kept else set[int]()
    for turn in left:
        shown = turn.known and turn.documents <= allowed
        rests_on |= turn.documents if shown else set()
        lines.append(f"Q: {turn.question[:ANSWER_CHARS]}\nA: {turn.answer[:ANSWER_CHARS] if shown else ''}")
    call = Call("summary", time.monotonic() + LIMIT_S)
    try:
        text = await models.complete(prompt.tier, prompt.render(summary=kept, turns="\n".join(lines)), call)
    except ModelError:
        text = ""
    await threads.charge(db, asker, receipt, call.attempts)
    if text.strip():
        upto, _ = past.earlier[-1]
        await threads.summarise(
            db, asker, receipt.thread, upto, text.strip()[:SUMMARY_CHARS], len(past.earlier), rests_on
        )
