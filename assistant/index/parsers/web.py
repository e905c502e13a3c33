"""HTML pages."""

from __future__ import annotations

import re
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, decode, moment
from assistant.index.parsers.markdown import without_liquid

_SKIP = {
    "script",
    "style",
    "nav",
    "noscript",
    "template",
    "head",
    "svg",
    "iframe",
    "object",
    "form",
    "button",
    "footer",
}
_PARAGRAPH = {"p", "li", "dt", "dd", "blockquote", "figcaption", "td", "th", "caption", "address", "summary"}
_CONTAINER = {
    "div",
    "section",
    "article",
    "main",
    "body",
    "ul",
    "ol",
    "dl",
    "header",
    "aside",
    "details",
    "html",
    "figure",
    "center",
    "font",
}


_FRAME_ROLES = {"navigation", "search", "contentinfo"}


def _hidden(element: Any) -> bool:
    style = (element.get("style") or "").replace(" ", "").lower()
    return (
        element.get("hidden") is not None
        or element.get("role") in _FRAME_ROLES
        or element.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
        or "font-size:0" in style
    )


def html_page(data: bytes) -> Parsed:
    page = Page()
    tree = write_html(data, page)
    found = tree.find(".//title")
    meta = {m.get("name", "").lower(): m.get("content") or "" for m in tree.iter("meta") if m.get("name")}
    title = "".join(map(str, found.itertext())) if found is not None else ""
    return page.done(
        "text/html",
        title,
        owner=meta.get("owner") or "",
        author=meta.get("author") or "",
        modified=moment(meta.get("updated") or meta.get("date") or meta.get("last-modified")),
        valid_until=moment(meta.get("valid_until") or meta.get("valid-until")),
    )


def write_html(data: bytes, page: Page) -> Any:
    """What a page shows, as blocks. Returns its tree."""
    from lxml import html

    text = decode(data)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    parser = html.HTMLParser(no_network=True, recover=True, huge_tree=False)
    tree = html.document_fromstring(
        without_liquid(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)), parser=parser
    )
    _html_walk(_main_part(tree), page, 0)
    return tree


def _main_part(tree: Any) -> Any:
    """What a page itself marks as its one main part, without the frame of its site; else all of it."""
    found = [e for e in tree.iter() if isinstance(e.tag, str) and (e.tag == "main" or e.get("role") == "main")]
    visible = [e for e in found if not _hidden(e)]
    # One within another is the same part marked twice.
    outer = [e for e in visible if all(e is o or o not in e.iterancestors() for o in visible)]
    return outer[0] if len(outer) == 1 and _flow(outer[0]).strip() else tree


def _flow(element: Any) -> str:
    """The text of an element on one line, without what is hidden or not meant to be read."""
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SKIP and not _hidden(child):
            if child.tag == "br":
                parts.append("\n")
            else:
                inner = _flow(child)
                target = child.get("href") or ""
                parts.append(
                    f"{inner} ({target})"
                    if child.tag == "a" and target.startswith("http") and target != inner
                    else inner
                )
        parts.append(child.tail or "")
    # Blanks first: looked for around a line's end, a long run of them would be searched from each.
    line = re.sub(r"[^\S\n]+", " ", "".join(parts))
    return re.sub(r" ?\n\s*", "\n" if element.tag == "pre" else " ", line)


def _html_walk(element: Any, page: Page, depth: int) -> None:
    if depth > 150:
        raise ParseError("nested too deeply to read")
    loose: list[str] = [element.text or ""]

    def flush() -> None:
        page.add(" ".join("".join(loose).split()))
        loose.clear()

    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SKIP and not _hidden(child):
            if re.fullmatch(r"h[1-6]", child.tag):
                flush()
                page.add(_flow(child).strip(), "heading", int(child.tag[1]))
            elif child.tag == "table" and not child.findall(".//table"):
                flush()
                page.table([_flow(c) for c in row.iter("td", "th")] for row in child.iter("tr"))
            elif child.tag == "pre":
                flush()
                page.add("".join(map(str, child.itertext())), "code")
            elif child.tag in _PARAGRAPH and not any(
                c.tag in _CONTAINER | _PARAGRAPH | {"table", "pre"}
                for c in child.iterdescendants()
                if isinstance(c.tag, str)
            ):
                flush()
                line = _flow(child).strip()
                page.add(f"- {line}" if child.tag == "li" and line else line)
            elif child.tag in _CONTAINER | _PARAGRAPH | {"table", "tbody", "tr", "thead"}:
                flush()
                _html_walk(child, page, depth + 1)
            elif child.tag == "br":
                loose.append("\n")
            else:
                loose.append(_flow(child))
        loose.append(child.tail or "")
    flush()
