"""An answer of another day under today's rights."""

from __future__ import annotations

import re
from typing import Any

from assistant.database.engine import Database
from assistant.domain import Asker, Receipt
from assistant.memory.threads import Reopened
from assistant.texts import say
from assistant.web.rights import readable


def hidden_numbers(receipt: Receipt, readable: set[int]) -> set[int]:
    """The citation numbers whose passage the reader may no longer see."""
    return {p.n for p in receipt.passages if p.document_id not in readable}


def text_today(text: str, receipt: Receipt | None, readable: set[int], language: str) -> str:
    """The answer's text without the sentences that rest on a passage its reader may no longer see.

    Where the sentences were never checked, it is not known which rest on it: then nothing of the text is shown.
    """
    if receipt is None:
        return text
    gone = say(language, "chat.hidden_passage")
    if any(not readable.issuperset(t.documents) for t in receipt.tools):
        return f"*{gone}*"  # a look-up names documents in sentences that cite nothing
    hidden = hidden_numbers(receipt, readable) & {p.n for p in receipt.passages if p.cited}
    if not hidden:
        return text
    if not receipt.verification:
        return f"*{gone}*"
    out, at = [], 0
    for sentence in sorted(receipt.verification, key=lambda s: s.start):
        # A sentence that cites nothing may still lean on the passages: it goes with them.
        if not sentence.citations or hidden & set(sentence.citations):
            out += [text[at : sentence.start], f"*{gone}*" if hidden & set(sentence.citations) else ""]
        else:
            out.append(text[at : sentence.end])
        at = sentence.end
    # What stands behind the last sentence are its numbers.
    rest = text[at:]
    for n in hidden:
        rest = rest.replace(f"[{n}]", "")
    joined = "".join([*out, rest])
    for n in hidden:
        joined = joined.replace(f"[{n}]", "")
    return joined.strip()


async def texts_today(db: Database, asker: Asker, opened: Reopened, language: str) -> tuple[dict[str, str], set[int]]:
    """What each answer of a thread reads for somebody now, by its id, and the documents named that they may read."""
    allowed = await readable(db, asker, document_ids(opened))
    texts = {}
    for message in opened.messages:
        if message.role == "assistant":
            text = text_today(message.text, opened.receipts.get(message.id), allowed, language)
            texts[message.id] = nearest_today(message.extra.get("nearest", []), text, allowed, language)
    return texts, allowed


def nearest_today(nearest: list[dict[str, Any]], text: str, readable: set[int], language: str) -> str:
    """A declined answer that names only documents its reader may still see."""
    left = [n for n in nearest if n.get("document_id") in readable]
    if len(left) == len(nearest):
        return text
    if not left:
        return say(language, "chat.declined")
    links = ", ".join(f"[{_plain(str(n['title']))}](/documents/{n['document_id']})" for n in left)
    return say(language, "chat.declined_nearest", documents=links)


def _plain(title: str) -> str:
    return re.sub(r"([\\\[\]<>`*_])", r"\\\1", title)


def document_ids(opened: Reopened) -> set[int]:
    """The documents that the answers of a thread rest on or name."""
    nearest = {int(n["document_id"]) for m in opened.messages for n in m.extra.get("nearest", [])}
    return nearest.union(*(r.rests_on() for r in opened.receipts.values()))
