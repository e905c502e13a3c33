"""A follow-up becomes something that can be searched alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import structured
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.errors import ModelError
from assistant.index.scoring import leaning
from assistant.memory.threads import PastTurn

LIMIT_S = 4.0
# Enough of an answer to tell a model that rewrites what it was about.
ANSWER_CHARS = 600


class _Rewritten(BaseModel):
    model_config = ConfigDict(extra="ignore")

    question: str = Field(min_length=1, max_length=1_000)
    standalone: bool = False


@dataclass(frozen=True)
class Search:
    """What to search for: `text`, and earlier texts of the thread whose scores are added with their weight."""

    text: str
    before: tuple[tuple[str, float], ...] = ()
    note: str = "first question of its thread"


def fused(question: str, window: Sequence[PastTurn], weight: float) -> Search:
    """Without a model: the scores of the turn before count too, which did better than any rewriting by rule.

    The question before is taken back to the last turn that was answered, so a declined one in between does not
    cut the thread.
    """
    if not window or weight <= 0:
        return Search(question)
    last = window[-1]
    before = [(last.question, weight)]
    # A question back names what the person did not mean, too.
    if last.answer and not last.asked_back:
        before.append((leaning(last.answer), weight))
    return Search(question, tuple(before), note="searched with the turn before")


async def standalone(
    question: str, window: Sequence[PastTurn], *, models: Models, prompt: Prompt, call: Call, weight: float
) -> Search:
    """The question as it is searched: rewritten by the small model where there is one, fused otherwise."""
    if not window or not models.has(prompt.tier):
        return fused(question, window, weight)
    history = "\n".join(f"Q: {t.question}\nA: {t.answer[:ANSWER_CHARS]}" for t in window[-3:])
    try:
        messages = prompt.render(history=history, question=question)
        found = await structured.ask(models, prompt.tier, messages, _Rewritten, call)
    except ModelError:
        return replace(fused(question, window, weight), note="not rewritten; searched with the turn before")
    return Search(found.question, note="stands alone" if found.standalone else "rewritten from the thread")
