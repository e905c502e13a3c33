"""PDF files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, moment
from assistant.index.parsers import pdf_lines, picture
from assistant.index.wrapped import unwrapped

_UNDECODED = " in a form that is not read; print it to a new PDF"
_NUMBERED = re.compile(r"(\d+(?:\.\d+)*)\.?\s+[A-ZÄÖÜ][^.!?;]{2,70}$")


def pdf(data: bytes) -> Parsed:
    """Text page by page; pages that are only pictures are read by tesseract where it is installed."""
    import logging

    from pypdf import PasswordType, PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise ParseError("protected by a password")
    page = Page()
    reading = picture.Reading()
    scanned = undecoded = 0
    sheets = [(sheet, pdf_lines.lines(sheet)) for sheet in reader.pages]
    running = pdf_lines.running(found for _, found in sheets)
    for number, (sheet, own) in enumerate(sheets, 1):
        page.page = number
        found = [line for line in own if pdf_lines.place(line) not in running]
        if not any(line.text for line in own) and _has_images(sheet):
            if picture.available():
                text, whole = _recognised(sheet, reading)
                found = [pdf_lines.Line(said.strip()) for said in text.split("\n")]
                undecoded += not whole
            else:
                scanned += 1
        _write(found, page)
    if not page.blocks and scanned:
        raise ParseError(picture.NEEDS_TESSERACT)
    if not page.blocks and undecoded:
        raise ParseError(f"holds only images{_UNDECODED}")
    note = f"{_pages(scanned)} only images; {picture.INSTALL}" if scanned else ""
    if undecoded:
        note = f"{_pages(undecoded)} images{_UNDECODED}"
    title = _fact(reader, "/Title")
    first = page.parts[0].split("\n")[0] if page.parts else ""
    return page.done(
        "application/pdf",
        title if len(title) > 3 and ".doc" not in title else first,
        author=_fact(reader, "/Author"),
        modified=_date(reader, "modification_date") or _date(reader, "creation_date"),
        valid_until=moment(_fact(reader, "/valid_until") or _fact(reader, "/ValidUntil")),
        note=note,
    )


def _pages(count: int) -> str:
    return "a page holds" if count == 1 else f"{count} pages hold"


def _write(found: Sequence[pdf_lines.Line], page: Page) -> None:
    lines: list[str] = []
    for piece in [*pdf_lines.pieces(found), ""]:
        heading = _NUMBERED.match(piece) if isinstance(piece, str) else None
        if isinstance(piece, str) and piece and not heading:
            lines.append(piece)
            continue
        page.add(unwrapped("\n".join(lines)))
        lines = []
        if isinstance(piece, list):
            page.table(piece)
        elif heading:
            page.add(piece, "heading", 2 + heading.group(1).count("."))


def _fact(reader: Any, key: str) -> str:
    """An entry of the file's own description; empty where it has none or cannot be read."""
    from pypdf.errors import PyPdfError

    try:
        return str((reader.metadata or {}).get(key) or "")
    except (PyPdfError, ValueError, TypeError, AttributeError, KeyError):
        return ""


def _date(reader: Any, name: str) -> Any:
    from pypdf.errors import PyPdfError

    try:
        return moment(getattr(reader.metadata, name, None))
    except (PyPdfError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _has_images(sheet: Any) -> bool:
    from pypdf.errors import PyPdfError

    try:
        return bool(sheet.images.keys())
    except (PyPdfError, ValueError, TypeError, AttributeError, KeyError):
        return False


def _recognised(sheet: Any, reading: picture.Reading) -> tuple[str, bool]:
    """The text of a page's pictures, turned as the page is shown, and whether all of them could be decoded."""
    from pypdf.errors import DependencyError, PyPdfError

    damaged = (DependencyError, PyPdfError, ImportError, OSError, ValueError, TypeError, AttributeError, KeyError)
    texts, whole = [], True
    for key in sheet.images.keys():  # noqa: SIM118 - its iterator decodes every picture
        try:
            image = sheet.images[key].image
        except (*damaged, NotImplementedError):
            whole = False
            continue
        # Signs and rules are no text.
        if image is not None and min(image.size) >= 20:
            texts.append(reading.text(image.rotate(-(sheet.rotation or 0), expand=True)))
    return "\n\n".join(texts), whole
