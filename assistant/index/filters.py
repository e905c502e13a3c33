"""Filters said in words: “in the finance handbook”, “since March”, “in the minutes of 2025”.

Words become a filter only where they name documents that the asker may read; in doubt they are part of the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.tables import DocumentRow
from assistant.index.dates import dated, series
from assistant.index.facts import MONTHS
from assistant.index.sentences import STOP, all_stems, stems

# A question of fewer words than this says nothing once its filter is taken out.
LEAST_WORDS = 2
MOST_WORDS = 6
_KINDS = frozenset(
    s
    for word in (
        "handbook manual guide guideline guidelines policy policies minutes protocol report faq runbook playbook "
        "contract agreement specification datasheet newsletter memo presentation spreadsheet catalogue schedule "
        "checklist handbuch leitfaden richtlinie richtlinien protokoll protokolle protokollen vereinbarung "
        "betriebsvereinbarung vertrag bericht hausordnung preisliste anleitung merkblatt präsentation"
    ).split()
    for s in all_stems(word)
)
# These name no sort of document: what stands beside them must be a folder or a source.
_PLACES = frozenset(
    s
    for word in (
        "folder documents docs files pages section wiki space source share directory "
        "ordner dokumente dokumenten unterlagen dateien seiten bereich quelle"
    ).split()
    for s in all_stems(word)
)
_WHAT = rf"(?P<what>[\w’'&/.\-]+(?:\s+[\w’'&/.\-]+){{0,{MOST_WORDS - 1}}})"
_NAMED = [
    re.compile(
        r"\b(?:only\s+|just\s+)?(?:in|from|within|inside|according to|as per|per)\s+(?:the|our|my|all)\s+" + _WHAT,
        re.IGNORECASE,
    ),
    re.compile(r"\b(?:does|do|did)\s+(?:the|our)\s+" + _WHAT + r"(?=\s+(?:say|state|tell|mention)\b)", re.IGNORECASE),
    re.compile(
        r"\b(?:nur\s+)?(?:im|vom|laut|gemäß|(?:in|aus|nach)\s+(?:der|dem|den|unserer|unserem|unseren))\s+" + _WHAT,
        re.IGNORECASE,
    ),
]
_QUOTED = re.compile(r"\b(?:in|from|does|laut|aus|according to)\s+[“\"„](?P<what>[^”“\"]{3,120})[”“\"]", re.IGNORECASE)

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_WHEN = (
    rf"(?:(?P<iso>\d{{4}}-\d\d-\d\d)|(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?)?(?P<month>{_MONTH})\b"
    r"(?:,?\s+(?P<myear>(?:19|20)\d\d))?|(?P<year>(?:19|20)\d\d)\b|(?:the\s+|dem\s+|der\s+)?(?P<unit>yesterday|gestern|"
    r"(?:last|this|letzte[rnms]?|diese[rnms]?)\s+(?:week|month|quarter|year|woche|monat|quartal|jahr)))"
)
_SINCE = re.compile(rf"\b(?:since|seit|ab)\s+(?:beginning of\s+|anfang\s+)?{_WHEN}", re.IGNORECASE)
_UNTIL = re.compile(rf"\b(?:before|until|vor|bis)\s+{_WHEN}", re.IGNORECASE)
_LAST = re.compile(
    r"\b(?:in|within|over|during)\s+the\s+(?:last|past)\s+(?P<n>\d+|two|three|four|five|six)?\s*"
    r"(?P<unit>day|week|month|year)s?\b|"
    r"\bin\s+den\s+letzten\s+(?P<zahl>\d+|zwei|drei|vier|fünf|sechs)?\s*(?P<einheit>tag|woche|monat|jahr)\w*\b",
    re.IGNORECASE,
)
_BEFORE = r"(?:(?:in|from|of|aus|von|im|the|our|does|do|den|dem|der|die|das)\s+)*"
_OF_YEAR = [
    re.compile(
        rf"\b{_BEFORE}(?<!\d)(?P<year>(?:19|20)\d\d)(?:['’]?s)?\s+(?P<what>(?:[\w\-]+\s+){{0,2}}?[\w\-]+)(?P<month>)\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b{_BEFORE}(?P<what>(?:[\w\-]+\s+){{0,2}}[\w\-]+)\s+(?:of|from|for|in|von|aus|vom)\s+"
        rf"(?:(?P<month>{_MONTH})\s+)?(?P<year>(?:19|20)\d\d)\b",
        re.IGNORECASE,
    ),
]
# A date filters documents where the question asks for them or for what is new, not where it is part of the matter.
_OF_DOCUMENTS = re.compile(
    r"\bwhat(?:['’]s| is| was| has| have)?(?: been)? (?:new|changed)\b|\b(?:news|updates?|changes|updated|published|"
    r"announced|announcements?|documents|files|pages|minutes|policies|decisions|decided)\b|"
    r"\bwas (?:ist |hat sich |wurde )?(?:neu|geändert|beschlossen)\b|"
    r"\b(?:neuigkeiten|neues|änderungen|geändert|beschlüsse|beschlossen|dokumente|protokolle)\b",
    re.IGNORECASE,
)
_NUMBERS = {
    word: n
    for n, words in ((2, "two zwei"), (3, "three drei"), (4, "four vier"), (5, "five fünf"), (6, "six sechs"))
    for word in words.split()
}
# How many days the words for a stretch of time stand for.
UNIT_DAYS = {"day": 1, "tag": 1, "week": 7, "woche": 7, "month": 30, "monat": 30, "year": 365, "jahr": 365}


@dataclass(frozen=True)
class Filter:
    """What a question restricts its search to: `words` say it, `rest` is the question without them.

    `titles` are those of the documents, at most three; no document is left where nothing is of that time.
    """

    words: str
    rest: str
    documents: frozenset[int]
    titles: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether what is left of the question still asks something."""
        return len(stems(self.rest)) >= LEAST_WORDS


@dataclass(frozen=True)
class Known:
    """A document as it may be named."""

    id: int
    title: str
    path: str
    source: str
    modified: datetime | None

    def of(self) -> datetime | None:
        return dated(self.title, self.path, self.modified)


def may_filter(question: str) -> bool:
    """Whether it is worth looking at the catalogue: cheap, and true of many questions that filter nothing."""
    return bool(_QUOTED.search(question) or any(p.search(question) for p in _NAMED) or _has_date(question))


def _has_date(question: str) -> bool:
    return any(p.search(question) for p in _OF_YEAR) or (
        bool(_OF_DOCUMENTS.search(question)) and any(p.search(question) for p in (_SINCE, _UNTIL, _LAST))
    )


async def known(session: AsyncSession, rules: Sequence[int]) -> list[Known]:
    """The documents that these rules admit."""
    columns: Any = (DocumentRow.id, DocumentRow.title, DocumentRow.path, DocumentRow.source, DocumentRow.modified)
    statement = select(*columns).where(col(DocumentRow.rule_id).in_(rules), DocumentRow.state == "indexed")
    return [Known(*row) for row in (await session.exec(statement)).all()]


def find(question: str, documents: Sequence[Known], today: datetime) -> Filter | None:
    """The filter that a question says in words, or None."""
    spans: list[tuple[int, int]] = []
    left: list[Known] | None = None
    of_kind = _of_kind_and_year(question, documents)
    if of_kind is not None:
        span, left = of_kind
        spans.append(span)
    elif (named := _named(question, documents)) is not None:
        span, left = named
        spans.append(span)
    if left is not None or _OF_DOCUMENTS.search(question):
        for span, since, until in _periods(question, today):
            left = [d for d in (documents if left is None else left) if _within(d.of(), since, until)]
            spans.append(span)
    if left is None:
        return None
    titles = tuple(dict.fromkeys(" ".join(d.title.split()) for d in left))[:3]
    words = " ".join(question[a:b].strip() for a, b in sorted(spans))
    words = re.sub(r"^(?:does|do|did)\s+", "", words, flags=re.IGNORECASE)
    return Filter(words, _without(question, spans), frozenset(d.id for d in left), titles)


def _named(question: str, documents: Sequence[Known]) -> tuple[tuple[int, int], list[Known]] | None:
    """Documents named by title, by sort and topic, or by folder, with where the question does so."""
    for found in _QUOTED.finditer(question):
        title = found["what"].casefold().strip()
        if left := [d for d in documents if " ".join(d.title.split()).casefold() == title]:
            return found.span(), left
    for found in (f for pattern in _NAMED for f in pattern.finditer(question)):
        words = list(re.finditer(r"\S+", found["what"]))
        for n in range(len(words), 0, -1):
            phrase = found["what"][: words[n - 1].end()].rstrip(".,;:!?’'")
            if left := _called(phrase, documents):
                return (found.start(), found.start("what") + len(phrase)), left
    return None


def _called(phrase: str, documents: Sequence[Known]) -> list[Known]:
    if phrase.rsplit(maxsplit=1)[-1].lower() in STOP:
        return []
    said = frozenset(s for s in stems(phrase) if not s.isdigit())
    years = {s for s in stems(phrase) if re.fullmatch(r"(?:19|20)\d\d", s)}
    sort, place = said & _KINDS, said & _PLACES
    topic = said - _PLACES if place else said
    if not topic:
        return []
    likely = [d for d in documents if _mentions(topic, f"{d.title} {d.path} {d.source}".lower())]
    if years:
        likely = [d for d in likely if _year(d) in years]
    if place and not sort:
        folders = [(d, _folders(d)) for d in likely]
        return [d for d, names in folders if topic <= names]
    if sort:
        return [d for d in likely if topic <= _names(d) and sort & (series(d.title) | _file(d))]
    return [d for d in likely if len(said) >= 2 and _plain(phrase) == _plain(d.title)]


def _mentions(topic: Iterable[str], text: str) -> bool:
    # A stem may end otherwise than its word.
    return all(s[: max(3, len(s) - 1)] in text for s in topic)


def _plain(title: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", title.casefold())


def _split(text: str) -> frozenset[str]:
    return frozenset(all_stems(re.sub(r"[_\-/.]", " ", text)))


def _names(d: Known) -> frozenset[str]:
    return _split(d.title) | _split(d.path) | _split(d.source)


def _file(d: Known) -> frozenset[str]:
    return _split(d.path.rpartition("/")[2])


def _folders(d: Known) -> frozenset[str]:
    return _split(d.path.rpartition("/")[0]) | _split(d.source.rpartition("/")[2])


def _year(d: Known) -> str:
    moment = d.of()
    return str(moment.year) if moment else ""


def _of_kind_and_year(question: str, documents: Sequence[Known]) -> tuple[tuple[int, int], list[Known]] | None:
    """“in 2025's minutes”, “the minutes of October 2026”: documents of a sort, of a year."""
    for found in (f for pattern in _OF_YEAR for f in pattern.finditer(question)):
        of_sort, start = _of_sort(found["what"], documents)
        if not of_sort:
            continue
        year, month = int(found["year"]), MONTHS.get((found["month"] or "").lower())
        since = datetime(year, month or 1, 1, tzinfo=UTC)
        until = _next(since) if month else datetime(year + 1, 1, 1, tzinfo=UTC)
        begin = found.start("what") + start if start else found.start()
        return (begin, found.end()), [d for d in of_sort if _within(d.of(), since, until)]
    return None


def _of_sort(what: str, documents: Sequence[Known]) -> tuple[list[Known], int]:
    """Documents of the sort that a phrase ends with, about what stands before it, and where in it that begins."""
    words = list(re.finditer(r"\S+", what))
    sort = frozenset(all_stems(words[-1].group())) & _KINDS
    if not sort:
        return [], 0
    of_sort = [d for d in documents if sort <= series(d.title) | _file(d)]
    for word in words[:-1]:
        topic = frozenset(stems(what[word.start() :])) - sort
        if topic and (left := [d for d in of_sort if topic <= _names(d)]):
            return left, word.start()
    return of_sort, words[-1].start()


def _periods(question: str, today: datetime) -> Iterator[tuple[tuple[int, int], datetime | None, datetime | None]]:
    for found in _SINCE.finditer(question):
        if (moment := _moment(found, today)) is not None:
            yield found.span(), moment, None
    for found in _UNTIL.finditer(question):
        if (moment := _moment(found, today)) is not None:
            yield found.span(), None, moment
    for found in _LAST.finditer(question):
        number, unit = found["n"] or found["zahl"] or "1", (found["unit"] or found["einheit"]).lower()
        count = _NUMBERS.get(number.lower()) or int(number)
        yield found.span(), today - timedelta(days=min(count, 1_000) * UNIT_DAYS[unit]), None


def _moment(found: re.Match[str], today: datetime) -> datetime | None:
    """The beginning of what a date names; a month without a year is the last one that has begun."""
    try:
        if found["iso"]:
            return datetime.fromisoformat(found["iso"]).replace(tzinfo=UTC)
        if found["month"]:
            month, year = MONTHS[found["month"].lower()], int(found["myear"] or today.year)
            if not found["myear"] and month > today.month:
                year -= 1
            return datetime(year, month, int(found["day"] or 1), tzinfo=UTC)
        if found["year"]:
            return datetime(int(found["year"]), 1, 1, tzinfo=UTC)
    except ValueError:
        return None
    return _begun(found["unit"].lower(), today.replace(hour=0, minute=0, second=0, microsecond=0))


def _begun(unit: str, day: datetime) -> datetime:
    if unit in {"yesterday", "gestern"}:
        return day - timedelta(days=1)
    last = unit.startswith(("last", "letz"))
    if unit.endswith(("week", "woche")):
        return day - timedelta(days=day.weekday() + 7 * last)
    if unit.endswith(("year", "jahr")):
        return datetime(day.year - last, 1, 1, tzinfo=UTC)
    months = 3 if unit.endswith(("quarter", "quartal")) else 1
    at = day.year * 12 + (day.month - 1) // months * months - months * last
    return datetime(at // 12, at % 12 + 1, 1, tzinfo=UTC)


def _next(month: datetime) -> datetime:
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def _within(moment: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    return moment is not None and (since is None or moment >= since) and (until is None or moment < until)


def _without(question: str, spans: Sequence[tuple[int, int]]) -> str:
    rest = question
    for a, b in sorted(spans, reverse=True):
        rest = f"{rest[:a]} {rest[b:]}"
    return re.sub(r"\s+([?.!,;:])", r"\1", " ".join(rest.split())).strip(" ,;:")
