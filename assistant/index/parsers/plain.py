"""Plain text and tables of it."""

from __future__ import annotations

import csv
import io
import re
from itertools import groupby
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, decode, moment

ROWS = 20_000
COLUMNS = 100


def table(data: bytes) -> Parsed:
    text = decode(data)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:5000], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    csv.field_size_limit(10_000_000)
    page = Page()
    rows = csv.reader(io.StringIO(text), dialect)
    page.table(row[:COLUMNS] for _, row in zip(range(ROWS), rows, strict=False))
    more = next(rows, None) is not None
    return page.done("text/csv", "", note=f"only its first {ROWS:,} rows are read" if more else "")


def text(data: bytes) -> Parsed:
    whole = decode(data)
    if whole.count("\x00") > len(whole) // 20 or sum(c == "\ufffd" for c in whole[:4000]) > 200:
        raise ParseError("not a text file")
    page = Page()
    page.paragraphs(whole)
    first = next((line.strip() for line in whole.splitlines() if line.strip(" \t=-#*")), "")
    return page.done("text/plain", first if len(first) < 100 else "")


def rtf(data: bytes) -> Parsed:
    """Rich text without its marks; the title, author and dates of its head."""
    from striprtf.striprtf import rtf_to_text

    source = data.decode("latin-1")
    page = Page()
    text = rtf_to_text(source, errors="ignore")  # type: ignore[no-untyped-call]
    for is_table, lines in groupby(text.split("\n"), lambda line: line.count("|") > 1 and line.rstrip().endswith("|")):
        if is_table:
            page.table(line.rstrip().removesuffix("|").split("|") for line in lines)
        else:
            page.paragraphs("\n".join(lines))
    changed = re.search(r"\\revtim\\yr(\d{4})\\mo(\d{1,2})\\dy(\d{1,2})", source)
    return page.done(
        "application/rtf",
        _of_head(source, "title"),
        author=_of_head(source, "author"),
        modified=moment("{}-{:0>2}-{:0>2}".format(*changed.groups())) if changed else None,
    )


def _of_head(source: str, name: str) -> str:
    """A plain entry of the head; one with escapes in it is left alone."""
    found = re.search(rf"\{{\\{name} ([^\\{{}}]{{1,200}})\}}", source)
    return found.group(1) if found and found.group(1).strip("? ") else ""
