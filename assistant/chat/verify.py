"""Checks each sentence of an answer against the passages that it cites. Rules only; a judge may follow."""

from __future__ import annotations

import re
from collections.abc import Mapping

from assistant.chat.cite import cited_in, without_citations
from assistant.domain import Passage, SentenceCheck, Verdict
from assistant.index.sentences import spans, stems

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_NAME = re.compile(r"(?<![.!?:>*\n]\s)(?<!^)\b[A-ZÄÖÜ][\w\-]{2,}(?:\s+[A-ZÄÖÜ][\w\-]+)*")
_SPELLED = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "fifteen": "15", "twenty": "20", "thirty": "30", "sixty": "60",
    "ninety": "90", "eins": "1", "zwei": "2", "drei": "3", "vier": "4", "fünf": "5", "sechs": "6", "sieben": "7",
    "acht": "8", "neun": "9", "zehn": "10", "elf": "11", "zwölf": "12",
}  # fmt: skip
# Least share of a sentence's words that its passages must hold.
COVERAGE = 0.5
# Shorter pieces are greetings, headings or introductions.
MIN_WORDS = 3


def check(text: str, passages: Mapping[int, Passage]) -> tuple[SentenceCheck, ...]:
    """What holds for each sentence of `text`; `passages` are those it was given, by number.

    Supported: every number and name of it occurs in what it cites, and at least half of its words. A sentence
    without a number of its own belongs to the next citation in its line.
    """
    checks = []
    for start, end in spans(text):
        sentence = text[start:end]
        bare = without_citations(sentence)
        if len(stems(bare)) < MIN_WORDS or bare.rstrip("*_ ").endswith((":", "?")):
            continue
        numbers = cited_in(sentence) or _inherited(text, end)
        if not numbers:
            checks.append(SentenceCheck(start=start, end=end, verdict=Verdict.UNCITED, reason="no source given"))
            continue
        sources = "\n".join(f"{passages[n].title}\n{passages[n].text}" for n in numbers if n in passages)
        reason = _missing(bare, sources)
        checks.append(
            SentenceCheck(
                start=start,
                end=end,
                citations=tuple(numbers),
                verdict=Verdict.UNSUPPORTED if reason else Verdict.SUPPORTED,
                reason=reason,
            )
        )
    return tuple(checks)


def _inherited(text: str, end: int) -> list[int]:
    rest = text[end:].split("\n", 1)[0]
    return cited_in(rest)[:1]


def _plain(text: str) -> str:
    text = re.sub(r"\\(?=[^\w\s])|[*`_]", "", text)
    return re.sub(r"(?<=\d)[,'’\u202f\u00a0](?=\d{3})", "", text)


def _numbers(text: str) -> set[str]:
    words = {_SPELLED[w] for w in re.findall(r"[a-zäöüß]+", text.lower()) if w in _SPELLED}
    return {n.rstrip(".,:/") for n in _NUMBER.findall(text)} | words


def _missing(sentence: str, sources: str) -> str:
    """What of the sentence its sources do not hold, in words; empty when nothing is missing."""
    said, held = _plain(sentence), _plain(sources)
    figures = {n.rstrip(".,:/") for n in _NUMBER.findall(said)}
    if odd := sorted(figures - _numbers(held)):
        return f"{odd[0]} does not stand in its source"
    lower = held.lower()
    for name in _NAME.findall(said):
        if any(part.lower() not in lower for part in name.split() if len(part) > 2):
            return f"“{name}” does not stand in its source"
    words = stems(said)
    share = len([w for w in words if w in set(stems(held))]) / max(1, len(words))
    return "" if share >= COVERAGE else "its source says something else"
