"""The tools of the chat: an owner or a person, a whole document, two documents compared, what changed, a folder."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from assistant.chat import differences, since
from assistant.chat.cite import fenced, safe
from assistant.chat.decide import label
from assistant.chat.folder import summarise
from assistant.chat.tools import Chosen, Desk, Result, Tool, link, quoted
from assistant.database.tables import DocumentRow
from assistant.domain import Passage, now
from assistant.index import changes, lookup
from assistant.index.page import without_tab
from assistant.memory import people
from assistant.texts import day, say

# What is shown of each kind of difference; the rest is counted.
SHOWN = 8
WHOLE_CHARS = 8_000
# Two documents with more passages than this are compared as a job.
LONG = 80
# Changed documents that are named, those of them whose differences are told, and how many of these.
LISTED, EXPLAINED, DIFFERENCES = 20, 5, 4
# A block of code, see `page.Block`.
_CODE = re.compile(r"^\t.*(?:\n\t.*)*", re.MULTILINE)
# A document that was found before, or the version of it before or after it.
_REFERENCE = re.compile(r"(?P<age>document|older|newer):(?P<id>\d{1,9})")


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=200)


class Owner(Arguments):
    what: str = Field(min_length=2, description="the document's title, or enough words of it")


class Colleague(Arguments):
    name: str = Field(min_length=3, description="the whole name, or the e-mail address")


class Whole(Arguments):
    title: str = Field(min_length=2, description="the document's title, or enough words of it")


class Two(Arguments):
    first: str = Field(min_length=2, description="one document's title, or enough words of it")
    second: str = Field(min_length=2, description="the other's")


class Since(Arguments):
    since: date = Field(description="the day as YYYY-MM-DD, or in the person's words")

    @field_validator("since", mode="before")
    @classmethod
    def _said(cls, value: Any) -> Any:
        return since.moment(value, now().date()) or value if isinstance(value, str) else value


class Folder(Arguments):
    folder: str = Field(min_length=2, description="the folder's name")


async def _called(desk: Desk, name: str, most: int = 4) -> list[DocumentRow]:
    """The documents that a title, or a reference such as `document:17`, names."""
    pointed = _REFERENCE.fullmatch(name.strip())
    if pointed is None:
        return await lookup.titled(desk.db, desk.asker, name, most)
    rows = await lookup.numbered(desk.db, desk.asker, [int(pointed["id"])])
    if not rows or pointed["age"] == "document":
        return rows
    beside = await lookup.beside(desk.db, desk.asker, rows[0], older=pointed["age"] == "older")
    return [beside] if beside else []


async def find_person(desk: Desk, asked: Colleague) -> Result | None:
    """Who a colleague is: name, title and address of an account here. A document stands for who looks after it."""
    name, rows = asked.name.strip(), list[DocumentRow]()
    if _REFERENCE.fullmatch(name):
        rows = await _called(desk, name, 1)
        name = rows[0].owner.partition(",")[0].strip() if rows else ""
    person = await people.named_in(desk.db, name)
    if person is None or name.lower() not in {person.name.lower(), person.email.lower()}:
        return None
    what = label(", ".join(filter(None, (person.title, person.email))))
    text = say(desk.language, "chat.tool_person", name=label(person.name or person.email), what=what)
    return Result(text, documents=_ids(rows), people=(person.name or person.email,))


async def find_owner(desk: Desk, asked: Owner) -> Result | None:
    """Who looks after a document."""
    rows = [r for r in await _called(desk, asked.what) if r.owner]
    lines = [say(desk.language, "chat.declined_whom", owner=label(r.owner), title=link(r)) for r in rows]
    return Result("\n\n".join(lines), documents=_ids(rows)) if rows else None


def _ids(rows: Sequence[DocumentRow]) -> tuple[int, ...]:
    return tuple(r.id for r in rows if r.id is not None)


async def open_document(desk: Desk, asked: Whole) -> Result | None:
    """A document's own words from its beginning, as far as an answer holds them."""
    rows = await _called(desk, asked.title)
    if not rows:
        return None
    first, others = rows[0], rows[1:]
    release, passages = await desk.knowledge.whole(desk.asker, first.id or 0)
    head = [link(first), label(first.owner), say(desk.language, "chat.tool_changed_on", day=_day(desk, first))]
    parts, used, room, at = [" · ".join(filter(None, head))], list[Passage](), WHOLE_CHARS, 0
    for passage in passages:
        text = passage.text[max(0, at - passage.place.start) :]
        if (room := room - len(text)) < 0:
            break
        at = max(at, passage.place.end)
        used.append(passage)
        if body := safe(_CODE.sub(lambda lines: fenced(without_tab(lines[0])), text)).strip():
            # A number behind a fence would keep it open.
            parts.append(f"{body}\n[{len(used)}]" if body.endswith("`") else f"{body} [{len(used)}]")
    if len(used) < len(passages):
        parts.append(f"*{say(desk.language, 'chat.tool_cut', title=link(first))}*")
    if others:
        parts.append(f"*{say(desk.language, 'chat.tool_also', documents=', '.join(map(link, others)))}*")
    return Result("\n\n".join(parts), tuple(used), _ids(rows), release)


async def _pair(desk: Desk, asked: Two) -> tuple[DocumentRow, DocumentRow] | None:
    first = await _called(desk, asked.first)
    second = [r for r in await _called(desk, asked.second) if first and r.id != first[0].id]
    return (first[0], second[0]) if first and second else None


async def compare(desk: Desk, asked: Two) -> Result | None:
    """What two documents say differently, each sentence with its place."""
    pair = await _pair(desk, asked)
    if pair is None:
        return None
    release, one = await desk.knowledge.whole(desk.asker, pair[0].id or 0)
    _, other = await desk.knowledge.whole(desk.asker, pair[1].id or 0)

    def told(share: float) -> None:
        desk.course.done, desk.course.total = round(100 * share), 100

    found = await asyncio.to_thread(differences.between, one, other, told)
    passages: list[Passage] = []

    def cite(side: Sequence[Passage], said: differences.Said) -> str:
        passage = side[said.passage]
        if passage not in passages:
            passages.append(passage)
        return f"{quoted(said.text)} [{passages.index(passage) + 1}]"

    language = desk.language
    first, second = (f"{link(r)} ({_day(desk, r)})" for r in pair)
    counts = {"same": found.same, "changed": len(found.changed)}
    parts = [say(language, "chat.tool_compared", first=first, second=second, **counts)]
    # A number that differs is what most people compare for.
    changed = sorted(found.changed, key=lambda p: _numbers(p[0]) == _numbers(p[1]))
    lines = [f"- {cite(one, a)}\n\n  {cite(other, b)}" for a, b in changed[:SHOWN]]
    parts += _listed(language, say(language, "chat.tool_differs"), lines, len(changed))
    for row, side, only in ((pair[0], one, found.only_first), (pair[1], other, found.only_second)):
        lines = [f"- {cite(side, s)}" for s in only[:SHOWN]]
        parts += _listed(language, say(language, "chat.tool_only_in", title=label(row.title)), lines, len(only))
    return Result("\n\n".join(parts), tuple(passages), _ids(pair), release)


def _numbers(said: differences.Said) -> frozenset[str]:
    return frozenset(re.findall(r"\d+", said.text))


def _listed(language: str, title: str, lines: list[str], count: int) -> list[str]:
    if not lines:
        return []
    more = f"\n\n{say(language, 'chat.tool_more', n=count - len(lines))}" if count > len(lines) else ""
    return [f"**{title}**", "\n".join(lines) + more]


async def compares_long(desk: Desk, asked: Two) -> bool:
    pair = await _pair(desk, asked)
    return pair is not None and pair[0].passages + pair[1].passages > LONG


async def list_changes(desk: Desk, asked: Since) -> Result | None:
    """The documents that were added, changed and removed since a day, newest first, and what changed in them."""
    start = datetime.combine(asked.since, time(), UTC)
    found = await changes.since(desk.db, desk.knowledge, desk.asker, start)
    dated = await lookup.changed_since(desk.db, desk.asker, start)
    added, changed, removed = ([], [], []) if found is None else (found.added, found.changed, found.removed)
    if found is not None and not found.same_reading:
        # Read anew, every document differs: then its own date has to say so too.
        changed = [r for r in changed if r.id in {d.id for d in dated}]
    known = {r.id for r in (*added, *changed)}
    # Where the releases do not reach back to that day, the documents' own dates tell the rest.
    by_dates = found is None or not found.whole
    others = [r for r in dated if r.id not in known] if by_dates else []
    arrived = by_dates and await lookup.arrived_since(desk.db, desk.asker, start)
    uncounted = [f"*{say(desk.language, 'chat.tool_not_counted')}*"] if arrived else []
    if not (added or changed or removed or others):
        nothing = say(desk.language, "chat.tool_nothing_changed", day=day(desk.language, asked.since))
        return Result("\n\n".join([nothing, *uncounted]))
    passages: list[Passage] = []
    lines = []
    for n, row in enumerate(changed[:LISTED]):
        differs = await _what_changed(desk, found, row, passages) if found is not None and n < EXPLAINED else []
        lines.append("\n".join([f"- {_dated(desk, row)}", *differs]))
    parts = [say(desk.language, "chat.tool_changes", day=day(desk.language, asked.since))]
    parts += _listed(desk.language, say(desk.language, "chat.tool_were_changed"), lines, len(changed))
    for key, rows in (("added", added), ("removed", removed), ("dated", others)):
        # What left can be opened no more.
        told = [label(r.title or r.path) if key == "removed" else _dated(desk, r) for r in rows[:LISTED]]
        title = say(desk.language, f"chat.tool_were_{key}")
        parts += _listed(desk.language, title, [f"- {t}" for t in told], len(rows))
    parts += uncounted
    release = found.today.row.id if found is not None and passages else None
    return Result("\n\n".join(parts), tuple(passages), _ids([*changed, *added, *others]), release)


def _day(desk: Desk, row: DocumentRow) -> str:
    return day(desk.language, row.modified) if row.modified else "–"


def _dated(desk: Desk, row: DocumentRow) -> str:
    owner = f" ({label(row.owner)})" if row.owner else ""
    return f"{link(row)}, {say(desk.language, 'chat.tool_changed_on', day=_day(desk, row))}{owner}"


async def _what_changed(desk: Desk, found: changes.Changes, row: DocumentRow, passages: list[Passage]) -> list[str]:
    """Lines with what a document says otherwise than before, says now, and says no more."""
    then, today = await found.said(row.id or 0)
    between = await asyncio.to_thread(differences.between, then, today)

    def cite(said: differences.Said) -> str:
        passage = today[said.passage]
        if passage not in passages:
            passages.append(passage)
        return f"{quoted(said.text)} [{passages.index(passage) + 1}]"

    # A number that differs is what most people look for.
    changed = sorted(between.changed, key=lambda p: _numbers(p[0]) == _numbers(p[1]))
    # On a line of its own: what stood there before is no statement about the passage that is cited.
    lines = [
        f"{cite(new)}  \n    {say(desk.language, 'chat.tool_before', text=quoted(old.text))}" for old, new in changed
    ]
    lines += [cite(new) for new in between.only_second]
    lines += [say(desk.language, "chat.tool_no_more", text=quoted(old.text)) for old in between.only_first]
    more = [say(desk.language, "chat.tool_more", n=len(lines) - DIFFERENCES)] if len(lines) > DIFFERENCES else []
    return [f"  - {line}" for line in [*lines[:DIFFERENCES], *more]]


async def summarise_folder(desk: Desk, asked: Folder) -> Result | None:
    """What each document of a folder is about."""
    rows = await lookup.in_folder(desk.db, desk.asker, asked.folder)
    return await summarise(desk, rows) if rows else None


async def always_long(desk: Desk, asked: Folder) -> bool:
    """A folder is summarised as a job, if there is one of that name."""
    return bool(await lookup.in_folder(desk.db, desk.asker, asked.folder, 1))


TOOLS = {
    t.name: t
    for t in (
        Tool("find_owner", "Who looks after a document.", Owner, find_owner),
        Tool("find_person", "Who a colleague is, by their name.", Colleague, find_person),
        Tool("open_document", "A whole document, where a person wants to read all of it.", Whole, open_document),
        Tool(
            "compare_documents",
            "What two documents say differently.",
            Two,
            compare,
            timeout_s=10,
            long=compares_long,
        ),
        Tool(
            "list_changes",
            "Which documents were added, changed or removed since a day, and what changed in them.",
            Since,
            list_changes,
            timeout_s=10,
        ),
        Tool(
            "summarise_folder",
            "What the documents of a folder are about.",
            Folder,
            summarise_folder,
            timeout_s=30,
            long=always_long,
        ),
    )
}

_THE = r"(?:the |our |das |die |der |den |dem |unsere?n? )?"
NAME = r"(?-i:[A-ZÄÖÜ])\S*(?: (?:(?-i:[A-ZÄÖÜ])\S*|v[oa]n|de|der|al)){1,3}"
_NAME = rf"(?P<name>{NAME})"
_KIND = r"(?:document |file |dokument |datei )?"
# Who is responsible for a thing its documents say; who is for a document, we do.
DOCUMENT = (
    r"(?=.*?(?:polic(?:y|ies)|handbook|guide|guideline|document|page|file|runbook|manual|sheet|richtlinie|handbuch|"
    r"leitfaden|dokument|datei|seite|vereinbarung|anleitung|richtlinien|vereinbarungen)\b)"
)
_RULES: list[tuple[str, re.Pattern[str]]] = [
    (name, re.compile(rf"\W*(?:please |bitte )?{pattern}\W*(?:please|bitte)?\W*", re.IGNORECASE))
    for name, pattern in (
        (
            "find_owner",
            rf"who (?:owns|maintains|looks after|is the owner of) {_THE}{_KIND}(?P<what>.+?)",
        ),
        (
            "find_owner",
            rf"who (?:is (?:responsible for|in charge of)|(?:can|do|should|must) i (?:ask|contact) about) {_THE}"
            rf"{DOCUMENT}{_KIND}(?P<what>.+?)",
        ),
        ("find_person", rf"who(?: is|'s) {_NAME}"),
        (
            "find_owner",
            rf"(?:wer (?:betreut|pflegt)) {_THE}{_KIND}(?P<what>.+?)",
        ),
        (
            "find_owner",
            rf"(?:wer ist (?:zuständig|verantwortlich) für|an wen wende ich mich wegen|"
            rf"wen frage? ich (?:zu[rm]?|wegen)) {_THE}{DOCUMENT}{_KIND}(?P<what>.+?)",
        ),
        (
            "find_owner",
            rf"wer ist für {_THE}{DOCUMENT}{_KIND}(?P<what>.+?) (?:zuständig|verantwortlich)",
        ),
        (
            "find_owner",
            rf"an wen (?:kann|muss|soll|darf) ich mich wegen {_THE}{DOCUMENT}{_KIND}(?P<what>.+?) wenden",
        ),
        ("find_person", rf"wer ist {_NAME}"),
        (
            "open_document",
            rf"(?:open|show me|show|read me|read|display|let me see) {_THE}"
            rf"(?:whole |full |entire |complete )?{_KIND}(?P<title>.+?)",
        ),
        (
            "open_document",
            rf"(?:öffnen sie|öffne|zeigen sie mir|zeige? mir|zeige?) {_THE}"
            rf"(?:ganze[nrs]? |vollständige[nrs]? |komplette[nrs]? )?{_KIND}(?P<title>.+?)",
        ),
        (
            "compare_documents",
            rf"compare {_THE}(?P<first>.+?) (?:with|and|to|against) {_THE}(?P<second>.+?)",
        ),
        (
            "compare_documents",
            rf"(?:what(?: is|'s| are) the differences?|the differences?|what differs) between {_THE}(?P<first>.+?)"
            rf" and {_THE}(?P<second>.+?)",
        ),
        ("compare_documents", rf"how (?:does|do) {_THE}(?P<first>.+?) differ from {_THE}(?P<second>.+?)"),
        (
            "compare_documents",
            rf"(?:vergleichen sie|vergleiche?) {_THE}(?P<first>.+?) (?:mit|und) {_THE}(?P<second>.+?)",
        ),
        (
            "compare_documents",
            rf"(?:was ist|worin (?:besteht|liegt)|was sind) (?:der unterschied|die unterschiede) zwischen"
            rf" {_THE}(?P<first>.+?) und {_THE}(?P<second>.+?)",
        ),
        (
            "list_changes",
            r"(?:what(?: has|'s| is)?(?: been)?|which documents(?: have| were| are)?(?: been)?) (?:changed|new|updated)"
            r"(?: in (?:the|our) documents)? since (?P<since>.+?)",
        ),
        (
            "list_changes",
            r"(?:was hat sich (?:in (?:den|unseren) dokumenten )?|was (?:ist|wurde|gibt es)(?: neu(?:es)?)? |"
            r"welche dokumente (?:haben sich|wurden|sind) )seit (?P<since>.+?)"
            r"(?: (?:neu(?:es)?|(?:ge|ver)ändert|aktualisiert|dazugekommen|hinzugekommen))?",
        ),
        ("summarise_folder", rf"(?:summari[sz]e|sum up) {_THE}(?:folder |directory )(?P<folder>.+?)"),
        ("summarise_folder", rf"(?:summari[sz]e|sum up) {_THE}(?P<folder>.+?) (?:folder|directory)"),
        (
            "summarise_folder",
            rf"(?:fassen sie|fasse?) {_THE}(?:ordner |verzeichnis )(?P<folder>.+?) zusammen",
        ),
    )
]
_HINT = re.compile(
    r"\b(?:who|whom|owners?|owns|responsible|contact|open|show|read|whole|full|entire|compare|differ\w*|changed|changes|"
    r"new|updated|since|summari[sz]e|folder|wer|wen|wende|zuständig\w*|verantwortlich\w*|öffne\w*|zeige?n?|ganze\w*|"
    r"vollständige\w*|vergleich\w*|unterschied\w*|geändert|neues?|seit|fass\w*|ordner)\b",
    re.IGNORECASE,
)


def hinted(question: str) -> bool:
    """Whether a question may ask for a look-up at all; only then a model is asked which."""
    return len(question) <= 500 and _HINT.search(question) is not None


def by_rules(question: str) -> Chosen | None:
    """The look-up that a question asks for in so many words, or None."""
    for name, pattern in _RULES:
        if found := pattern.fullmatch(question):
            said = {k: v.strip(" ?!.,„“”\"'") for k, v in found.groupdict().items()}
            if "since" in said and since.moment(said["since"], now().date()) is None:
                continue
            return Chosen(name, said, "rules")
    return None
