"""A conversation to take along, under today's rights: what its owner may no longer read is not in it."""

from __future__ import annotations

from typing import Any

from assistant.database.tables import Message
from assistant.domain import Asker, Receipt
from assistant.memory.threads import Reopened
from assistant.texts import say
from assistant.web import house
from assistant.web.data_layer import mark
from assistant.web.in_words import place
from assistant.web.today import texts_today

FORMAT = 1


async def as_json(asker: Asker, opened: Reopened, language: str) -> dict[str, Any]:
    """The shown branch with citations and receipts, as plain data."""
    texts, allowed = await texts_today(house.parts().db, asker, opened, language)
    return {
        "format": FORMAT,
        "id": opened.thread.id,
        "title": opened.thread.title,
        "created_at": opened.thread.created_at.isoformat(),
        "updated_at": opened.thread.updated_at.isoformat(),
        "messages": [_message(m, texts, opened.receipts.get(m.id), allowed) for m in opened.messages],
    }


def _message(message: Message, texts: dict[str, str], receipt: Receipt | None, allowed: set[int]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": message.id,
        "role": message.role,
        "text": texts.get(message.id, message.text),
        "state": message.state,
        "at": message.created_at.isoformat(),
    }
    if receipt is not None:
        out["citations"] = [_citation(p, allowed) for p in receipt.passages if p.cited]
        out["receipt"] = _receipt(receipt, allowed)
    return out


def _citation(passage: Any, allowed: set[int]) -> dict[str, Any]:
    if passage.document_id not in allowed:
        return {"n": passage.n, "available": False}
    return {"n": passage.n, "available": True, **passage.model_dump(include={"title", "document", "place", "passage"})}


def _receipt(receipt: Receipt, allowed: set[int]) -> dict[str, Any]:
    """The receipt. Where something is hidden today, what may tell of it is left out."""
    body = receipt.model_dump(mode="json")
    # Earlier texts of this very thread, as they were then; they stand above as they may be read now.
    body["fused_with"] = []
    if not receipt.rests_on() <= allowed:
        body["passages"] = [
            p if p["document_id"] in allowed else {"n": p["n"], "available": False} for p in body["passages"]
        ]
        body["verification"] = [{**check, "reason": ""} for check in body["verification"]]
        body |= {"searched": receipt.asked, "filtered": "", "choices": [], "tools": []}
    return body


async def as_markdown(asker: Asker, opened: Reopened, language: str) -> str:
    """The shown branch as a text with its sources."""
    texts, allowed = await texts_today(house.parts().db, asker, opened, language)
    parts = [f"# {opened.thread.title}", f"{opened.thread.created_at:%Y-%m-%d}"]
    for message in opened.messages:
        if message.role == "user":
            parts.append(f"## {message.text}")
            continue
        parts.append(texts[message.id] + mark(message, language))
        receipt = opened.receipts.get(message.id)
        cited = [p for p in receipt.passages if p.cited] if receipt else []
        sources = [
            f"- [{p.n}] "
            + (" · ".join(x for x in (p.title, place(language, p.place)) if x) if p.document_id in allowed else gone)
            for p in cited
            for gone in (say(language, "chat.hidden_passage"),)
        ]
        if sources:
            parts.append("\n".join([f"**{say(language, 'me.sources')}**", "", *sources]))
    return "\n\n".join(parts) + "\n"
