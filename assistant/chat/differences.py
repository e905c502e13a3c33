"""What two documents say differently, sentence by sentence, without a model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from assistant.domain import Passage
from assistant.index.sentences import all_stems, spans, stems

# How much of their words two sentences share at least to be about the same thing.
ALIKE = 0.35
SHORTEST = 3
# A line this long goes on in the next one, where nothing ends in it: so text of a PDF is broken.
FULL_LINE = 40
_MARKS = re.compile(r"^(?:[#>*\-•|]+\s*|\d+[.)]\s+)+")


@dataclass(frozen=True)
class Said:
    """A sentence, the passage that it stands in, counted from 0, and the words that carry its meaning.

    `same_as` are all its words, in order: what another one has that says the same.
    """

    text: str
    passage: int
    words: frozenset[str]
    same_as: tuple[str, ...]


@dataclass(frozen=True)
class Differences:
    """Sentences with the same words are only counted."""

    same: int
    changed: list[tuple[Said, Said]]
    only_first: list[Said]
    only_second: list[Said]


def unbroken(text: str) -> str:
    """The text without the line breaks of a page's width."""
    lines = text.split("\n")
    out = lines[0]
    for before, line in pairwise(lines):
        full = len(before) >= FULL_LINE and before.rstrip()[-1:] not in ".!?:;|"
        goes_on = full and line.strip() and not _MARKS.match(line) and "|" not in line
        out += (" " if goes_on else "\n") + line
    return out


def sentences(passages: Sequence[Passage]) -> list[Said]:
    """Every sentence once, although neighbouring passages may share some."""
    found: dict[tuple[str, ...], Said] = {}
    for n, passage in enumerate(passages):
        whole = unbroken(passage.text)
        for start, end in spans(whole):
            text = _MARKS.sub("", whole[start:end]).strip()
            words = tuple(all_stems(text))
            if len(words) >= SHORTEST and text not in passage.place.headings and text != passage.title:
                found.setdefault(words, Said(text, n, frozenset(stems(text)) or frozenset(words), words))
    return list(found.values())


def between(
    first: Sequence[Passage], second: Sequence[Passage], progress: Callable[[float], None] | None = None
) -> Differences:
    """Compare two documents. `progress` is told the share that is done; it takes long for long ones."""
    ones, others = sentences(first), sentences(second)
    alike = {s.same_as for s in ones} & {s.same_as for s in others}
    left, right = [s for s in ones if s.same_as not in alike], [s for s in others if s.same_as not in alike]
    holding: dict[str, list[int]] = defaultdict(list)
    for i, other in enumerate(right):
        for word in other.words:
            holding[word].append(i)
    pairs = []
    for i, one in enumerate(left):
        shared: Counter[int] = Counter()
        for word in one.words:
            shared.update(holding.get(word, ()))
        for j, count in shared.items():
            share = count / len(one.words | right[j].words)
            if share >= ALIKE:
                pairs.append((share, i, j))
        if progress:
            progress((i + 1) / len(left))
    changed: dict[int, int] = {}
    matched: set[int] = set()
    for _, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if i not in changed and j not in matched:
            changed[i] = j
            matched.add(j)
    return Differences(
        len(alike),
        [(left[i], right[j]) for i, j in sorted(changed.items())],
        [s for i, s in enumerate(left) if i not in changed],
        [s for j, s in enumerate(right) if j not in matched],
    )
