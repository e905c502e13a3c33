"""The Office formats: docx, pptx, xlsx."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, moment, one_line
from assistant.index.parsers.structured import xml_tree

SHEET_ROWS = 20_000
SHEET_COLUMNS = 100
EMPTY_ROWS = 500


# What programs write where a person's name belongs.
_NO_AUTHORS = {"python-docx", "openpyxl", "microsoft office user", "administrator", "admin", "user", "unknown"}


def _author(name: str | None) -> str:
    return "" if not name or name.strip().lower() in _NO_AUTHORS else name


def _member(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name) if name in archive.namelist() else b""


def _valid_until(data: bytes) -> datetime | None:
    """The file's own property "valid_until" or "Valid until", as Office lets people add one."""
    if not (custom := _member(data, "docProps/custom.xml")):
        return None
    for item in xml_tree(custom):
        if (item.get("name") or "").lower().replace(" ", "_") == "valid_until":
            return moment("".join(map(str, item.itertext())))
    return None


def docx(data: bytes) -> Parsed:
    from docx import Document
    from docx.table import Table

    try:
        document = Document(io.BytesIO(data))
    except KeyError as error:
        if b"purl.oclc.org/ooxml" in _member(data, "_rels/.rels"):
            raise ParseError("saved as Strict Open XML; save it as an ordinary docx") from error
        raise
    page = Page()
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            page.table(_docx_rows(item))
            continue
        style = (item.style.name if item.style else "") or ""
        if found := re.match(r"(?:heading|überschrift) (\d)", style, re.IGNORECASE):
            page.add(item.text, "heading", int(found.group(1)))
        elif style.lower() == "title":
            page.add(item.text, "heading", 1)
        else:
            page.add(f"- {item.text}" if "list" in style.lower() and item.text.strip() else item.text)
    core = document.core_properties
    return page.done(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        core.title or "",
        author=_author(core.author),
        modified=moment(core.modified),
        valid_until=_valid_until(data),
    )


def _docx_rows(table: Any) -> Iterable[list[str]]:
    for row in table.rows:
        seen, cells = set(), []
        for cell in row.cells:
            # A merged cell is handed out once for each column it spans.
            if id(cell._tc) not in seen:
                seen.add(id(cell._tc))
                cells.append(cell.text)
        yield cells


def pptx(data: bytes) -> Parsed:
    from pptx import Presentation

    deck = Presentation(io.BytesIO(data))
    page = Page()
    for number, slide in enumerate(deck.slides, 1):
        page.page = number
        title = slide.shapes.title
        if title is not None and title.text_frame.text.strip():
            page.add(one_line(title.text_frame.text), "heading", 2)
        _shapes(slide.shapes, page, title)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            page.add(slide.notes_slide.notes_text_frame.text)
    return page.done(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        deck.core_properties.title or "",
        author=_author(deck.core_properties.author),
        modified=moment(deck.core_properties.modified),
        valid_until=_valid_until(data),
    )


def _shapes(shapes: Any, page: Page, title: Any, depth: int = 0) -> None:
    for shape in shapes:
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if depth < 20 and hasattr(shape, "shapes"):
            _shapes(shape.shapes, page, None, depth + 1)
        elif getattr(shape, "has_table", False):
            page.table([c.text for c in row.cells] for row in shape.table.rows)
        elif getattr(shape, "has_text_frame", False):
            for paragraph in shape.text_frame.paragraphs:
                page.add("".join(run.text for run in paragraph.runs))


def xlsx(data: bytes) -> Parsed:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    page = Page()
    cut: list[str] = []
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        page.sheet = sheet.title
        page.add(sheet.title, "heading", 2)
        page.table(_sheet_rows(sheet, cut))
    title = book.properties.title or ""
    return page.done(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        title,
        author=_author(book.properties.creator),
        modified=moment(book.properties.modified),
        valid_until=_valid_until(data),
        note=f"only the first {SHEET_ROWS:,} rows of a sheet are read" if cut else "",
    )


def _sheet_rows(sheet: Any, cut: list[str]) -> Iterable[list[str]]:
    sheet.reset_dimensions()
    empty = 0
    for number, row in enumerate(sheet.iter_rows(max_col=SHEET_COLUMNS, values_only=True)):
        cells = [_cell(v) for v in row]
        empty = 0 if any(cells) else empty + 1
        # A cell far below makes the reader hand out a million empty rows.
        if number > SHEET_ROWS:
            cut.append(sheet.title)
        if number > SHEET_ROWS or empty > EMPTY_ROWS:
            return
        yield cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d" if value.hour == value.minute == 0 else "%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 else str(value)
    return str(value)
