"""Whether a question leaves open which of several things it means, and the short question to ask back.

Without a model it does where the best document and others of its sort fit it about equally well: their titles share
a word of the question, and each has words of its own that neither the question nor the thread says. So it does where
several documents bear the very same title and say different things; there the folders tell them apart. A small model,
where there is one, is asked whether that matters. A choice searches its own documents only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import defining, structured
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
_WORD = re.compile(r"(?<!\S)[^\W\d_]{2,}(?!\S)")
_YEAR = re.compile(r"(?:19|20)\d\d")
# What stands behind one of these in a title is the site's name or says more of the same thing.
_TAIL = re.compile(r"(?:\s+[|–—-]|:)\s+.*$")


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore")

    ambiguous: bool
    options: list[int] = Field(default=[], max_length=20)


@dataclass(frozen=True)
class Meant:
    """One of the things that a question may mean: what a button says of it, and the documents that it is."""

    label: str
    documents: frozenset[int]


@dataclass(frozen=True)
class _Thing:
    title: str
    path: str
    document: int
    words: frozenset[str]
    text: frozenset[str]


def things(
    question: str,
    said: Sequence[str],
    passages: Sequence[Passage],
    fit: Mapping[str, float],
    older: Collection[str] = (),
) -> list[Meant]:
    """The two to four things that a question may mean; none where it is clear.

    `said` is what came before in the thread; `fit` how well each passage fits the question; `older` are passages whose
    place a newer document takes.
    """
    best = max((fit.get(p.id, 0.0) for p in passages), default=0.0)
    near = [p for p in passages if best > 0 and fit.get(p.id, 0.0) >= NEARLY * best and p.id not in older]
    # The first passage of a document is its best one.
    every = list({p.document_id: t for p in reversed(near) if (t := _thing(p)).words}.values())[::-1]
    if not every or fit.get(passages[0].id, 0.0) < NEARLY * best:
        return []
    first = _thing(passages[0])
    asked = frozenset(stems(question))
    known = asked.union(*(stems(text) for text in said))
    same = [t for t in every if t.title.casefold() == first.title.casefold()]
    if len(same) > 1 and (meant := _of_one_title(same, known)):
        return meant
    if defining.term(question):
        return []  # what it is at all stands in no title
    found = list({t.words: t for t in reversed(every)}.values())[::-1]
    of_sort = [t for t in found if t.words & first.words & asked and _alike(t.words, first.words)]
    if not 2 <= len(of_sort) <= MOST or any(_says_the_same(a, b) for a, b in combinations(of_sort, 2)):
        return []
    common = frozenset.intersection(*(t.words for t in of_sort))
    own = [t.words - common for t in of_sort]
    if any(not words or words & known for words in own):
        return []
    documents = {t.words: frozenset(e.document for e in every if e.words == t.words) for t in of_sort}
    return [Meant(_label(t.title, words), documents[t.words]) for t, words in zip(of_sort, own, strict=True)]


def _of_one_title(same: Sequence[_Thing], known: frozenset[str]) -> list[Meant]:
    """Documents of the very same title, told apart by their paths; none where these do not, or say it all the same.

    Numbers and ids tell nobody anything: each path must have a word of its own.
    """
    if len(same) > MOST or any(_says_the_same(a, b) for a, b in combinations(same, 2)):
        return []
    parts = [[_readable(p) for p in PurePosixPath(t.path).with_suffix("").parts] for t in same]
    common = set(parts[0]).intersection(*parts[1:])
    own = [
        [p for p in of if p not in common and p.casefold() != t.title.casefold()]
        for t, of in zip(same, parts, strict=True)
    ]
    if not all(_WORD.search(" ".join(words)) for words in own) or any(
        known & frozenset(stems(" ".join(words))) for words in own
    ):
        return []
    return [
        Meant(f"{t.title[:LABEL_CHARS]} ({' / '.join(words)})", frozenset({t.document}))
        for t, words in zip(same, own, strict=True)
    ]


def _readable(part: str) -> str:
    return " ".join(part.replace("_", " ").replace("-", " ").split())


def _label(title: str, own: frozenset[str]) -> str:
    """A title as a button says it: cut so that the words that tell it apart are seen."""
    if len(title) <= LABEL_CHARS:
        return title
    words = list(re.finditer(r"\S+", title))
    telling = next((m for m in words if own & set(all_stems(m.group()))), None)
    if telling is None or telling.end() <= LABEL_CHARS:
        return title[: LABEL_CHARS - 1].rstrip() + "…"
    start = next(m.start() for m in words if m.start() >= telling.end() - LABEL_CHARS // 2)
    end = start + LABEL_CHARS - 2
    return "…" + title[start:end].rstrip() + ("…" if end < len(title) else "")


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles name things of one sort, rather than two matters that touch."""
    return len(one & other) >= SAME_SORT * max(len(one), len(other))


def _says_the_same(one: _Thing, other: _Thing) -> bool:
    return len(one.text & other.text) > SAME_TEXT * max(len(one.text), len(other.text))


def _thing(passage: Passage) -> _Thing:
    title = " ".join(passage.title.split())
    words = all_stems(_TAIL.sub("", title).replace("_", " ").replace("-", " "))
    own = frozenset(w for w in words if w not in STOP and not _YEAR.fullmatch(w))
    text = frozenset(passage.text.lower().split())
    return _Thing(title, passage.document, passage.document_id, own, text)


async def confirmed(
    question: str, meant: Sequence[Meant], *, models: Models, prompt: Prompt, call: Call
) -> Sequence[Meant]:
    """Those of the things that a small model holds for possible, none where it finds the question clear.

    Without a model, and where it fails, all of them.
    """
    if not models.has(prompt.tier):
        return meant
    listed = "\n".join(f"{n}: {m.label}" for n, m in enumerate(meant, 1))
    try:
        messages = prompt.render(question=question, things=listed)
        verdict = await structured.ask(models, prompt.tier, messages, _Verdict, call)
    except ModelError:
        return meant
    if not verdict.ambiguous:
        return []
    kept = [meant[n - 1] for n in dict.fromkeys(verdict.options) if 1 <= n <= len(meant)]
    return kept if len(kept) > 1 else meant


def choices(question: str, meant: Sequence[Meant]) -> tuple[Choice, ...]:
    """The question narrowed to each of the things."""
    bare = question.strip().rstrip("?.! ")
    return tuple(
        Choice(label=m.label, question=f"{bare}: {m.label}?", documents=tuple(sorted(m.documents))) for m in meant
    )


def taken(question: str, offered: Sequence[Choice]) -> Choice | None:
    """The choice of a question back that a question takes, word for word: a click sends just that."""
    return next((c for c in offered if c.documents and c.question == question.strip()), None)
