"""The lines of a PDF's page with their places, and which of them are rows of a table.

A PDF knows no tables: a cell is a line like any other, told only by standing beside another one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# In points: lines at one height, cells at one edge, and how far apart two columns begin at least.
SAME_HEIGHT, SAME_EDGE, APART = 2.0, 3.0, 12.0
# A cell is short; columns of a page that is set in two columns are not.
CELL_CHARS = 300
# A line that goes on in its cell stands no further below than this, in font sizes.
LEADING = 1.6
_NUMBERS = re.compile(r"\d+")
# Signs of fonts of signs, which a PDF names by their place in the font, and drawn ones.
_BULLET = re.compile(r"[\x7f\uf0a7\uf0a8\uf0b7\uf0d8\uf0fc▪▫■□●○◦◆◇►▸‣➢➤✓✔]\s+(?=\S)")


@dataclass(frozen=True)
class Line:
    """A line, where it begins and its font's size, in points from the lower left of the page."""

    text: str
    x: float = -1.0
    y: float = -1.0
    size: float = 10.0


@dataclass(frozen=True)
class Row:
    """What stands side by side, how many of the gaps are no wider than a blank, and where the next line is."""

    cells: list[str]
    edges: list[float]
    narrow: int
    after: int


def lines(sheet: Any) -> list[Line]:
    """The lines of a page in the order of the file."""
    out: list[Line] = []
    held: list[tuple[str, float, float, float]] = []

    def keep(text: str, cm: Sequence[float], tm: Sequence[float], _font: Any, size: float) -> None:
        x = cm[0] * tm[4] + cm[2] * tm[5] + cm[4]
        y = cm[1] * tm[4] + cm[3] * tm[5] + cm[5]
        size = abs(size * tm[3] * cm[3]) or 10.0
        *whole, rest = text.split("\n")
        for piece in whole:
            held.append((piece, x, y, size))
            flush()
        if rest:
            held.append((rest, x, y, size))

    def flush() -> None:
        where = next((h[1:] for h in held if h[0].strip()), (-1.0, -1.0, 10.0))
        out.append(Line(_listed("".join(h[0] for h in held).strip()), *where))
        held.clear()

    sheet.extract_text(visitor_text=keep)
    flush()
    return out


def place(line: Line) -> tuple[str, int]:
    """A line without its numbers, and its height: what a line at the head or foot of pages has in common."""
    return _NUMBERS.sub("", line.text), round(line.y / 3)


def running(pages: Iterable[Sequence[Line]]) -> set[tuple[str, int]]:
    """The outermost lines that stand on most pages at the same height: they say nothing of the text they interrupt."""
    count, on = 0, Counter[tuple[str, int]]()
    for page in pages:
        count += 1
        said = [line for line in page if line.text]
        # A page of one or two lines is all text.
        if len(said) > 2:
            heights = [line.y for line in said]
            outermost = {max(heights), min(heights)}
            on.update({place(line) for line in said if line.y in outermost})
    return {key for key, pages_with in on.items() if pages_with > 1 and pages_with * 2 > count}


def _listed(text: str) -> str:
    """A line of a list with a bullet that every font has, whichever sign its own font drew."""
    found = _BULLET.match(text)
    return f"• {text[found.end() :]}" if found else text


def pieces(found: Sequence[Line]) -> Iterator[str | list[list[str]]]:
    """The lines in their order, with the rows of each table together."""
    at = 0
    while at < len(found):
        table = _table(found, at)
        if table is None:
            yield found[at].text
            at += 1
        else:
            rows, at = table
            yield rows


def _table(found: Sequence[Line], at: int) -> tuple[list[list[str]], int] | None:
    first = _row(found, at)
    if first is None:
        return None
    rows, after = [first.cells], first.after
    alike, narrow, gaps = 1, first.narrow, len(first.cells) - 1
    while (row := _row(found, after)) is not None:
        cells = _placed(row, first.edges)
        if cells is None:
            break
        alike += len(row.cells) == len(first.cells)
        rows.append(cells)
        after, narrow, gaps = row.after, narrow + row.narrow, gaps + len(row.cells) - 1
    # Some files place each word by itself: lines of prose then stand side by side too.
    return (rows, after) if alike > 1 and narrow * 2 <= gaps else None


def _placed(row: Row, edges: Sequence[float]) -> list[str] | None:
    """The cells under the columns of the first row; None where the row is of another table."""
    columns = [next((i for i, e in enumerate(edges) if abs(e - edge) <= SAME_EDGE), None) for edge in row.edges]
    if len(row.cells) == len(edges):
        return row.cells if sum(c is not None for c in columns[1:]) * 2 >= len(columns) - 1 else None
    out = [""] * len(edges)
    for cell, column in zip(row.cells, columns, strict=True):
        if column is None:
            return None
        out[column] = cell
    return out


def _row(found: Sequence[Line], at: int) -> Row | None:
    """The cells that begin at the height of this line, each with the lines it wraps into."""
    top = found[at].y if at < len(found) and found[at].text else None
    cells: list[list[str]] = []
    edges: list[float] = []
    ends: list[float] = []
    height = 0.0
    while top is not None and at < len(found) and (line := found[at]).text:
        if abs(line.y - top) <= SAME_HEIGHT and (not edges or line.x >= edges[-1] + APART):
            cells.append([line.text])
            edges.append(line.x)
            # Half an em for a letter is what most fonts take.
            ends.append(line.x + line.size * (len(line.text) / 2 + 1))
        elif edges and abs(line.x - edges[-1]) <= 1 and 0 < height - line.y <= LEADING * line.size:
            cells[-1].append(line.text)
        else:
            break
        height = line.y
        at += 1
    joined = [" ".join(c) for c in cells]
    narrow = sum(end > edge for end, edge in zip(ends, edges[1:], strict=False))
    return Row(joined, edges, narrow, at) if len(cells) > 1 and max(map(len, joined)) <= CELL_CHARS else None
