"""Rows of tables as passages hold them, `Grade: 3 | London: 175`, and as a person reads them.

Every parser writes a table by `page.Page.table`: a line of column names, then a line for each row that says them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from assistant.index.sentences import is_code, spans, stems

BETWEEN, APART = " | ", " — "
# A name of a column is short; what stands before the colon of a longer cell is text.
NAME_CHARS = 60
_CELL = re.compile(rf"([^:|\n]{{1,{NAME_CHARS}}}): +(\S.*)", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Cell:
    """A cell: where it begins in its line, the name of its column, empty where it has none, and what it says."""

    start: int
    name: str
    value: str


def is_line_of_table(line: str) -> bool:
    """Whether a line is of a table: its row, or the names of its columns."""
    return BETWEEN in line


def cells(line: str) -> list[Cell]:
    """The cells of a row; none for a line of column names, and for what is no row."""
    if BETWEEN not in line:
        return []
    out, at = [], 0
    for part in line.split(BETWEEN):
        named = _CELL.fullmatch(part)
        out.append(Cell(at, named.group(1).strip(), named.group(2).strip()) if named else Cell(at, "", part.strip()))
        at += len(part) + len(BETWEEN)
    return out if sum(bool(c.name) for c in out) * 2 >= len(out) else []


def names_columns(line: str, following: str) -> bool:
    """Whether a line holds the names of a table's columns: the row that follows says them again."""
    names = {n.strip() for n in line.split(BETWEEN)}
    said = [c.name for c in cells(following) if c.name]
    return BETWEEN in line and bool(said) and names.issuperset(said)


def as_line(line: str, most: int = 0, about: frozenset[str] = frozenset()) -> str:
    """A row as a person reads it: `Grade 3 — London: 175`, of the same words in the same order; all else unchanged.

    Of a row with more than `most` characters (0: any) the cells are left out that share fewest stems with `about`.
    """
    if BETWEEN not in line:
        return line
    found = [_said(c, first=n == 0) for n, c in enumerate(cells(line))] or [p.strip() for p in line.split(BETWEEN)]
    size = sum(len(c) + len(APART) for c in found)
    if not most or size <= most:
        return APART.join(found)
    # The first cell names the row.
    ranked = sorted(range(1, len(found)), key=lambda n: (-len(about & set(stems(found[n]))), n))
    kept, size = {0}, len(found[0])
    for n in ranked:
        if len(kept) > 1 and size + len(found[n]) + len(APART) > most:
            continue
        kept.add(n)
        size += len(found[n]) + len(APART)
    return APART.join(c if n in kept else "…" for n, c in enumerate(found) if n in kept or n - 1 in kept)


def _said(cell: Cell, *, first: bool) -> str:
    if not cell.name or (first and cell.value.casefold().startswith(f"{cell.name} ".casefold())):
        return cell.value
    # What names a row is often a bare number.
    return f"{cell.name}{' ' if first and not _LETTER.search(cell.value) else ': '}{cell.value}"


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, as `sentences.spans` has them, but of each line of a table or of code whole."""
    at = 0
    lines = list(re.finditer(r"[^\n]+", text))
    for line in lines:
        if not is_line_of_table(line.group()) and not is_code(text, line.start()):
            continue
        yield from ((at + a, at + b) for a, b in spans(text[at : line.start()]))
        blank = len(line.group()) - len(line.group().lstrip())
        if line.group().strip():
            yield line.start() + blank, line.start() + len(line.group().rstrip())
        at = line.end()
    yield from ((at + a, at + b) for a, b in spans(text[at:]))
