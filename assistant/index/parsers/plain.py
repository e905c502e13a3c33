"""Plain text and tables of it."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, decode

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
    return page.done("text/csv", "")


def paragraphs(text: str, page: Page) -> None:
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        page.add(paragraph)


def text(data: bytes) -> Parsed:
    whole = decode(data)
    if whole.count("\x00") > len(whole) // 20 or sum(c == "\ufffd" for c in whole[:4000]) > 200:
        raise ParseError("not a text file")
    page = Page()
    paragraphs(whole, page)
    first = next((line.strip() for line in whole.splitlines() if line.strip(" \t=-#*")), "")
    return page.done("text/plain", first if len(first) < 100 else "")
