"""Where sentences begin and end, in prose and in lists, and the words that carry meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

_BREAK = re.compile(r"(?<=[.!?…])[\"”’)\]*]*(?:\[\d{1,3}\])*\s+(?=[\"“‘(\[*]*[A-ZÄÖÜ0-9•\-])|\n+")
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|Art|Abs|bzw|z\.\s?B|d\.\s?h|u\.\s?a|ca|inkl|ggf|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec)|\b[A-Z]|(?:^|\s)\d{1,2})\.$"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.UNICODE)
STOP = frozenset(
    """a about after all also am an and any are as at be been before but by can could did do does for from get got had
    has have how i if in into is it its just may me my no not of on one or our out please shall should so some than
    that the their them then there these they this those to too us was we were what when where which who whom whose
    why will with would you your much many need
    aber als am an auch auf aus bei bin bis da das dass dem den der des die doch du ein eine einem einen einer es für
    gibt habe hat ich ihr im in ist ja kann man mein mich mir mit muss nach nicht noch nur ob oder sein sich sie sind
    so soll und uns unser vom von was wann warum welche welcher welches wenn wer wie wir wird wo zu zum zur""".split()
)
_stemmer = snowballstemmer.stemmer("english")


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence or line, without surrounding blanks."""
    start = 0
    for found in _BREAK.finditer(text):
        if "\n" not in found.group() and _ABBREVIATED.search(text[start : found.start()]):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, len(text))


def is_code(text: str, at: int) -> bool:
    """Whether the line that holds this place is code: every parser begins its lines with a tab, see `page.Block`."""
    return text.startswith("\t", text.rfind("\n", 0, at) + 1)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if piece.strip():
        yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def all_stems(text: str) -> list[str]:
    """The stems of all words, in order."""
    return [_stem(w) for w in _WORD.findall(text.lower())]


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [_stem(w) for w in _WORD.findall(text.lower()) if w not in STOP]
