"""What a document's Content-Type says of its kind, for parsers that go by a name's ending."""

from __future__ import annotations

from pathlib import PurePosixPath

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
ENDINGS = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "application/epub+zip": ".epub",
    "application/zip": ".zip",
    "message/rfc822": ".eml",
    "application/mbox": ".mbox",
    f"{_OFFICE}wordprocessingml.document": ".docx",
    f"{_OFFICE}spreadsheetml.sheet": ".xlsx",
    f"{_OFFICE}presentationml.presentation": ".pptx",
    f"{_OPEN}text": ".odt",
    f"{_OPEN}spreadsheet": ".ods",
    f"{_OPEN}presentation": ".odp",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/tiff": ".tif",
    "image/webp": ".webp",
    "image/gif": ".gif",
}
_PLAIN = frozenset({".md", ".csv", ".json", ".xml", ".txt", ".log", ".eml", ".mbox", ".rst", ".adoc", ".org"})
_SAME = {".htm": ".html", ".xhtml": ".html", ".markdown": ".md", ".jpeg": ".jpg", ".tiff": ".tif"}


def ending(content_type: str) -> str:
    """The ending that goes with a Content-Type, empty for one that says nothing."""
    return ENDINGS.get(content_type.split(";", maxsplit=1)[0].strip().lower(), "")


def named(path: str, content_type: str) -> str:
    """The path with the ending that its Content-Type asks for. Text may be of any kind that its own ending tells."""
    told = ending(content_type)
    own = PurePosixPath(path).suffix.lower()
    own = _SAME.get(own, own)
    if not told or own == told or (told == ".txt" and own in _PLAIN):
        return path
    return path + told
