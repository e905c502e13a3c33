"""What is said under an answer whose passages contradict each other: both figures with dates, and which to go by."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from assistant.domain import Passage
from assistant.index import contradictions

# One sentence each; more would bury the answer.
MOST = 2
# A passage that fits the question much less than the best one is about something else.
NEARLY = 0.75
_TOKEN = re.compile(r"\w+(?:[.,:]\w+)*")
_CURRENCY = re.compile(r"\b(?:eur|usd|gbp|chf)$")


@dataclass(frozen=True)
class Conflict:
    """Two passages that disagree; `used` is the one to go by: the valid one, else the newer one, else none is known.

    `says` is the figure of `used`, `otherwise` that of the other; so are the dates.
    """

    used: Passage
    other: Passage
    says: str
    otherwise: str
    date: datetime | None
    other_date: datetime | None
    known: bool


def found(
    answer: str,
    passages: Sequence[Passage],
    cited: AbstractSet[int],
    dates: Mapping[int, datetime],
    expired: Mapping[int, datetime],
    fit: Mapping[str, float],
    dismissed: Collection[AbstractSet[str]] = (),
) -> list[Conflict]:
    """Where a passage that the answer cites contradicts another one that fits the question, at most two.

    Only what the answer says matters: one of the two figures stands in it. `dismissed` are pairs of sentences of which
    somebody said that they do not contradict each other.
    """
    in_answer = set(_TOKEN.findall(answer.lower()))
    least = NEARLY * max(fit.values(), default=0.0)
    mine = {p.id for n, p in enumerate(passages, 1) if n in cited}
    compared = mine | {p.id for p in passages if fit.get(p.id, 0.0) >= least}

    def matters(conflict: contradictions.Contradiction) -> bool:
        both, where = {conflict.one.id, conflict.other.id}, conflict.where
        if {conflict.one.text[slice(*where.one)], conflict.other.text[slice(*where.other)]} in dismissed:
            return False
        said = (figure for says in where.says for figure in _TOKEN.findall(says.lower())[:1])
        return both <= compared and bool(both & mine) and any(figure in in_answer for figure in said)

    out: list[Conflict] = []
    for conflict in contradictions.among(passages, matters):
        one, other = conflict.one, conflict.other
        says, otherwise = (_CURRENCY.sub(lambda m: m.group().upper(), said) for said in conflict.where.says)
        rank, rank_other = _rank(one, dates, expired), _rank(other, dates, expired)
        if rank_other > rank:
            one, other, says, otherwise = other, one, otherwise, says
        of, of_other = dates.get(one.document_id), dates.get(other.document_id)
        out.append(Conflict(one, other, says, otherwise, of, of_other, rank != rank_other))
    return out[:MOST]


def _rank(passage: Passage, dates: Mapping[int, datetime], expired: Mapping[int, datetime]) -> tuple[bool, float]:
    moment = dates.get(passage.document_id)
    return passage.document_id not in expired, moment.timestamp() if moment else 0.0
