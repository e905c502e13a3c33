"""Which of two documents about the same thing is the newer one, and what that does to the order of passages.

A newer passage goes before an older one of the same thing where it fits the question nearly as well, and one of a
document past its `valid_until` goes behind those that are still valid. Age counts by itself only where a question asks
for what holds now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from assistant.database.tables import DocumentRow
from assistant.index.sentences import stems

# How much of a passage's fit another one must reach to take its place.
NEARLY = 0.75
# Share of the older passage's words of the question that the newer one must hold too.
SAME_WORDS = 0.5
# Share of their words that two passages have in common when they say the same, whatever their titles.
SAME_TEXT = 0.6
APART = timedelta(days=30)
# What a document loses of its score by age where a question asks for the current one: half of it in a year.
DECAY = 0.1
HALF_LIFE = timedelta(days=365)
LOOKED_AT = 20
# What programs write where nobody set a date: reproducible PDFs, and the template of python-docx.
_UNSET = frozenset({date(2000, 1, 1), date(2013, 12, 23)})
_YEAR = re.compile(r"(?<![\d.,])(?:19[89]|20[0-4])\d(?![\d,]|\.\d)")
_CURRENT = re.compile(
    r"\b(?:currently|current|latest|newest|most recent|up[- ]to[- ]date|nowadays|these days|now|today|"
    r"aktuell\w*|derzeit\w*|neueste\w*|neuste\w*|zurzeit|momentan\w*|jetzt|heutzutage|heute)\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:back in|back then|used to|previous(?:ly)?|former(?:ly)?|last year|the old|earlier version|"
    r"(?:what|who|when|where|which|there|it|that|how \w+) (?:was|were)|"
    r"früher\w*|damals|vorige[rsn]?|letztes jahr|bisherige[rsn]?|alte[rsn]? (?:regel\w*|fassung)|galt(?:en)?|waren?)\b",
    re.IGNORECASE,
)


def current(question: str) -> bool:
    """Whether a question asks for what holds now."""
    return bool(_CURRENT.search(question)) and not past(question)


def past(question: str) -> bool:
    """Whether a question asks for what held before: it says so, or it names a year."""
    return bool(_PAST.search(question) or _YEAR.search(question))


def dated(title: str, path: str, modified: datetime | None) -> datetime | None:
    """When a document is of: a year in its title or name counts before the date of its file, which a copy renews."""
    known = modified if modified and modified.date() not in _UNSET else None
    years = {int(y) for y in _YEAR.findall(title)} or {int(y) for y in _YEAR.findall(path.rpartition("/")[2])}
    if len(years) == 1:
        (year,) = years
        if known is None or year < known.year:
            return datetime(year, 12, 31, tzinfo=UTC)
    return known


def series(title: str) -> frozenset[str]:
    """What a document is about by its title, whatever its year or version."""
    words = re.sub(r"\d+", " ", title.replace("_", " ").replace("-", " "))
    return frozenset(s for s in stems(words) if len(s) > 2)


def same_series(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles name the same thing, the shorter with nothing of its own."""
    shared = len(one & other)
    return shared >= 2 and shared == min(len(one), len(other)) and 2 * shared >= len(one | other)


class _Said:
    """A passage as it is compared."""

    def __init__(self, text: str, row: DocumentRow, asked: frozenset[str], today: datetime) -> None:
        self.document = row.id
        self.date = dated(row.title, row.path, row.modified)
        self.expired = row.valid_until is not None and row.valid_until < today
        self.series = series(row.title)
        self._text = text.lower()
        # Stemming every passage would cost more than the rest of the search; a stem begins its words.
        self.asked = frozenset(s for s in asked if s in self.series or s in self._text)

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(self._text.split())

    def newer(self, other: _Said) -> bool:
        return self.date is not None and other.date is not None and self.date - other.date >= APART

    def same(self, other: _Said) -> bool:
        """Whether both tell of the same thing, as far as the question goes."""
        if not other.asked or len(self.asked & other.asked) < SAME_WORDS * len(other.asked):
            return False
        if same_series(self.series, other.series):
            return True
        shared = len(self.words & other.words)
        return shared >= SAME_TEXT * max(len(self.words), len(other.words), 1)

    def before(self, other: _Said) -> bool:
        """Whether it goes before the other, where it fits the question nearly as well."""
        if self.expired != other.expired:
            return other.expired
        return self.document != other.document and self.newer(other) and self.same(other)


@dataclass(frozen=True)
class Order:
    """Passages in their order, how many were moved up, and which of them a newer one takes the place of."""

    passages: list[str]
    moved: int = 0
    older: Mapping[str, str] = field(default_factory=dict)


def ordered(
    order: Sequence[str],
    scores: Mapping[str, float],
    fit: Mapping[str, float],
    text: Mapping[str, str],
    document: Mapping[str, int],
    rows: Mapping[int, DocumentRow],
    question: str,
    today: datetime,
) -> Order:
    """The passages with newer and valid ones moved up.

    `scores` made the order; `fit` tells how well each fits the question, whatever else was found: normalised scores of
    a short list do not. A question that asks for what held before is left as it is.
    """
    if past(question):
        return Order(list(order))
    looked, rest = list(order[:LOOKED_AT]), list(order[LOOKED_AT:])
    asked = frozenset(stems(question))
    said = {i: _Said(text[i], rows[document[i]], asked, today) for i in looked}
    if current(question):
        weighed = _aged(looked, scores, said)
        looked.sort(key=lambda i: -weighed[i])
    out: list[str] = []
    done: set[str] = set()
    older: dict[str, str] = {}

    def place(passage: str) -> None:
        done.add(passage)
        for other in looked:
            near = other != passage and fit.get(other, 0.0) >= NEARLY * fit.get(passage, 0.0)
            if near and said[other].before(said[passage]):
                if said[other].newer(said[passage]):
                    older.setdefault(passage, other)
                if other not in done:
                    place(other)
        out.append(passage)

    for passage in looked:
        if passage not in done:
            place(passage)
    before = {i: n for n, i in enumerate(order)}
    return Order(out + rest, sum(before[i] > n for n, i in enumerate(out)), older)


def _aged(looked: Sequence[str], scores: Mapping[str, float], said: Mapping[str, _Said]) -> dict[str, float]:
    """The scores less what age takes; one without a date loses nothing."""
    newest = max((s.date for s in said.values() if s.date), default=None)
    if newest is None:
        return dict(scores)
    return {
        i: scores[i] * (1 - DECAY * (1 - 0.5 ** ((newest - of) / HALF_LIFE))) if (of := said[i].date) else scores[i]
        for i in looked
    }
