"""What two documents say differently, sentence by sentence, without a model."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistant.domain import Passage
from assistant.index.sentences import all_stems, spans

# How much of their words two sentences share at least to be about the same thing.
ALIKE = 0.45
SHORTEST = 3
_MARKS = re.compile(r"^(?:[#>*\-•|]+\s*|\d+[.)]\s+)+")


@dataclass(frozen=True)
class Said:
    """A sentence and the passage that it stands in, counted from 0."""

    text: str
    passage: int
    words: frozenset[str]


@dataclass(frozen=True)
class Differences:
    """Sentences with the same words are only counted."""

    same: int
    changed: list[tuple[Said, Said]]
    only_first: list[Said]
    only_second: list[Said]


def sentences(passages: Sequence[Passage]) -> list[Said]:
    """Every sentence once, although neighbouring passages may share some."""
    found: dict[tuple[str, ...], Said] = {}
    for n, passage in enumerate(passages):
        for start, end in spans(passage.text):
            text = _MARKS.sub("", passage.text[start:end]).strip()
            words = tuple(all_stems(text))
            if len(words) >= SHORTEST:
                found.setdefault(words, Said(text, n, frozenset(words)))
    return list(found.values())


def between(
    first: Sequence[Passage], second: Sequence[Passage], progress: Callable[[float], None] | None = None
) -> Differences:
    """Compare two documents. `progress` is told the share that is done; it takes long for long ones."""
    ones, others = sentences(first), sentences(second)
    known = {s.words for s in others}
    same = sum(s.words in known for s in ones)
    alike = {s.words for s in ones} & known
    left, right = [s for s in ones if s.words not in alike], [s for s in others if s.words not in alike]
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
    for _, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if i not in changed and j not in changed.values():
            changed[i] = j
    matched = set(changed.values())
    return Differences(
        same,
        [(left[i], right[j]) for i, j in sorted(changed.items())],
        [s for i, s in enumerate(left) if i not in changed],
        [s for j, s in enumerate(right) if j not in matched],
    )
