"""Documents that a talk's project chose: they come before all others, or are the only ones searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from assistant.domain import Passage
from assistant.index import joining
from assistant.index.retrieve import Found

# Of the passages that an answer is written from, so many are of other documents where the chosen ones carry it.
ELSEWHERE = 2


def within(asked: frozenset[int] | None, chosen: frozenset[int], *, only: bool) -> frozenset[int] | None:
    """The documents that are searched: those a question's own words name, of the project's where it searches no other.

    None stands for all.
    """
    if not only:
        return asked
    return chosen if asked is None else asked & chosen


def first(own: Found, everywhere: Found, most: int) -> Found:
    """The chosen documents' passages, then the best of the others, each once, at most so many."""
    room = max(1, most - ELSEWHERE)
    passages: dict[str, Passage] = {}
    for passage in chain(own.passages[:room], everywhere.passages, own.passages[room:]):
        passages.setdefault(passage.id, passage)
    return _put_together(own, everywhere, joining.apart(list(passages.values()))[:most])


def lifted(everywhere: Found, chosen: frozenset[int], most: int) -> Found:
    """What was found everywhere, with what stands in chosen documents before the rest."""
    passages = sorted(everywhere.passages, key=lambda p: p.document_id not in chosen)
    return replace(everywhere, passages=tuple(passages[:most]))


def _put_together(own: Found, everywhere: Found, passages: Sequence[Passage]) -> Found:
    both = (everywhere, own)
    return replace(
        own,
        passages=tuple(passages),
        nearest=(*own.nearest, *(n for n in everywhere.nearest if n not in own.nearest)),
        expired={k: v for f in both for k, v in f.expired.items()},
        dates={k: v for f in both for k, v in f.dates.items()},
        older={k: v for f in both for k, v in f.older.items()},
        fit={k: v for f in both for k, v in f.fit.items()},
    )
