"""A follow-up becomes something that can be searched alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import defining, structured
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.errors import ModelError
from assistant.index.scoring import leaning
from assistant.index.sentences import stems
from assistant.memory.threads import PastTurn

LIMIT_S = 4.0
# Enough of an answer to tell a model that rewrites what it was about.
ANSWER_CHARS = 600
# So few words that carry meaning are no question without the one before; with so many a word that points back points
# at something in the question itself (docs/decisions/0020-a-new-subject.md).
FRAGMENT, POINTS_BACK = 2, 5
# What the turn before counts at most beside a question that stands alone: people mostly go on about the same.
ALONE = 0.2
_GOES_ON = re.compile(
    r"\W*(?:(?:thx|thanks|hm+|ok|okay|danke|so|well)\b\W*)*(?:and|but|or|what about|how about|what if|also|then|until|"
    r"since|for|with|from|to|in|at|on|by|why|really|no|yes|und|aber|oder|was ist mit|wie ist es mit|bis|ab|für|mit|bei|"
    r"ja|nein)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|these|those|ones?|same|others?|both|else|instead|"
    r"more|too|also|es|sie|ihn|ihm|ihre?[nrsm]?|dies\w*|dort|dafür|davon|damit|dazu|darüber|daran|dabei|dagegen|derselbe|"
    r"dieselbe|dasselbe|auch|mehr|sonst|(?:is|was|does|do|about|of|for|with|from|to|at|after|before|in|on|by|like|need|"
    r"mean) (?:that|there)|that (?:need|mean|is|apply|cost|work|take|happen|include|count)\w*)\b|\bthere\W*$",
    re.IGNORECASE,
)


class _Rewritten(BaseModel):
    model_config = ConfigDict(extra="ignore")

    question: str = Field(min_length=1, max_length=1_000)
    standalone: bool = False


@dataclass(frozen=True)
class Search:
    """What to search for: `text`, and earlier texts of the thread whose scores are added with their weight.

    With those `before` it is read, judged and quoted together; those `aside` only help to put passages in order.
    """

    text: str
    before: tuple[tuple[str, float], ...] = ()
    aside: tuple[tuple[str, float], ...] = ()
    note: str = "first question of its thread"


def fused(question: str, window: Sequence[PastTurn], weight: float) -> Search:
    """Without a model: the scores of the turn before count too, which did better than any rewriting by rule.

    The question before is taken back to the last turn that was answered, so a declined one in between does not
    cut the thread.
    """
    if not window or weight <= 0:
        return Search(question)
    last = window[-1]
    alone = not last.asked_back and stands_alone(question, last.question)
    weight = min(weight, ALONE) if alone else weight
    before = [(last.question, weight)]
    # A question back names what the person did not mean, too.
    if last.answer and not last.asked_back:
        before.append((leaning(last.answer), weight))
    if alone:
        return Search(question, aside=tuple(before), note="stands alone; the turn before only helps to order")
    return Search(question, tuple(before), note="searched with the turn before")


def stands_alone(question: str, before: str) -> bool:
    """Whether a question is whole without the one `before` it, by its words: then it may be about something else.

    What an abbreviation means is. A question that goes on, points back, shares a word that carries meaning, or is no
    more than a fragment leans.
    """
    words = set(stems(question))
    if sum(map(str.isupper, defining.term(question))) > 1:
        return True  # what an abbreviation means is whole, however short
    if len(words) <= FRAGMENT or not words.isdisjoint(stems(before)) or _GOES_ON.match(question):
        return False
    return len(words) > POINTS_BACK or _POINTS.search(question) is None


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
