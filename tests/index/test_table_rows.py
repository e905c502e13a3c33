"""Rows of tables read as lines, with the words that they have in the document."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index import table_rows
from assistant.index.page import Page
from assistant.index.sentences import spans


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("Grade: Grade 3 | London: 175 | Leeds: 120", "Grade 3 — London: 175 — Leeds: 120"),
        ("Grade: 3 | London: 175", "Grade 3 — London: 175"),
        ("City: London | Limit per night: 175 £", "City: London — Limit per night: 175 £"),
        ("Step: Warning | free text | Decided by: manager", "Step: Warning — free text — Decided by: manager"),
        ("City | Limit per night", "City — Limit per night"),
        ("No table: a sentence with a colon.", "No table: a sentence with a colon."),
        ("a || b", "a || b"),
    ],
)  # fmt: skip
def test_a_row_reads_as_a_line_and_all_else_stays(row: str, line: str) -> None:
    assert table_rows.as_line(row) == line


NAME = st.text("abcdefgh ", min_size=1, max_size=12).map(str.strip).filter(bool)
CELL = st.text("abcdefgh 0123.:", min_size=1, max_size=40).map(lambda t: " ".join(t.split())).filter(bool)


@st.composite
def table(draw: st.DrawFn) -> list[list[str]]:
    names = draw(st.lists(NAME, min_size=2, max_size=5))
    rows = draw(st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), min_size=1, max_size=4))
    return [names, *rows]


@settings(deadline=None)
@given(table())
def test_a_line_has_the_words_of_its_row_in_their_order_and_every_cell_is_read_back(rows: list[list[str]]) -> None:
    page = Page()
    page.table(rows)
    names, *lines = "".join(page.parts).split("\n")
    assert table_rows.names_columns(names, lines[0])
    for line, cells in zip(lines, rows[1:], strict=True):
        read = table_rows.cells(line)
        assert [c.value for c in read] == cells
        assert [c.name for c in read] == [" ".join(n.split()) for n in rows[0]]
        assert all(line[c.start :].startswith(c.name) for c in read)
        said = re.findall(r"\w+", table_rows.as_line(line))
        whole = iter(re.findall(r"\w+", line))
        assert all(word in whole for word in said)


@given(st.text("ab. |\n:XY", max_size=80))
def test_sentences_cover_what_spans_cover_and_keep_lines_of_tables_whole(text: str) -> None:
    found = list(table_rows.sentences(text))
    assert found == sorted(found)
    assert all(a < b for a, b in found)
    assert all(b <= c for (_, b), (c, _) in pairwise(found))
    said = "".join(text[a:b] for a, b in found)
    assert re.sub(r"\s", "", said) == re.sub(r"\s", "", "".join(text[a:b] for a, b in spans(text)))
    for line in text.split("\n"):
        if table_rows.is_line_of_table(line):
            assert line.strip() in [text[a:b] for a, b in found]


def test_a_long_row_keeps_what_names_it_and_what_is_asked_about() -> None:
    row = " | ".join(["Site: Leeds", *(f"Field {n}: {'words ' * 20}" for n in range(9)), "Parking: behind the hall"])
    line = table_rows.as_line(row, 300, frozenset({"park"}))
    assert line.startswith("Site: Leeds — ")
    assert line.endswith("Parking: behind the hall")
    assert "…" in line
    assert len(line) < 330


def test_a_line_of_code_is_no_row_whatever_bars_it_has() -> None:
    text = "Run:\n\n\tps aux | grep web. Now | sort\n\t\n\tkill 1\n\nDone."
    found = [text[a:b] for a, b in table_rows.sentences(text)]
    assert found == ["Run:", "ps aux | grep web. Now | sort", "kill 1", "Done."]
