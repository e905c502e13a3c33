"""What the documents of a folder are about: a few sentences of each, by a small model or by quoting."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence

from assistant.chat import evidence
from assistant.chat.cite import safe
from assistant.chat.differences import sentences
from assistant.chat.models import Call
from assistant.chat.tools import Desk, Result, link, quoted
from assistant.database.tables import DocumentRow
from assistant.domain import Passage
from assistant.errors import ModelError, NotFoundError
from assistant.texts import say

# Passages that a model reads of each document, and sentences that are quoted of it without one.
READ = 12
QUOTED = 2
LOOKED_AT = 200
SECONDS = 30
_CITED = re.compile(r"\[(\d+)\](?!\()")


async def summarise(desk: Desk, rows: Sequence[DocumentRow]) -> Result | None:
    """One paragraph for each document, citing its passages. One that went meanwhile is left out."""
    parts, given, release = list[str](), list[Passage](), None
    for done, row in enumerate(rows):
        desk.course.done, desk.course.total = done, len(rows)
        try:
            release, passages = await desk.knowledge.whole(desk.asker, row.id or 0)
        except NotFoundError:
            continue
        passages = passages[:READ]
        # What was written before the server was started anew counts while the document is the same.
        key = f"{row.id} {row.sha256} {release}"
        text = desk.course.kept.get(key) or await _of_one(desk, passages)
        desk.course.kept[key] = text
        if text:
            first = len(given)
            parts.append(f"**{link(row)}**\n\n" + _CITED.sub(lambda m, first=first: f"[{int(m[1]) + first}]", text))  # type: ignore[misc]
            given += passages
    desk.course.done = desk.course.total
    if not parts:
        return None
    head = say(desk.language, "chat.tool_folder", n=len(parts))
    order: dict[int, int] = {}
    text = _CITED.sub(lambda m: f"[{order.setdefault(int(m[1]), len(order) + 1)}]", "\n\n".join([head, *parts]))
    documents = tuple(r.id for r in rows if r.id is not None)
    return Result(text, tuple(given[n - 1] for n in order), documents, release)


async def _of_one(desk: Desk, passages: Sequence[Passage]) -> str:
    prompt = desk.prompts.get("folder")
    if prompt is not None and (desk.models.has("small") or desk.models.has("strong")):
        call = Call("folder", time.monotonic() + SECONDS)
        try:
            messages = prompt.render(language=desk.language, passages=evidence.render(passages))
            reply = await desk.models.complete(prompt.tier, messages, call)
            return " ".join(safe(reply, len(passages)).split())
        except ModelError:
            pass  # then it is quoted
        finally:
            desk.attempts.extend(call.attempts)
    return await asyncio.to_thread(_quotation, passages)


def _quotation(passages: Sequence[Passage]) -> str:
    """The sentences that say most of what the document speaks of again and again, in their order."""
    said = sentences(passages)[:LOOKED_AT]
    # A row of a table or a heading says little alone.
    said = [s for s in said if s.text.endswith((".", "!", "?")) and "|" not in s.text] or said
    often = Counter(w for s in said for w in s.words)
    weights = {s.text: sum(often[w] for w in s.words if often[w] > 1) / (len(s.words) + 8) for s in said}
    best = sorted(sorted(said, key=lambda s: -weights[s.text])[:QUOTED], key=said.index)
    return " ".join(f"{quoted(s.text)} [{s.passage + 1}]" for s in best)
