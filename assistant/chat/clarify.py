"""Whether a question leaves open which of several things it means, and the short question to ask back.

Without a model it does where the best document and others of its sort fit it about equally well: their titles share
a word of the question, and each has words of its own that neither the question nor the thread says. A small model,
where there is one, is asked whether that matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import structured
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.domain import Choice, Passage
from assistant.errors import ModelError
from assistant.index.sentences import STOP, all_stems, stems

LIMIT_S = 3.0
# How much of the best fit a passage must reach to count as fitting about equally well.
NEARLY = 0.85
# The share of words that titles of one sort have in common: Hurricane Gloria, Hurricane Isaac.
SAME_SORT = 0.5
# The share of their words that two passages have in common when the answer is the same, whichever is meant.
SAME_TEXT = 0.6
MOST = 4
LABEL_CHARS = 80
_YEAR = re.compile(r"(?:19|20)\d\d")
# What stands behind one of these in a title is the site's name or says more of the same thing.
_TAIL = re.compile(r"(?:\s+[|–—-]|:)\s+.*$")


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore")

    ambiguous: bool
    options: list[int] = Field(default=[], max_length=20)


@dataclass(frozen=True)
class _Thing:
    label: str
    words: frozenset[str]
    text: frozenset[str]


def things(question: str, said: Sequence[str], passages: Sequence[Passage], fit: Mapping[str, float]) -> list[str]:
    """The two to four things that a question may mean, as the titles of documents; none where it is clear.

    `said` is what came before in the thread; `fit` how well each passage fits the question.
    """
    best = max((fit.get(p.id, 0.0) for p in passages), default=0.0)
    near = [p for p in passages if best > 0 and fit.get(p.id, 0.0) >= NEARLY * best]
    found = list({t.words: t for p in reversed(near) if (t := _thing(p)).words}.values())[::-1]
    if not found or fit.get(passages[0].id, 0.0) < NEARLY * best:
        return []
    first = _thing(passages[0])
    asked = frozenset(stems(question))
    known = asked.union(*(stems(text) for text in said))
    of_sort = [t for t in found if t.words & first.words & asked and _alike(t.words, first.words)]
    if not 2 <= len(of_sort) <= MOST or any(_says_the_same(a, b) for a, b in combinations(of_sort, 2)):
        return []
    common = frozenset.intersection(*(t.words for t in of_sort))
    own = [t.words - common for t in of_sort]
    if any(not words or words & known for words in own):
        return []
    return [t.label for t in of_sort]


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles name things of one sort, rather than two matters that touch."""
    return len(one & other) >= SAME_SORT * max(len(one), len(other))


def _says_the_same(one: _Thing, other: _Thing) -> bool:
    return len(one.text & other.text) > SAME_TEXT * max(len(one.text), len(other.text))


def _thing(passage: Passage) -> _Thing:
    label = " ".join(passage.title.split())
    words = all_stems(_TAIL.sub("", label).replace("_", " ").replace("-", " "))
    own = frozenset(w for w in words if w not in STOP and not _YEAR.fullmatch(w))
    return _Thing(label[:LABEL_CHARS], own, frozenset(passage.text.lower().split()))


async def confirmed(
    question: str, labels: Sequence[str], *, models: Models, prompt: Prompt, call: Call
) -> Sequence[str]:
    """Those of the things that a small model holds for possible, none where it finds the question clear.

    Without a model, and where it fails, all of them.
    """
    if not models.has("small"):
        return labels
    listed = "\n".join(f"{n}: {label}" for n, label in enumerate(labels, 1))
    try:
        messages = prompt.render(question=question, things=listed)
        verdict = await structured.ask(models, "small", messages, _Verdict, call)
    except ModelError:
        return labels
    if not verdict.ambiguous:
        return []
    kept = [labels[n - 1] for n in dict.fromkeys(verdict.options) if 1 <= n <= len(labels)]
    return kept if len(kept) > 1 else labels


def choices(question: str, labels: Sequence[str]) -> tuple[Choice, ...]:
    """The question narrowed to each of the things."""
    bare = question.strip().rstrip("?.! ")
    return tuple(Choice(label=label, question=f"{bare}: {label}?") for label in labels)
