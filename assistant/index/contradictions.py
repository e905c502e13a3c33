"""Tells where two texts on the same thing disagree: sentences of the same words with another number, date or amount.

So do rows of tables: the same row, the same column, another figure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, permutations
from math import ceil

from assistant.domain import Passage
from assistant.index import facts, table_rows
from assistant.index.facts import Fact
from assistant.index.sentences import is_code, stems

# Sentences are about the same thing when they share so many words that carry meaning, and so much of all they have. In
# short ones the titles and headings above them count too.
LEAST_WORDS, LEAST_OWN = 4, 2
LEAST_SHARE = 0.7
# Where each says a word that the other does not, one may stand for the other: Berlin for Munich, least for most.
SHARE_OTHERWISE = 0.8
_KINDS = frozenset({"date", "time", "number"})
# Share of the words that two columns' names must have in common, and words above two tables of one column.
SAME_COLUMN, ALONE_ABOUT = 0.5, 1
# More sentences than these behind one rare word are of a form too, and are not compared.
TOGETHER = 200
# A sentence that is said with more figures than these is of a form, like the total of an invoice.
FORM = 5
# A word that tells a title from so many others that are alike is a name: of an account, a machine, a site.
NAMES = 3
# Sentences longer than this are tables and lists that ran together.
LONGEST = 400
_NEXT_WORD = re.compile(r"[\s-]*([^\W\d_]{3,})")
# A number behind a capital names something: Room 12, Version 3.
_NAMED = re.compile(r"[A-ZÄÖÜ][\w-]*\s+$")
# Lines of tables, fields such as `Date: 3 May`, and what a document says of itself: each has its own, and rightly so.
_NO_PROSE = re.compile(
    r"\s\|\s|^[\W_]*(?:[\w-]+\s){0,2}[\w-]+:\s|^[\W_]*(?:last|updated|published|reviewed|version|date|page|stand|zuletzt"
    r"|datum|seite)\b",
    re.IGNORECASE,
)
_ABOUT_ITSELF = re.compile(
    r"^(?:no|nr|id|date|datum|version|revision|step|stand|updated|since|seit|page|seite)\b\.?", re.IGNORECASE
)
# The number of an item in a list.
_ENUMERATED = re.compile(r"^\s*\d{1,3}(?:\.\d{1,3})*[.)]?\s+(?=[A-ZÄÖÜ])")
_VERSION = re.compile(r"\b(?:(?:19|20)\d\d|(?:v|ver|version|rev|revision|fassung)\.?\s*\d+(?:\.\d+)*)\b", re.IGNORECASE)
_NEGATED = frozenset(
    """no not never without except nor cannot can't don't isn't won't
    kein keine keinen keiner nicht nie ohne außer""".split()
)


@dataclass(frozen=True)
class Statement:
    """A sentence that states a figure: where it stands, its words without the figures, and these.

    `about` are the words of what stands above it. Of a cell of a table `row` and `column` are the words of what names
    its row and its column; `alone` tells that the table has no other column of values.
    """

    start: int
    end: int
    words: frozenset[str]
    names: frozenset[str]
    negated: bool
    figures: tuple[Fact, ...]
    codes: frozenset[str]
    about: frozenset[str]
    row: frozenset[str] = frozenset()
    column: frozenset[str] = frozenset()
    alone: bool = False


@dataclass(frozen=True)
class Said:
    """A statement and where it stands: the id of its passage, the number and title of its document."""

    document: int
    passage: str
    title: str
    what: Statement


@dataclass(frozen=True)
class Disagreement:
    """Two sentences by their offsets in the two texts, and what each says where they differ, as it is written."""

    one: tuple[int, int]
    other: tuple[int, int]
    says: tuple[str, str]


@dataclass(frozen=True)
class Contradiction:
    """Two passages of different documents that disagree; where, is told by offsets in their texts."""

    one: Passage
    other: Passage
    where: Disagreement


def among(
    passages: Sequence[Passage], matters: Callable[[Contradiction], bool] = lambda _: True
) -> list[Contradiction]:
    """Which of these passages contradict another document's, each pair of passages once, in their order.

    Of what two passages disagree in the first that `matters` is named.
    """
    by_id = {p.id: p for p in passages}
    said = [s for p in passages for s in said_in(p.document_id, p.id, p.title, p.place.headings, p.text)]
    differ = [(i, j) for i, j in sorted(worth_comparing(said)) if disagree(said[i], said[j])]
    out: dict[tuple[str, str], Contradiction] = {}
    for one, other, where in of_one_thing(said, differ):
        found = Contradiction(by_id[one.passage], by_id[other.passage], where)
        if (one.passage, other.passage) not in out and matters(found):
            out[one.passage, other.passage] = found
    return list(out.values())


def said_in(document: int, passage: str, title: str, headings: Sequence[str], text: str) -> list[Said]:
    """The statements of a passage."""
    return [Said(document, passage, title, s) for s in statements(text, " ".join([title, *headings]))]


def worth_comparing(said: Sequence[Said]) -> Iterator[tuple[int, int]]:
    """Which pairs may say the same, each once: they count in one unit and share one of their rarest words.

    Two sets that have so much in common must share one of the first few in any order of all words (prefix filtering,
    Chaudhuri 2006); with the rarest first, few others do.
    """
    spread = Counter(w for s in said for w in s.what.words)
    blocks: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, s in enumerate(said):
        rarest = sorted(s.what.words, key=lambda w: (spread[w], w))
        first = rarest[: len(rarest) - ceil(LEAST_SHARE * len(rarest)) + 1]
        for kind, unit in {(f.kind, f.unit) for f in s.what.figures}:
            # Cells of a table are compared by the name of their row.
            for word in {*first, *s.what.row}:
                blocks[word, kind, unit].append(i)
    met: set[tuple[int, int]] = set()
    for block in blocks.values():
        for pair in combinations(block, 2) if len(block) <= TOGETHER else ():
            if pair not in met:
                met.add(pair)
                yield pair


def disagree(one: Said, other: Said) -> bool:
    """Whether two documents say the same but for one figure, be it of one thing or of two."""
    return one.document != other.document and compared(one.what, other.what) is not None


def of_one_thing(said: Sequence[Said], differ: Sequence[tuple[int, int]]) -> Iterator[tuple[Said, Said, Disagreement]]:
    """Those of the pairs that disagree whose two sentences are said of one thing, and where.

    Documents that tell of many things of a kind each (accounts, machines, invoices) say the same sentences of them,
    with other figures. Such a sentence is known by how many figures it is said with, such a thing by its name: what the
    title names is meant in each sentence, and a document without that name says nothing of it.
    """
    names = _names({(said[i].title, said[j].title) for i, j in differ})
    forms = _forms(said, differ)

    def of_another(here: Said, there: Said) -> bool:
        return not names & title_words(here.title) <= title_words(there.title) | there.what.about | there.what.words

    for i, j in differ:
        one, two = said[i], said[j]
        if i in forms or siblings(one.title, two.title) or of_another(one, two) or of_another(two, one):
            continue
        if (where := compared(one.what, two.what)) is not None:
            yield one, two, where


def _names(titles: Iterable[tuple[str, str]]) -> frozenset[str]:
    """What names a thing of a kind: the words that tell a title from several that are alike otherwise."""
    told_from: defaultdict[str, set[str]] = defaultdict(set)
    for pair in titles:
        if siblings(*pair):
            for title, other in permutations(pair):
                for word in title_words(title) - title_words(other):
                    told_from[word].add(other)
    return frozenset(word for word, others in told_from.items() if len(others) >= NAMES)


def _forms(said: Sequence[Said], differ: Sequence[tuple[int, int]]) -> set[int]:
    """The statements that are said with more than `FORM` figures, by themselves and by those they are linked to."""
    near: defaultdict[int, set[int]] = defaultdict(set)
    for i, j in differ:
        near[i].add(j)
        near[j].add(i)
    forms: set[int] = set()
    seen: set[int] = set()
    for first in near:
        if first in seen:
            continue
        group, open_ = {first}, [first]
        while open_:
            fresh = near[open_.pop()] - group
            group |= fresh
            open_ += fresh
        seen |= group
        if len({frozenset((f.unit, f.values) for f in said[i].what.figures) for i in group}) > FORM:
            forms |= group
    return forms


def siblings(title: str, other: str) -> bool:
    """Whether two titles name two things of one kind, which may differ: `Office Berlin` and `Office Munich`.

    A year or the number of a version makes another version, and no other thing.
    """
    one, two = title_words(title), title_words(other)
    return bool(one & two and one - two and two - one)


@lru_cache(maxsize=4_000)
def title_words(title: str) -> frozenset[str]:
    """The stems of a title but for its year and version."""
    return frozenset(stems(_VERSION.sub(" ", title.replace("-", " ").replace("_", " "))))


@lru_cache(maxsize=4_000)
def statements(text: str, above: str = "") -> tuple[Statement, ...]:
    """The sentences of a text that state a number, a date or a time; `above` is its title and headings."""
    about = frozenset(stems(above))
    out: list[Statement] = []
    for start, end in table_rows.sentences(text):
        if is_code(text, start):
            continue
        if table_rows.is_line_of_table(text[start:end]):
            out += _cells(text[start:end], start, end, about)
        elif (found := _statement(text, start, end, about)) is not None:
            out.append(found)
    return tuple(out)


def _cells(line: str, start: int, end: int, about: frozenset[str]) -> Iterator[Statement]:
    """What the cells of a row state: each with one figure, of the thing that the first cell names."""
    head, *rest = table_rows.cells(line) or [table_rows.Cell(0, "", "")]
    named = facts.facts(head.value)
    codes = frozenset(str(v) for f in named if f.kind == "code" for v in f.values)
    row = frozenset(w for w in stems(_without(head.value, named)) if len(w) > 1) | codes
    if not row or end - start > LONGEST or any(f.kind in _KINDS for f in named) or _ABOUT_ITSELF.search(head.name):
        return
    for cell in rest:
        figures = [f for f in facts.facts(cell.value) if f.kind in _KINDS]
        if len(figures) != 1 or not cell.name or _ABOUT_ITSELF.search(cell.name):
            continue
        of_column = next((u for w in re.findall(r"[^\W\d_]+|[%€$£]", cell.name) if (u := facts.unit_of(w))), "")
        figure = replace(_counted(cell.value, figures[0]), unit=figures[0].unit or of_column)
        words = row | frozenset(stems(f"{cell.name} {_without(cell.value, figures)}"))
        negated = not _NEGATED.isdisjoint(cell.value.lower().split())
        column = frozenset(stems(cell.name))
        yield Statement(
            start, end, words, frozenset(), negated, (figure,), codes, about, row, column, alone=len(rest) == 1
        )


def _without(text: str, found: Sequence[Fact]) -> str:
    for fact in found:
        text = text[: fact.start] + " " * (fact.end - fact.start) + text[fact.end :]
    return text


def _statement(text: str, start: int, end: int, about: frozenset[str]) -> Statement | None:
    if end - start > LONGEST or text[start] == "#" or text[end - 1] == "?":
        return None
    if not facts.counts(text[start:end]) or _NO_PROSE.search(text[start:end]):
        return None
    sentence = _ENUMERATED.sub("", facts.plain(text[start:end]))
    found = [_counted(sentence, f) for f in facts.facts(sentence)]
    figures = tuple(f for f in found if f.kind in _KINDS)
    if not figures:
        return None
    rest = _without(sentence, found)
    words = frozenset(stems(rest))
    if len(words) < LEAST_OWN:
        return None
    named = (w for name in facts.names(sentence) for w in stems(str(next(iter(name.values)))))
    said = rest.lower().split()
    codes = frozenset(str(v) for f in found if f.kind == "code" for v in f.values)
    return Statement(start, end, words, frozenset(named), not _NEGATED.isdisjoint(said), figures, codes, about)


def _counted(sentence: str, fact: Fact) -> Fact:
    """A number without a known unit counts what the next word says: 40 desks are no 45 chairs."""
    if fact.kind != "number" or fact.unit:
        return fact
    if _NAMED.search(sentence, 0, fact.start) and fact.text[0].isdigit():
        return Fact("code", fact.text, fact.start, fact.end, fact.values)
    behind = _NEXT_WORD.match(sentence, fact.end)
    unit = next(iter(stems(behind.group(1))), "") if behind else ""
    return Fact(fact.kind, fact.text, fact.start, fact.end, fact.values, unit)


def compared(one: Statement, other: Statement) -> Disagreement | None:
    """Whether two sentences say the same of the same thing, but for one figure.

    Where more than one figure differs they tell of two cases (after 5 years 30 days, after 10 years 33).
    """
    if one.codes != other.codes or one.negated != other.negated or not _on_the_same(one, other):
        return None
    left, right = list(one.figures), list(other.figures)
    for figure in one.figures:
        if (same := next((f for f in right if _alike(figure, f) and figure.values & f.values), None)) is not None:
            left.remove(figure)
            right.remove(same)
    if len(left) != 1 or len(right) != 1 or not _alike(left[0], right[0]):
        return None
    return Disagreement((one.start, one.end), (other.start, other.end), (_says(left[0]), _says(right[0])))


def _on_the_same(one: Statement, other: Statement) -> bool:
    if one.row and other.row:
        return _same_cell(one, other)
    shared = len(one.words & other.words)
    mine, theirs = one.words - other.words, other.words - one.words
    above = len((one.about & other.about) - one.words)
    if shared < LEAST_OWN or shared + above < LEAST_WORDS or (one.names & mine) or (other.names & theirs):
        return False
    share = shared / (shared + len(mine) + len(theirs))
    return share >= (SHARE_OTHERWISE if mine and theirs else LEAST_SHARE)


def _same_cell(one: Statement, other: Statement) -> bool:
    """Whether two cells tell the same of the same: rows of one name under columns of one name.

    Where each table has but one column of values these may be called otherwise, if what stands above them is alike and
    they count in one unit.
    """
    above = one.about & other.about
    if one.row != other.row or not (above or one.codes):
        return False
    both = one.column & other.column
    if both and len(both) >= SAME_COLUMN * len(one.column | other.column):
        return True
    return one.alone and other.alone and len(above) >= ALONE_ABOUT and bool(one.figures[0].unit)


def _alike(one: Fact, other: Fact) -> bool:
    return one.kind == other.kind and one.unit == other.unit


def _says(fact: Fact) -> str:
    return f"{fact.text} {fact.unit}" if fact.unit and fact.unit not in fact.text else fact.text
