"""PDF files."""

from __future__ import annotations

import io
import re

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, moment


def pdf(data: bytes) -> Parsed:
    import logging

    from pypdf import PasswordType, PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise ParseError("protected by a password")
    page = Page()
    numbered = re.compile(r"(\d+(?:\.\d+)*)\.?\s+[A-ZÄÖÜ][^.!?;]{2,70}$")
    for number, sheet in enumerate(reader.pages, 1):
        page.page = number
        lines: list[str] = []
        for line in [*map(str.strip, (sheet.extract_text() or "").split("\n")), ""]:
            heading = numbered.match(line)
            if heading or not line:
                page.add("\n".join(lines))
                lines = []
                if heading:
                    page.add(line, "heading", 2 + heading.group(1).count("."))
            else:
                lines.append(line)
    title = str(getattr(reader.metadata, "title", "") or "")
    first = page.parts[0].split("\n")[0] if page.parts else ""
    try:
        modified = moment(reader.metadata.modification_date) if reader.metadata else None
    except (ValueError, AttributeError):
        modified = None
    return page.done("application/pdf", title if len(title) > 3 and ".doc" not in title else first, modified=modified)
