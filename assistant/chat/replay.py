"""Answers a question of the past once more, through the same steps, and keeps nothing of it."""

from __future__ import annotations

import difflib
from typing import Any

from assistant.chat import tools
from assistant.chat.engine import KnowledgeChatEngine, Turn
from assistant.chat.receipt import Record
from assistant.domain import Answer, Receipt


class ReplayEngine(KnowledgeChatEngine):
    """The chat engine without its first and last step. The thread is read as it was before the question."""

    async def _open(self, text: str, turn: Turn) -> None:
        turn.stored = True

    async def _store(self, answer: Answer, record: Record) -> None:
        """Nothing is kept."""

    async def _begin_work(self, chosen: tools.Chosen, record: Record) -> bool:
        return False  # a replay waits for what a person is told later

    async def _noted(self, question: str) -> str | None:
        # What was to be remembered was remembered then.
        return None


def compared(then_text: str, then: Receipt, now_text: str, now: Receipt) -> dict[str, Any]:
    """What differs between an answer and its replay; `diff` is empty where the texts are the same."""
    if then.cache == "hit":
        # Its first line said how long ago it had been given; the answer itself begins behind it.
        then_text = then_text.partition("\n\n")[2]
    before, after = {p.passage for p in then.passages}, {p.passage for p in now.passages}
    return {
        "same": then_text == now_text,
        "diff": list(difflib.unified_diff(then_text.splitlines(), now_text.splitlines(), "then", "now", lineterm="")),
        "passages_added": [p.document for p in now.passages if p.passage not in before],
        "passages_removed": [p.document for p in then.passages if p.passage not in after],
        "then": _figures(then),
        "now": _figures(now),
    }


def _figures(receipt: Receipt) -> dict[str, Any]:
    answered = [a for a in receipt.attempts if a.kind == "chat" and a.outcome == "ok"]
    return {
        "release": receipt.release,
        "level": receipt.decision.level,
        "model": answered[-1].model_served if answered else "",
        "prompts": [f"{p.name} {p.version}" for p in receipt.prompts],
        "ms": receipt.ms,
        "tokens_in": receipt.tokens_in,
        "tokens_out": receipt.tokens_out,
        "cost_nano": receipt.cost_nano,
    }
