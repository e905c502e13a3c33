"""OpenDocument (odt, ods, odp) and EPUB: archives of XML."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, moment
from assistant.index.parsers.structured import local, xml_tree
from assistant.index.parsers.web import write_html

CHAPTERS = 2_000
COLUMNS = 100
ROWS = 20_000


def odf(data: bytes) -> Parsed:
    """A text, a table or a presentation of LibreOffice and its like."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        if "META-INF/manifest.xml" in names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
            raise ParseError("protected by a password")
        kind = archive.read("mimetype").decode("ascii", "replace").strip() if "mimetype" in names else ""
        content = xml_tree(archive.read("content.xml"))
        meta = xml_tree(archive.read("meta.xml")) if "meta.xml" in names else None
    page = Page()
    body = next((e for e in content.iter() if local(e) == "body"), content)
    _walk(body, page, "presentation" in kind)
    described = list(meta.iter()) if meta is not None else []
    facts = {local(e): (e.text or "") for e in described}
    own = {_attribute(e, "name").lower(): e.text for e in described if local(e) == "user-defined"}
    return page.done(
        kind or "application/vnd.oasis.opendocument.text",
        facts.get("title", ""),
        author=facts.get("creator") or facts.get("initial-creator") or "",
        modified=moment(facts.get("date") or facts.get("creation-date")),
        valid_until=moment(own.get("valid_until") or own.get("valid until")),
    )


def _attribute(element: Any, name: str) -> str:
    return str(next((v for k, v in element.attrib.items() if k.rpartition("}")[2] == name), ""))


def _walk(element: Any, page: Page, slides: bool) -> None:
    for child in element:
        name = local(child)
        if name == "h":
            level = _attribute(child, "outline-level")
            page.add(_flow(child), "heading", min(int(level), 6) if level.isdecimal() and int(level) else 1)
        elif name == "p":
            page.add(f"- {_flow(child)}" if local(element) == "list-item" and _flow(child).strip() else _flow(child))
        elif name == "table":
            if local(element) == "spreadsheet":
                page.sheet = _attribute(child, "name")
                page.add(page.sheet, "heading", 2)
            page.table(_rows(child))
        elif name == "page" and slides:
            page.page = (page.page or 0) + 1
            _walk(child, page, slides)
        elif name and name not in {"tracked-changes", "forms", "annotation", "sequence-decls"}:
            _walk(child, page, slides)


def _flow(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        name = local(child)
        if name == "s":
            count = _attribute(child, "c")
            parts.append(" " * (min(int(count), 100) if count.isdecimal() else 1))
        elif name in {"tab", "line-break"}:
            parts.append("\t" if name == "tab" else "\n")
        elif name not in {"annotation", "note-citation", ""}:
            parts.append(_flow(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _rows(table: Any) -> Iterator[list[str]]:
    count = 0
    for row in table.iter():
        if local(row) != "table-row":
            continue
        cells: list[str] = []
        for cell in row:
            if local(cell) in {"table-cell", "covered-table-cell"}:
                repeated = _attribute(cell, "number-columns-repeated")
                text = "\n".join(_flow(p) for p in cell.iter() if local(p) in {"p", "h"})
                # Repeated empty cells fill a sheet to its far edge.
                times = min(int(repeated), COLUMNS) if repeated.isdecimal() else 1
                cells += [text] * (times if text else min(times, COLUMNS - len(cells)))
        count += 1
        if count > ROWS:
            return
        yield cells[:COLUMNS]


def epub(data: bytes) -> Parsed:
    """The chapters of a book in the order in which they are read."""
    page = Page()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        container = xml_tree(archive.read("META-INF/container.xml"))
        root = next((_attribute(e, "full-path") for e in container.iter() if local(e) == "rootfile"), "")
        if root not in names:
            raise ParseError("damaged: the book's table of contents is missing")
        book = xml_tree(archive.read(root))
        places = {_attribute(e, "id"): _attribute(e, "href") for e in book.iter() if local(e) == "item"}
        spine = [_attribute(e, "idref") for e in book.iter() if local(e) == "itemref"]
        if "META-INF/encryption.xml" in names and b"EncryptedData" in archive.read("META-INF/encryption.xml"):
            raise ParseError("protected against copying")
        for key in dict.fromkeys(spine[:CHAPTERS]):
            member = posixpath.normpath(posixpath.join(posixpath.dirname(root), unquote(places.get(key, ""))))
            if member in names:
                write_html(archive.read(member), page)
    facts: dict[str, str] = {}
    for element in book.iter():
        if local(element) in {"title", "creator", "date"} and element.text:
            facts.setdefault(local(element), element.text)
        if local(element) == "meta" and _attribute(element, "property") == "dcterms:modified":
            facts["modified"] = element.text or ""
    return page.done(
        "application/epub+zip",
        facts.get("title", ""),
        author=facts.get("creator", ""),
        modified=moment(facts.get("modified") or facts.get("date")),
    )
