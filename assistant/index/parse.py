"""A file becomes text with places: title, headings, pages, sheets. Imports parsers only, for workers import it."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath

from assistant.errors import ParseError
from assistant.index import asks, sketch
from assistant.index.language import language_of
from assistant.index.page import Parsed, one_line
from assistant.index.parsers import archive, mail, markdown, office, open_document, pdf, picture, plain, structured, web

FINGERPRINT = "parse-10"
# Uncompressed bytes of an office file: far beyond any real one, far below a bomb.
UNZIPPED_BYTES = 300_000_000


def parse(path: str, data: bytes) -> Parsed:
    """Read a file's bytes. `path` tells its kind, its bytes may tell better.

    Raises `ParseError` with a reason an admin understands; a file without text gives a `Parsed` without blocks.
    """
    parsed = _parse(path, data)
    parsed.language = language_of(parsed.text)
    parsed.asks = asks.question_of(parsed)
    parsed.text_hash = sketch.text_hash(parsed.text)
    parsed.sketch = sketch.sketch(parsed.text)
    return parsed


def _parse(path: str, data: bytes, within_archive: bool = False) -> Parsed:
    if not data.strip():
        return Parsed(_name(path), "", [], "text/plain")
    kind = _kind(path, data)
    if kind == "zip" and within_archive:
        raise ParseError("an archive in an archive")
    try:
        parsed = archive.zipped(data, _member) if kind == "zip" else _PARSERS[kind](data)
    except ParseError:
        raise
    except (RecursionError, MemoryError) as error:
        raise ParseError("nested too deeply or too large to read") from error
    except Exception as error:
        raise ParseError(f"damaged, or not really {_a(kind)} file") from error
    # Spreadsheets mostly bear the name of their file.
    if parsed.title in {"", PurePosixPath(path).name, PurePosixPath(path).stem}:
        parsed.title = _name(path)
    return parsed


def _member(path: str, data: bytes) -> Parsed:
    return _parse(path, data, within_archive=True)


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'eox' else 'a'} {kind}"


def _name(path: str) -> str:
    """A file's name as a title: `price-list-2026.xlsx` is `Price list 2026`."""
    stem = PurePosixPath(path).stem
    name = one_line(re.sub(r"[_\-]+", " ", stem)) or path
    return name[:1].upper() + name[1:] if name.islower() else name


def _kind(path: str, data: bytes) -> str:
    """The parser for a file: by its first bytes where they tell, else by its name."""
    suffix = PurePosixPath(path).suffix.lower().lstrip(".")
    suffix = _SAME.get(suffix, suffix)
    head = data[:1024].lstrip()
    if head.startswith(b"%PDF"):
        return "pdf"
    if data.startswith(b"PK\x03\x04"):
        return _of_archive(data)
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if suffix == "msg":
            raise ParseError("an Outlook message; save it as eml")
        raise ParseError("an old or password-protected Office file; save it as docx, xlsx, pptx or pdf")
    if data.startswith(_PICTURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return "picture"
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if data.startswith(_ARCHIVES):
        raise ParseError("an archive of a kind that is not read; put the files themselves into the source, or zip them")
    if suffix in _BY_BYTES:
        raise ParseError(f"not really a {suffix} file")
    if suffix in _PARSERS:
        return suffix
    if re.match(rb"<!doctype html|<html", head, re.IGNORECASE):
        return "html"
    raise ParseError(f"files of the kind .{suffix} are not read" if suffix else "a file without an extension")


def _of_archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = set(file.namelist())
            if sum(i.file_size for i in file.infolist()) > UNZIPPED_BYTES:
                raise ParseError("unpacks to far more than a document holds")
            types = file.read("[Content_Types].xml") if "[Content_Types].xml" in names else b""
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ParseError("cut off or damaged: its archive cannot be opened") from error
    for kind, member in _MEMBERS:
        if member in names:
            if kind in {"docx", "pptx"} and _OTHER_TYPES.search(types):
                raise ParseError(f"a document with macros, or a template; save it as {kind}")
            return kind
    if "[Content_Types].xml" in names:
        raise ParseError("damaged: the part that holds its text is missing")
    return "zip"


_SAME = {
    "markdown": "md", "htm": "html", "xhtml": "html", "text": "txt", "log": "txt", "rst": "txt", "org": "txt",
    "adoc": "txt", "asciidoc": "txt", "tsv": "csv", "jsonl": "json", "ndjson": "json", "ipynb": "json",
}  # fmt: skip
_MEMBERS = (
    ("docx", "word/document.xml"),
    ("pptx", "ppt/presentation.xml"),
    ("xlsx", "xl/workbook.xml"),
    ("epub", "META-INF/container.xml"),
    ("odf", "content.xml"),
)
_OTHER_TYPES = re.compile(rb"(macroEnabled|template(\.macroEnabled)?)\.main\+xml")
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")
_ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"PK\x05\x06", b"PK\x07\x08")
# Kinds that are known by their first bytes: a name alone makes none of them.
_BY_BYTES = {
    "pdf", "docx", "pptx", "xlsx", "odt", "ods", "odp", "epub", "zip", "rtf", "png", "jpg", "jpeg", "gif", "tif",
    "tiff", "webp",
}  # fmt: skip
_PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    "md": markdown.markdown,
    "html": web.html_page,
    "pdf": pdf.pdf,
    "docx": office.docx,
    "pptx": office.pptx,
    "xlsx": office.xlsx,
    "odf": open_document.odf,
    "epub": open_document.epub,
    "rtf": plain.rtf,
    "csv": plain.table,
    "json": structured.json_text,
    "xml": structured.xml_text,
    "eml": mail.eml,
    "mbox": mail.mbox,
    "txt": plain.text,
    "picture": picture.picture,
}
