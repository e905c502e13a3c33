"""Data as text: JSON, notebooks, XML."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, decode
from assistant.index.parsers.markdown import write_markdown

# Values of one file: more than a person reads, and a passage for every few of them.
VALUES = 200_000
_PLAIN = (str, int, float, bool, type(None))


def json_text(data: bytes) -> Parsed:
    """A list of records becomes a table; anything else its keys as headings and its values as lines."""
    source = decode(data)
    try:
        value = json.loads(source)
    except json.JSONDecodeError as error:
        value = _lines(source)
        if value is None:
            raise ParseError(f"not valid JSON: line {error.lineno}, column {error.colno}") from error
    page = Page()
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        _notebook(value["cells"], page)
        return page.done("application/x-ipynb+json", "")
    title = value.get("title") if isinstance(value, dict) else ""
    _value(value, page, 1, [VALUES])
    return page.done("application/json", title if isinstance(title, str) else "")


def _lines(source: str) -> list[Any] | None:
    """One JSON object a line, or None when it is not that."""
    try:
        values = [json.loads(line) for line in source.splitlines() if line.strip()]
    except json.JSONDecodeError:
        return None
    return values if all(isinstance(v, dict) for v in values) else None


def _value(value: Any, page: Page, level: int, left: list[int]) -> None:
    if isinstance(value, list) and len(value) > 1 and all(isinstance(v, dict) and _is_flat(v) for v in value):
        columns = list(dict.fromkeys(key for record in value[:1000] for key in record))
        page.table([columns, *([_said(record.get(c)) for c in columns] for record in value)])
    elif isinstance(value, dict):
        page.add("\n".join(f"{k}: {_said(v)}" for k, v in value.items() if isinstance(v, _PLAIN) and _said(v)))
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                page.add(str(key), "heading", min(level, 6))
                _value(inner, page, level + 1, left)
    elif isinstance(value, list):
        for item in value:
            _value(item, page, level, left)
    else:
        page.add(_said(value))
    left[0] -= 1
    if left[0] < 0:
        raise ParseError(f"holds more than {VALUES:,} values; split it into smaller files")


def _is_flat(record: dict[str, Any]) -> bool:
    return all(isinstance(v, _PLAIN) for v in record.values())


def _said(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _notebook(cells: Iterable[Any], page: Page) -> None:
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "markdown":
            write_markdown(source, page)
        else:
            page.add(source, "code" if cell.get("cell_type") == "code" else "text")


def xml_tree(data: bytes) -> Any:
    """The root of an XML document. No entity is resolved, no DTD read, nothing fetched."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ParseError(f"not valid XML: line {error.lineno or 1}") from error


def local(element: Any) -> str:
    """An element's name without its namespace; empty for a comment, an entity or an instruction."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def xml_text(data: bytes) -> Parsed:
    """A record's values become one line that names them; running text stays as it is."""
    page = Page()
    root = xml_tree(data)
    _element(root, page)
    title = next((flat(e) for e in root.iter() if local(e).lower() == "title"), "")
    return page.done("application/xml", title)


def _element(element: Any, page: Page) -> None:
    children = [c for c in element if local(c)]
    mixed = (element.text or "").strip() or any((c.tail or "").strip() for c in element)
    if mixed or not children:
        page.add(flat(element))
    elif all(not [g for g in c if local(g)] for c in children) and len({local(c) for c in children}) > 1:
        page.add(" | ".join(f"{local(c)}: {text}" for c in children if (text := flat(c))), "row")
    else:
        for child in children:
            _element(child, page)


def flat(element: Any) -> str:
    from lxml import etree

    # Comments and instructions are no text.
    return " ".join(str(etree.tostring(element, method="text", encoding="unicode", with_tail=False)).split())
