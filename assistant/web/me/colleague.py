"""A shared conversation as a colleague may see it: decided by their own rights, never by the owner's.

An answer is shown when its reader may read every passage that it was written from, cited or not; else it is withheld
whole, since its words may come from any of them. A model was also given the talk so far, so once something is
withheld all that a model wrote after it is withheld too; what only quotes documents is decided by its own passages.
Of an answer without a receipt nobody knows what it rests on: it is withheld.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from assistant.database.engine import Database
from assistant.domain import Asker, PassageUse, Receipt
from assistant.memory.threads import Reopened
from assistant.web.data_layer import mark
from assistant.web.rights import readable
from assistant.web.today import document_ids, nearest_today


@dataclass(frozen=True)
class Seen:
    """One message as the colleague sees it; `sources` are cited passages, None for one that is not open to them."""

    id: str
    asked: bool
    text: str
    withheld: bool = False
    sources: list[tuple[int, PassageUse | None]] = field(default_factory=list)


async def seen_by(db: Database, reader: Asker, opened: Reopened, language: str) -> list[Seen]:
    """Every message of the shown branch."""
    allowed = await readable(db, reader, document_ids(opened))
    out: list[Seen] = []
    lost = False
    for message in opened.messages:
        if message.role == "user":
            out.append(Seen(message.id, asked=True, text=message.text))
            continue
        receipt = opened.receipts.get(message.id)
        if receipt is None or receipt.rests_on() - allowed or (lost and receipt.prompts):
            lost = True
            out.append(Seen(message.id, asked=False, text="", withheld=True, sources=_sources(receipt, allowed)))
            continue
        text = nearest_today(message.extra.get("nearest", []), message.text, allowed, language)
        out.append(Seen(message.id, False, text + mark(message, language), False, _sources(receipt, allowed)))
    return out


def _sources(receipt: Receipt | None, allowed: set[int]) -> list[tuple[int, PassageUse | None]]:
    cited = [p for p in receipt.passages if p.cited] if receipt else []
    return [(p.n, p if p.document_id in allowed else None) for p in cited]
