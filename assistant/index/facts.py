"""What a sentence states that can be looked up: quotations, dates, times, numbers with units, names, codes, addresses.

Each is brought to a form in which two ways of writing it are equal: 1,200 and 1.200 €, ten and 10, 3 May 2026 and
2026-05-03. What can be read in two ways keeps both readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from assistant.index.sentences import stems

Kind = Literal["quote", "date", "time", "number", "name", "code", "address"]
Value = float | str | tuple[int | None, ...]

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar jan", "february februar feb", "march märz", "april apr", "may mai", "june juni jun",
            "july juli jul", "august aug", "september sept sep", "october oktober oct okt", "november nov",
            "december dezember dec dez",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_MONTHS = MONTHS | {"mar": 3, "mrz": 3}
_MONTH = r"(?P<month>" + "|".join(sorted((m.capitalize() for m in _MONTHS), key=len, reverse=True)) + r")\b\.?"
_DATES = [
    re.compile(r"\b(?P<year>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})\b"),
    re.compile(r"\b(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./](?P<year>\d{4}|\d{2})\b"),
    re.compile(r"\b(?P<d>\d{1,2})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?" + _MONTH + r"(?:,?\s+(?P<year>(?:19|20)\d{2})\b)?"),
    re.compile(
        r"\b" + _MONTH + r"\s+(?P<d>\d{1,2})(?:st|nd|rd|th)?\b(?![.,:]?\d|\s*%)(?:,?\s+(?P<year>(?:19|20)\d{2})\b)?"
    ),
    re.compile(r"\b" + _MONTH + r",?\s+(?P<year>(?:19|20)\d{2})\b"),
]  # fmt: skip
_TIMES = [
    re.compile(r"\b(?P<h>[01]?\d|2[0-4]):(?P<min>[0-5]\d)(?!:?\d)\s*(?P<half>[ap]\.?m\b\.?|Uhr\b)?"),
    re.compile(
        r"\b(?P<h>1?\d|2[0-4])(?:\.(?P<min>[0-5]\d))?"
        r"(?=\s*(?:bis|und|to|and|[-–])\s*\d{1,2}(?:[.:]\d\d)?\s*(?P<half>[ap]\.?m\b|Uhr\b|o['’]clock\b))"
    ),
    re.compile(r"\b(?P<h>1?\d|2[0-4])(?:\.(?P<min>[0-5]\d))?\s*(?P<half>[ap]\.?m\b\.?|Uhr\b|o['’]clock\b)"),
]
_GERMAN = re.compile(r"\b(?:der|die|das|den|dem|und|ist|sind|für|mit|von|bei|auf|nicht|sich|muss|wird|ein|eine)\b")
# With a scheme or without, for an answer is shown without the scheme of an address that nobody allowed.
_ADDRESS = re.compile(
    r"(?:\b\w{2,20}://|\bwww\.)[^\s<>()\[\]\"“”]+|(?<![\w@./\-])(?:[\w\-]{1,63}\.){1,8}[A-Za-z]{2,24}/[^\s<>()\[\]\"“”]+"
)
_TARGET = re.compile(r"(?<=\S) \((?:https?://[^\s()]{1,2000}|[^\s()@]{1,80}@[^\s()@]{1,200})\)")
_SCHEME = re.compile(r"(?:\w+://)?(?:www\.)?")
_CODE = re.compile(
    r"(?<![\w.+\-])[\w.+\-]{1,80}@[\w\-]{1,63}(?:\.[\w\-]{1,63})+|\b\d+(?:\.\d+){2,}\b"
    r"|(?<![\w.])[A-Za-zÄÖÜ][A-Za-zÄÖÜ\-_.]{0,30}\d[\w\-]*(?:\.\d+)*"
)
_QUOTE = re.compile(r"“([^”“\n]{6,800})”|„([^“”„\n]{6,800})[“”]|»([^«\n]{6,800})«|(?<!\w)\"([^\"\n]{6,800})\"")
_DIGITS = re.compile(r"(?<![\w.,])\d{1,3}(?:[.,'’\u202f\u00a0 ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?")
_NAME = re.compile(r"\b[A-ZÄÖÜ][\w’'\-]*[\w](?:\s+(?:(?:van|von|de|der|du|la|of)\s+)?[A-ZÄÖÜ][\w’'\-]*\w)*")
_WORD = re.compile(r"[^\W\d_]+")

_SCALE = {
    "hundred": 100, "thousand": 1e3, "k": 1e3, "million": 1e6, "millions": 1e6, "mio": 1e6, "mn": 1e6, "billion": 1e9,
    "bn": 1e9, "hundert": 100, "tausend": 1e3, "tsd": 1e3, "millionen": 1e6, "milliarden": 1e9,
}  # fmt: skip
_UNITS = {
    alias: unit
    for unit, aliases in {
        "day": "day days tag tage tagen tages workday workdays arbeitstag arbeitstage arbeitstagen werktage werktagen"
        " urlaubstag urlaubstage urlaubstagen kalendertage kalendertagen",
        "week": "week weeks woche wochen",
        "month": "month months monat monate monaten monats",
        "year": "year years jahr jahre jahren",
        "hour": "hour hours hrs stunde stunden",
        "minute": "minute minutes mins min minuten",
        "second": "second seconds sekunde sekunden",
        "%": "% percent prozent",
        "eur": "€ eur euro euros",
        "usd": "$ usd dollar dollars",
        "gbp": "£ gbp pound pounds quid pfund",
        "km": "km kilometre kilometres kilometer kilometern",
        "kg": "kg kilograms kilogramm",
        "gb": "gb gigabyte gigabytes",
        "mb": "mb megabyte megabytes",
    }.items()
    for alias in aliases.split()
}
_SIGNS = "%€$£"
_SMALL_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS_EN = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL_DE = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
).split()
_TENS_DE = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def _spelled() -> dict[str, int]:
    words = {w: i for names in (_SMALL_EN, _SMALL_DE) for i, w in enumerate(names)}
    for tens, ones, form in ((_TENS_EN, _SMALL_EN, "{t}-{o}"), (_TENS_DE, _SMALL_DE, "{o}und{t}")):
        for i, t in enumerate(tens, 2):
            words[t] = i * 10
            for o in range(1, 10):
                one = "ein" if ones[o] == "eins" else ones[o]
                words[form.format(t=t, o=one)] = i * 10 + o
                words[form.format(t=t, o=one).replace("-", " ")] = i * 10 + o
    return words | {"dozen": 12, "hundred": 100, "hundert": 100}


_SPELLED = _spelled()
_SPELLED_WORD = re.compile(
    r"(?<![\w-])(?:" + "|".join(sorted(map(re.escape, _SPELLED), key=len, reverse=True)) + r")(?![\w])", re.IGNORECASE
)
_DIGIT = re.compile(r"\d")
_SPELLED_PARTS = frozenset(part for word in _SPELLED for part in re.split(r"[ -]", word))
# Said in passing far more often than counted.
_NOT_COUNTED = {"one", "eins", "zero", "null"}
_POLITE = re.compile(r"Sie|Ihnen|Ihre?[mnrs]?")


@dataclass(frozen=True)
class Fact:
    """One thing that a text states, where it stands, and every value it can be read as. `unit` may be empty."""

    kind: Kind
    text: str
    start: int
    end: int
    values: frozenset[Value]
    unit: str = ""


def unit_of(word: str) -> str:
    """The unit that a word or sign names, empty when it names none."""
    return _UNITS.get(word.lower(), "")


def without_targets(text: str) -> str:
    """A text as its page shows it: without the addresses that parsers write behind the words of a link."""
    return _TARGET.sub("", text)


def plain(text: str) -> str:
    """A text without Markdown's marks, of the same words."""
    return re.sub(r"\\(?=[^\w\s])|[*`]|(?<![^\W_])_|_(?![^\W_])", "", text)


def quotes(text: str) -> list[Fact]:
    """What stands in quotation marks, two words or more."""
    found = [(m, next(g for g in m.groups() if g)) for m in _QUOTE.finditer(text)]
    return [
        Fact("quote", inner, m.start(), m.end(), frozenset({inner}))
        for m, inner in found
        if len(_WORD.findall(inner)) > 1
    ]


def facts(text: str) -> list[Fact]:
    """Addresses of pages, dates, times, codes and numbers of a text, in this order of precedence."""
    out = list(_addresses(text))
    rest = _blanked(text, out)
    for pattern in _DATES:
        for m in pattern.finditer(rest):
            if (values := _date(m)) is not None:
                out.append(Fact("date", m.group().strip(" ."), m.start(), m.end(), values))
        rest = _blanked(rest, [f for f in out if f.kind == "date"])
    for pattern in _TIMES:
        times = [Fact("time", m.group().strip(" ."), m.start(), m.end(), _time(m)) for m in pattern.finditer(rest)]
        out += times
        rest = _blanked(rest, times)
    codes = [
        Fact("code", m.group(), m.start(), m.end(), frozenset({squeezed(m.group())})) for m in _CODE.finditer(rest)
    ]
    out += codes
    rest = _blanked(rest, codes)
    return out + list(_numbers(rest))


def _addresses(text: str) -> Iterator[Fact]:
    for m in _ADDRESS.finditer(text):
        address = m.group().rstrip(".,;:!?'’*_|")
        yield Fact("address", address, m.start(), m.start() + len(address), frozenset({_bare(address)}))


def _bare(address: str) -> str:
    """An address without what is the same for all pages."""
    return _SCHEME.sub("", address, count=1).casefold()


def counts(text: str) -> bool:
    """Whether a text can state a number at all; cheap to ask of many."""
    return bool(_DIGIT.search(text) or not _SPELLED_PARTS.isdisjoint(_WORD.findall(text.lower())))


def names(text: str) -> list[Fact]:
    """Capitalised words, but for those that only begin a sentence, and nouns in German."""
    out = []
    german = len(_GERMAN.findall(text)) > 1
    for m in _NAME.finditer(text):
        words, start = m.group(), m.start()
        before = text[:start].rstrip(" \"“„»('")
        begins = not before or before[-1] in ".!?:>|\n–—•-*;" or text[:start].endswith("\n")
        first, _, others = words.partition(" ")
        if others and ((begins and not stems(first)) or _POLITE.fullmatch(first)):
            start, words, begins = m.end() - len(others), others, False
        if " " not in words and words[1:].islower() and (begins or german):
            continue
        if len(words) > 2:
            out.append(Fact("name", words, start, m.end(), frozenset({words})))
    return out


def _blanked(text: str, found: list[Fact]) -> str:
    for f in found:
        text = text[: f.start] + "\x00" * (f.end - f.start) + text[f.end :]
    return text


def _date(m: re.Match[str]) -> frozenset[Value] | None:
    groups = m.groupdict()
    year = int(groups["year"]) if groups.get("year") else None
    if year is not None and year < 100:
        year += 2000
    day = int(groups["d"]) if groups.get("d") else None
    month = _MONTHS[groups["month"].lower()] if groups.get("month") else int(groups["m"])
    readings: set[Value] = set()
    if 1 <= month <= 12 and (day is None or 1 <= day <= 31):
        readings.add((year, month, day))
    if "/" in m.group() and day is not None and 1 <= day <= 12 and 1 <= month <= 31:
        readings.add((year, day, month))
    return frozenset(readings) or None


def _time(m: re.Match[str]) -> frozenset[Value]:
    hour, minute = int(m["h"]), int(m["min"] or 0)
    half = (m["half"] or "").lower().replace(".", "")
    first_of_range = "half" in m.re.groupindex and m.end("half") > m.end()
    if first_of_range and half == "pm" and hour < 12:
        return frozenset({(hour, minute), (hour + 12, minute)})
    if half == "pm" and hour < 12:
        hour += 12
    if half == "am" and hour == 12:
        hour = 0
    readings = {(hour, minute)}
    if half not in {"am", "pm", "uhr"} and 0 < hour < 12 and (len(m["h"]) == 1 or half):
        readings.add((hour + 12, minute))
    return frozenset(readings)


def squeezed(text: str) -> str:
    """A text without what two ways of writing a code, or a line of it, differ in: blanks, dashes, capitals."""
    return re.sub(r"[\s\-_]+", "", text).lower()


def _readings(token: str) -> set[float]:
    marks = re.sub(r"\d", "", token)
    if not marks:
        return {float(token)}
    last = marks[-1]
    whole = re.sub(r"[^\d]", "", token)
    if len(set(marks)) > 1:
        head, tail = token.rsplit(last, 1)
        return {float(f"{re.sub(r'[^0-9]', '', head)}.{tail}")} if last in ".," else {float(whole)}
    if len(marks) > 1 or last not in ".,":
        return {float(whole)}
    head, tail = token.split(last)
    decimal = float(f"{head}.{tail}")
    return {decimal, float(whole)} if len(tail) == 3 and len(head) <= 3 and head != "0" else {decimal}


def _numbers(text: str) -> Iterator[Fact]:
    for m in _DIGITS.finditer(text):
        scale, unit = _behind(text, m.end())
        unit = unit or _before(text, m.start())
        values = {round(r * scale, 6) for r in _readings(m.group())}
        yield Fact("number", m.group(), m.start(), m.end(), frozenset(values), unit)
    for m in _SPELLED_WORD.finditer(text):
        word = m.group().lower()
        scale, unit = _behind(text, m.end())
        if word in _NOT_COUNTED and scale == 1 and unit == "":
            continue
        yield Fact("number", m.group(), m.start(), m.end(), frozenset({float(_SPELLED[word] * scale)}), unit)


def _before(text: str, start: int) -> str:
    m = re.search(r"(?:([€$£])|\b(EUR|USD|GBP|CHF))\s*-?$", text[:start])
    return _UNITS.get((m.group(1) or m.group(2)).lower(), "") if m else ""


def _behind(text: str, end: int) -> tuple[float, str]:
    """What a number counts: its scale (thousand, k) and its unit, at most three words on and in the same clause."""
    scale = 1.0
    m = re.match(r"[\s\u00a0\-]{0,2}([%€$£])", text[end:])
    if m:
        return scale, _UNITS[m.group(1)]
    clause = re.split(r"[.,;:()|\n\d\x00]", text[end : end + 60], maxsplit=1)[0]
    for i, word in enumerate(re.findall(rf"[^\W\d_]+|[{_SIGNS}]", clause)[:4]):
        low = word.lower()
        if i == 0 and low in _SCALE and (low != "k" or text[end : end + 1] == word):
            scale = _SCALE[low]
        elif low in _UNITS:
            return scale, _UNITS[low]
        elif low in {"and", "or", "to", "und", "oder", "bis", "in", "of", "from", "per", "pro", "je", "für", "for"}:
            break
    return scale, ""
