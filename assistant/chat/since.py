"""Dates as people say them in a question, in English and German."""

from __future__ import annotations

import re
from datetime import date, timedelta

from assistant.index.facts import MONTHS
from assistant.index.filters import UNIT_DAYS

_MONTHS = MONTHS | {"mar": 3, "maerz": 3, "jänner": 1}
_DAYS = {
    name: n
    for n, names in enumerate(
        ("monday montag", "tuesday dienstag", "wednesday mittwoch", "thursday donnerstag", "friday freitag",
         "saturday samstag", "sunday sonntag")
    )
    for name in names.split()
}  # fmt: skip
_UNIT = "|".join(UNIT_DAYS)
_ISO = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_DOTTED = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})")
# Without a year only behind these words: “since 3.10” is a version.
_DOTTED_SHORT = re.compile(r"(?:seit )?(?:dem|am) (\d{1,2})\.\s?(\d{1,2})")
_NAMED = re.compile(
    r"(?:(\d{1,2})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?)?([a-zä]+)"
    r"(?:\s+(\d{1,2})(?:st|nd|rd|th)?,?(?=\s+\d{4}|$))?(?:\s+(\d{4}))?"
)
_BEGINNING = re.compile(r"^(?:(?:the )?(?:beginning|start) of|anfang)\s+")
_AGO = re.compile(rf"(?:vor\s+)?(\d{{1,3}})\s+({_UNIT})(?:s|e|en|n)?(?:\s+ago)?")
_LAST = re.compile(r"(?:(?:the\s+)?last|past|letzte[rmns]?|vergangene[rmns]?)\s+(\w+)")


def moment(said: str, today: date) -> date | None:
    """The day that the words name, at the latest today, or None: `2026-03-01`, `1 March`, `last week`, `Montag`."""
    words = " ".join(said.lower().split()).strip(" ?.!,")
    text = re.sub(r"^(?:the|dem|der|den|am|on|since|seit)\s+", "", words)
    if text in {"yesterday", "gestern"}:
        return today - timedelta(days=1)
    if text in {"today", "heute"}:
        return today
    if found := _ISO.fullmatch(text):
        return _made(*map(int, found.groups()))
    if found := _DOTTED.fullmatch(text):
        day, month, year = map(int, found.groups())
        return _made(year, month, day)
    if found := _DOTTED_SHORT.fullmatch(words):
        return _latest(int(found[2]), int(found[1]), today)
    if found := _AGO.fullmatch(text):
        return today - timedelta(days=int(found[1]) * UNIT_DAYS[found[2]])
    if (found := _LAST.fullmatch(text)) or text in _DAYS:
        word = found[1] if found else text
        if word in _DAYS:
            return today - timedelta(days=(today.weekday() - _DAYS[word]) % 7 or 7)
        unit = next((n for name, n in UNIT_DAYS.items() if word.startswith(name)), None)
        if unit is not None:
            return today - timedelta(days=unit)
        text = word
    text = _BEGINNING.sub("", text)
    if (found := _NAMED.fullmatch(text)) and found[2] in _MONTHS:
        day, month = int(found[1] or found[3] or 1), _MONTHS[found[2]]
        if found[4]:
            return _made(int(found[4]), month, day)
        return _latest(month, day, today)
    return _made(int(text), 1, 1) if re.fullmatch(r"(?:19|20)\d\d", text) else None


def _latest(month: int, day: int, today: date) -> date | None:
    """The last time that it was that day."""
    this = _made(today.year, month, day)
    return this if this is None or this <= today else _made(today.year - 1, month, day)


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
