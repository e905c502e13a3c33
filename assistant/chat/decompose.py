"""Questions that ask for two things are searched once for each, and what is found is put together.

By rule: “the difference between A and B”, “compare A and B”, and two questions joined by “and”. In doubt a question is
one question. Where there is a model of the strong tier, it splits what may need several documents and no rule splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import structured
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.domain import Passage
from assistant.errors import ModelError
from assistant.index import joining
from assistant.index.retrieve import Found
from assistant.index.sentences import stems

# Each part must say so much of its own.
LEAST_WORDS = 2
LIMIT_S = 5.0
# A question with fewer words that carry meaning hardly needs several documents: no model is asked.
HINT_WORDS = 5
MOST = 4
_SEVERAL = re.compile(
    r"\b(?:and|or|both|each|all|than|versus|vs|compared?|between|same|differ\w*|more|less|fewer|also|while|whereas|if|"
    r"und|oder|beide\w*|jede\w*|alle\w*|als|zwischen|unterschied\w*|gleich\w*|mehr|weniger|auch|während|wenn|falls)\b",
    re.IGNORECASE,
)
_COMPARED = [
    re.compile(
        r"(?P<ask>.*?)\b(?:differences?|differ|distinction)\s+between\s+(?P<a>.+?)\s+(?:and|vs\.?|versus)\s+(?P<b>[^?.]+)"
        r"(?P<rest>.*)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<ask>.*?)\bcompare\s+(?P<a>.+?)\s+(?:and|with|to|vs\.?|versus)\s+(?P<b>[^?.]+)(?P<rest>.*)", re.IGNORECASE
    ),
    re.compile(r"(?P<ask>.*?)\bunterschiede?\s+zwischen\s+(?P<a>.+?)\s+und\s+(?P<b>[^?.]+)(?P<rest>.*)", re.IGNORECASE),
    re.compile(r"(?P<ask>.*?)\bvergleiche?\s+(?P<a>.+?)\s+(?:und|mit)\s+(?P<b>[^?.]+)(?P<rest>.*)", re.IGNORECASE),
]
_ASKS = (
    r"(?:what|who|whom|whose|when|where|which|why|how|is|are|do|does|did|can|may|must|"
    r"was|wer|wen|wem|wann|wo|welche[rsn]?|warum|wie|ist|sind|darf|kann|muss)\b"
)
_JOINED = re.compile(rf"(?:\?\s*|[,;]?\s+)(?:and|und)\s+(?={_ASKS})|\?\s+(?={_ASKS})", re.IGNORECASE)
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|this|that|these|those|there|then|"
    r"es|sie|er|ihn|ihm|ihr|ihnen|dies\w*|das|dort|da|davon|dafür|dann)\b",
    re.IGNORECASE,
)
# Where a thought of a message may end, and what leads to a question inside one: “I was wondering whether …”.
_THOUGHT = re.compile(
    rf"(?<=[.!?])\s+|\n+|[,;:]\s+|\s[-–—]\s|\s+(?:and|but|so|und|aber)\s+(?=(?:also\s+|i\b|ich\b|{_ASKS}))",
    re.IGNORECASE,
)
_LED_TO = re.compile(
    rf"\b(?:wonder(?:ing|ed)?|ask(?:ing|ed)?|know|tell\s+me|sure|find\s+out|clarify|confirm|"
    rf"frag\w*|wissen|sag\w*|klären|sicher)[,:]?\s+(?:you\s+|dich\s+|sie\s+)?(?:(?:whether|if|ob)\b|(?={_ASKS}))(?P<asked>.+)",
    re.IGNORECASE | re.DOTALL,
)
_BEGINS = re.compile(
    rf"(?:(?:also|and|but|so|then|please|und|aber|bitte)\s+)*(?:(?:whether|ob)\s+|(?={_ASKS}))(?P<asked>.+)",
    re.IGNORECASE | re.DOTALL,
)
# “The ticket that a vendor offers”: this one points at what stands before it.
_JOINS = re.compile(r"(?<=\w)\s+that(?=\s+\w)", re.IGNORECASE)
# With fewer words that carry meaning what stands beside a question belongs to it: “new code repo, which licence?”
LONG = 9


def asked(message: str) -> list[str]:
    """The questions of a long message that says other things besides; only those that point at nothing outside them."""
    if len(set(stems(message))) < LONG:
        return []
    found = []
    for thought in _THOUGHT.split(message):
        if question := _LED_TO.search(thought) or _BEGINS.match(thought.strip()):
            found.append(_clean(question["asked"]))
    own = [
        q for q in dict.fromkeys(found) if len(set(stems(q))) >= LEAST_WORDS and not _POINTS.search(_JOINS.sub("", q))
    ]
    return [] if [*map(str.casefold, own)] == [_clean(message).casefold()] else own[:MOST]


def parts(question: str) -> list[str]:
    """The questions that a question is made of; itself alone where it is one."""
    for pattern in _COMPARED:
        if found := pattern.fullmatch(question.strip()):
            sides = [_clean(found["a"]), _clean(found["b"])]
            return sides if all(len(stems(s)) >= 1 for s in sides) else [question]
    pieces = [p for p in (_clean(p) for p in _JOINED.split(question)) if p]
    # What one part names the other may only point at: that is one question.
    whole = len(pieces) == 2 and all(len(stems(p)) >= LEAST_WORDS and not _POINTS.search(p) for p in pieces)
    return pieces if whole else [question]


class _Parts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    questions: list[Annotated[str, Field(min_length=3, max_length=400)]] = Field(max_length=20)


def hinted(question: str) -> bool:
    """Whether a question may need several documents: it says enough, and a word that brings things together."""
    return bool(_SEVERAL.search(question)) and len(set(stems(question))) >= HINT_WORDS


async def by_model(question: str, *, models: Models, prompt: Prompt, call: Call) -> list[str]:
    """The questions that a model splits a question into; itself alone where it finds it to be one, or fails."""
    try:
        told = await structured.ask(models, prompt.tier, prompt.render(question=question), _Parts, call)
    except ModelError:
        return [question]
    own = {p.casefold(): p for p in (_clean(p) for p in told.questions) if len(stems(p)) >= LEAST_WORDS}
    split = [p for key, p in own.items() if key != _clean(question).casefold()][:MOST]
    return split if len(split) > 1 else [question]


def _clean(text: str) -> str:
    return " ".join(text.split()).strip(" ?.,;:")


def merged(whole: Found, parts: Sequence[Found], most: int) -> Found:
    """The search of the whole question with those of its parts: their passages in turn, each once, at most so many.

    It fits as well as the whole question does, or as the worse of its parts.
    """
    passages: dict[str, Passage] = {}
    for passage in _in_turn([whole.passages, *(f.passages for f in parts)]):
        passages.setdefault(passage.id, passage)
    every = [*parts, whole]
    signals = {name: max(value, min(f.signals.get(name, 0.0) for f in parts)) for name, value in whole.signals.items()}
    return replace(
        whole,
        passages=tuple(joining.apart(list(passages.values())))[:most],
        signals=signals,
        attempts=tuple(a for f in every for a in f.attempts),
        expired={k: v for f in every for k, v in f.expired.items()},
        dates={k: v for f in every for k, v in f.dates.items()},
        older={k: v for f in every for k, v in f.older.items()},
        fit={k: v for f in every for k, v in f.fit.items()},
    )


def _in_turn(found: Sequence[Sequence[Passage]]) -> Iterator[Passage]:
    return (p for p in chain.from_iterable(zip_longest(*found)) if p is not None)
