"""Markdown, with its front matter and the template marks of static sites."""

from __future__ import annotations

import re
from typing import Any

from assistant.index.page import Page, Parsed, decode, moment

_LIQUID = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
# A shortcode with one value, {% channel "help-desk" %}, stands for that value; a path is not meant to be read.
_SHORTCODE = re.compile(r"""\{%-?\s*\w+\s+["']([^"'/\n]{2,80})["']\s*-?%\}""")
_KRAMDOWN = re.compile(r"\{:[^}\n]*\}")


def without_liquid(text: str) -> str:
    return _LIQUID.sub("", _SHORTCODE.sub(r"\1", text))


_LINK = re.compile(r"!?\[([^\]\n]*)\]\((<[^>\n]*>|[^)\s]*)[^)\n]*\)")
_HTML_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->", re.DOTALL)
_MARKS = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")


def _plain_line(line: str) -> str:
    def link(found: re.Match[str]) -> str:
        label, target = found.group(1).strip(), found.group(2).strip("<>")
        if found.group().startswith("!"):
            return label
        outside = target.startswith(("http://", "https://", "mailto:")) and target.removeprefix("mailto:") != label
        return f"{label} ({target.removeprefix('mailto:')})" if outside and label else label or target

    line = _LINK.sub(link, line)
    return _MARKS.sub(r"\2", _HTML_TAG.sub("", line))


def markdown(data: bytes) -> Parsed:
    import frontmatter
    import yaml

    source = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    meta: dict[str, Any] = {}
    try:
        post = frontmatter.loads(source)
        meta, source = post.metadata, post.content
    except (yaml.YAMLError, ValueError, TypeError):
        source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL)
    page = Page()
    write_markdown(_KRAMDOWN.sub("", without_liquid(source)), page)
    return page.done(
        "text/markdown",
        str(meta.get("title") or ""),
        owner=str(meta.get("owner") or ""),
        author=str(meta.get("author") or ""),
        modified=moment(meta.get("updated") or meta.get("last_updated") or meta.get("date")),
        valid_until=moment(meta.get("valid_until")),
    )


def write_markdown(source: str, page: Page) -> None:
    """Markdown without front matter, as blocks."""
    lines: list[str] = []
    fence = ""
    rows: list[list[str]] = []

    def flush() -> None:
        if rows:
            page.table(rows)
            rows.clear()
        if lines:
            page.add("\n".join(lines), "code" if fence else "text")
            lines.clear()

    for line in source.split("\n"):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and (not fence or mark.group(1).startswith(fence[:3])):
            flush()
            fence = "" if fence else mark.group(1)
            continue
        if fence:
            lines.append(line)
            continue
        if heading := re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line):
            flush()
            page.add(_plain_line(heading.group(2)), "heading", len(heading.group(1)))
        elif re.match(r"\s*\|.*\|\s*$", line):
            if lines:
                flush()
            cells = [_plain_line(c.strip()) for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not all(re.fullmatch(r":?-{2,}:?", c) for c in cells):
                rows.append(cells)
        elif not line.strip():
            flush()
        elif lines and re.fullmatch(r"(=+|-{3,})\s*", line) and len(lines) == 1:
            title = lines.pop()
            page.add(title, "heading", 1 if line.startswith("=") else 2)
        elif re.match(r"\s*(?:[-*+]|\d+[.)])\s+", line):
            flush()
            lines.append(_plain_line(line.rstrip()))
        elif plain := _plain_line(line).rstrip():
            lines.append(plain if lines else plain.lstrip())
    flush()
