"""A file becomes text with places: title, headings, pages, sheets. Imports parsers only, for workers import it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath

from assistant.errors import ParseError
from assistant.index.page import Parsed, one_line
from assistant.index.parsers import mail, markdown, office, pdf, plain, web

FINGERPRINT = "parse-2"
# Uncompressed bytes of an office file: far beyond any real one, far below a bomb.
UNZIPPED_BYTES = 300_000_000


def parse(path: str, data: bytes) -> Parsed:
    """Read a file's bytes. `path` tells its kind, its bytes may tell better.

    Raises `ParseError` with a reason an admin understands; a file without text gives a `Parsed` without blocks.
    """
    if not data.strip():
        return Parsed(_name(path), "", [], "text/plain")
    kind = _kind(path, data)
    try:
        parsed = _PARSERS[kind](data)
    except ParseError:
        raise
    except (RecursionError, MemoryError) as error:
        raise ParseError("nested too deeply or too large to read") from error
    except Exception as error:
        raise ParseError(f"damaged, or not really a {kind} file ({type(error).__name__})") from error
    parsed.title = parsed.title or _name(path)
    return parsed


def _name(path: str) -> str:
    stem = PurePosixPath(path).stem
    return one_line(re.sub(r"[_\-]+", " ", stem)) or path


def _kind(path: str, data: bytes) -> str:
    """The parser for a file: by its first bytes where they tell, else by its name."""
    suffix = PurePosixPath(path).suffix.lower().lstrip(".")
    suffix = {"markdown": "md", "htm": "html", "xhtml": "html", "text": "txt", "log": "txt", "tsv": "csv"}.get(
        suffix, suffix
    )
    head = data[:1024].lstrip()
    if head.startswith(b"%PDF"):
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        return _office(data)
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise ParseError("an old or password-protected Office file; save it as docx, xlsx, pptx or pdf")
    if data.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b", b"7z\xbc\xaf", b"{\\rtf")):
        raise ParseError("an image, archive or other file that holds no text we read")
    if suffix in {"pdf", "docx", "pptx", "xlsx"}:
        raise ParseError(f"not really a {suffix} file")
    if suffix in _PARSERS:
        return suffix
    if re.match(rb"<!doctype html|<html", head, re.IGNORECASE):
        return "html"
    raise ParseError(f"files of the kind .{suffix} are not read" if suffix else "a file without an extension")


def _office(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if sum(i.file_size for i in archive.infolist()) > UNZIPPED_BYTES:
                raise ParseError("unpacks to far more than a document holds")
    except zipfile.BadZipFile as error:
        raise ParseError("cut off or damaged: its archive cannot be opened") from error
    for kind, member in (("docx", "word/document.xml"), ("pptx", "ppt/presentation.xml"), ("xlsx", "xl/workbook.xml")):
        if member in names:
            return kind
    raise ParseError("an archive that is no docx, pptx or xlsx file")


_PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    "md": markdown.markdown,
    "html": web.html_page,
    "pdf": pdf.pdf,
    "docx": office.docx,
    "pptx": office.pptx,
    "xlsx": office.xlsx,
    "csv": plain.table,
    "eml": mail.eml,
    "txt": plain.text,
}
