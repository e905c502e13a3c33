"""Sentences of ours around an answer, or in its place: what the documents do not say, no longer say, or say twice."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from datetime import datetime

from assistant.chat.cache import Entry
from assistant.chat.cite import cited_in
from assistant.chat.clarify import Meant
from assistant.chat.conflicts import Conflict
from assistant.chat.decide import label
from assistant.domain import Nearest
from assistant.index.facts import MONTHS
from assistant.index.language import is_english
from assistant.index.retrieve import Found
from assistant.texts import day, say

_WHEN = frozenset(MONTHS) | frozenset("monday tuesday wednesday thursday friday saturday sunday".split())
_WORD = re.compile(r"[^\W\d_]{2,}")
# Words with a capital behind another word of their sentence, those side by side together.
_NAME = re.compile(r"(?<=[\w,;][ ])[A-ZÄÖÜ][^\W\d_]{2,}(?: [A-ZÄÖÜ][^\W\d_]{2,})*")


def before(sentences: Iterable[str]) -> str:
    """Sentences that stand before an answer."""
    return "".join(f"*{sentence}*\n\n" for sentence in sentences)


def behind(sentences: Iterable[str]) -> str:
    """Sentences that stand behind an answer."""
    return "".join(f"\n\n*{sentence}*" for sentence in sentences)


def declined(nearest: Sequence[Nearest], only_in: str, language: str, company: str, mostly: str = "") -> str:
    """No evidence, no generation: say so, name the nearest documents and whom to ask.

    `mostly` is the language of most documents where it is not that of the question.

    What writes a file often names the `company` where its owner should stand: nobody can be asked there.
    """
    only = [say(language, "chat.declined_only", project=label(only_in))] if only_in else []
    if mostly:
        only = [say(language, f"chat.mostly_{mostly}"), *only]
    if not nearest:
        return " ".join([say(language, "chat.declined"), *only])
    links = [f"[{label(n.title)}](/documents/{n.document_id})" for n in nearest]
    parts = [say(language, "chat.declined_nearest", documents=", ".join(links))]
    nobody = {"", company.strip().casefold()}
    if (owned := next((n for n in nearest if n.owner.strip().casefold() not in nobody), None)) is not None:
        parts.append(say(language, "chat.declined_whom", owner=label(owned.owner), title=label(owned.title)))
    return " ".join([*parts, *only])


def spelled(changed: Sequence[tuple[str, str]], language: str) -> str:
    """Which words were read otherwise than they were typed."""
    searched, typed = _named((m for _, m in changed), language), _named((t for t, _ in changed), language)
    return say(language, "chat.spelled", searched=searched, typed=typed)


def unnamed(question: str, found: Found, language: str, known: Container[str] = ()) -> list[str]:
    """That no passage names what the question names: the guests' password of another office is none of Berlin's.

    No names are days, months, and what is in `known`, in small letters: what the documents call otherwise, and whose
    they are.

    Told by the capital of a word within a sentence, which says nothing in German, in a headline or in a whole mail.
    """
    words = _WORD.findall(question)
    capitals = sum(word[0].isupper() for word in words)
    if not is_english(question) or "\n" in question.strip() or capitals * 2 > len(words):
        return []
    said = " ".join(
        part for p in found.passages for part in (p.text, p.title, p.document, *p.place.headings)
    ).casefold()
    names = [
        name
        for name in _NAME.findall(question)
        if not any(p in said or p in known or p in _WHEN for p in name.casefold().split())
    ]
    if not names:
        return []
    return [say(language, "chat.unnamed", names=_named(dict.fromkeys(names), language))]


def _named(words: Iterable[str], language: str) -> str:
    return ", ".join(say(language, "chat.named", text=label(word)) for word in words)


def meant(terms: Iterable[tuple[str, str]], language: str) -> list[str]:
    """A sentence for each of the company's own words that was searched by what it means, too."""
    return [say(language, "chat.meant", said=label(said), meant=label(meaning)) for said, meaning in terms]


def which(meant: Sequence[Meant], language: str) -> str:
    """The question back where the asked one may mean several things."""
    listed = "".join(f"\n- {label(m.label)}" for m in meant)
    return f"{say(language, 'chat.which')}\n{listed}"


def given_before(entry: Entry, language: str) -> str:
    """How long ago an answer was given that is given once more."""
    minutes = entry.minutes()
    key = {0: "chat.given_just_now", 1: "chat.given_minute_ago"}.get(minutes, "chat.given_minutes_ago")
    return say(language, key, minutes=minutes)


def expired(text: str, found: Found, language: str) -> list[str]:
    """A warning for each source of an answer that is past the date until which it was valid."""
    cited = set(cited_in(text))
    titles = {p.document_id: p.title for n, p in enumerate(found.passages, 1) if n in cited}
    return [
        say(language, "chat.expired", title=label(title), date=day(language, found.expired[i]))
        for i, title in titles.items()
        if i in found.expired
    ]


def contradicted(conflicts: Iterable[Conflict], language: str) -> list[str]:
    """A sentence for each figure of an answer's passages that another passage contradicts."""
    return [
        say(
            language,
            "chat.contradiction" if c.known else "chat.contradiction_open",
            title=_dated(c.used.title, c.date, language),
            says=label(c.says),
            other=_dated(c.other.title, c.other_date, language),
            otherwise=label(c.otherwise),
        )
        for c in conflicts
    ]


def _dated(title: str, date: datetime | None, language: str) -> str:
    return say(language, "chat.named", text=label(title)) + (f" ({day(language, date)})" if date else "")
