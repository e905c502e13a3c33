"""Markdown, with its front matter and the template marks of static sites."""

from __future__ import annotations

import re
from typing import Any

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed, decode, moment
from assistant.index.sources.narrowing import named
from assistant.index.wrapped import unwrapped

# Every pattern is bounded: a file of opening marks alone would else be searched to its end from each of them.
_LIQUID = re.compile(r"\{%.{0,2000}?%\}|\{\{.{0,2000}?\}\}", re.DOTALL)
# A shortcode with one value, {% channel "help-desk" %}, stands for that value; a path is not meant to be read.
_SHORTCODE = re.compile(r"""\{%-?\s*\w+\s+["']([^"'/\n]{2,80})["']\s*-?%\}""")
_KRAMDOWN = re.compile(r"\{:[^}\n]{0,500}\}")


def without_liquid(text: str) -> str:
    return _LIQUID.sub("", _SHORTCODE.sub(r"\1", text))


_LINK = re.compile(r"!?\[([^\]\n]{0,1000}+)\]\((<[^>\n]{0,2000}+>|[^)\s]{0,2000}+)[^)\n]{0,500}+\)")
_HTML_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.{0,2000}?-->", re.DOTALL)
_MARKS = re.compile(r"(\*\*|__)(?=\S)(.{1,1000}?)(?<=\S)\1")


def _unmarked(text: str) -> str:
    def link(found: re.Match[str]) -> str:
        label, target = found.group(1).strip(), found.group(2).strip("<>")
        if found.group().startswith("!"):
            return label
        outside = target.startswith(("http://", "https://", "mailto:")) and target.removeprefix("mailto:") != label
        return f"{label} ({target.removeprefix('mailto:')})" if outside and label else label or target

    text = _LINK.sub(link, text)
    return _MARKS.sub(r"\2", _HTML_TAG.sub("", text))


def markdown(data: bytes) -> Parsed:
    import frontmatter
    import yaml

    source = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    meta: dict[str, Any] = {}
    try:
        post = frontmatter.loads(source)
        meta, source = post.metadata, post.content
    except (yaml.YAMLError, ValueError, TypeError) as error:
        if re.search(r"^groups\s*:", source.partition("\n---\n")[0], re.MULTILINE):
            raise ParseError("its front matter names groups but cannot be read, so nobody may read it") from error
        source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL)
    page = Page()
    write_markdown(_KRAMDOWN.sub("", without_liquid(source)), page)
    return page.done(
        "text/markdown",
        _plain(meta, "title"),
        owner=_plain(meta, "owner"),
        author=_plain(meta, "author"),
        modified=moment(meta.get("updated") or meta.get("last_updated") or meta.get("date")),
        valid_until=moment(meta.get("valid_until")),
        groups=named(meta.get("groups")),
    )


def _plain(meta: dict[str, Any], name: str) -> str:
    """A fact that is a word or a number; a structure of YAML may be without end when it is written out."""
    value = meta.get(name)
    return str(value) if isinstance(value, str | int | float) else ""


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
            text = "\n".join(lines)
            page.add(text, "code") if fence else page.add(_unmarked(unwrapped(text)))
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
        if heading := re.match(r"(#{1,6})\s+(\S.*)", line):
            flush()
            page.add(_unmarked(heading.group(2).rstrip().rstrip("#").rstrip()), "heading", len(heading.group(1)))
        elif re.match(r"\s*\|.*\|\s*$", line):
            if lines:
                flush()
            cells = [_unmarked(c.strip()) for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not all(re.fullmatch(r":?-{2,}:?", c) for c in cells):
                rows.append(cells)
        elif not line.strip():
            flush()
        elif lines and re.fullmatch(r"(=+|-{3,})\s*", line) and len(lines) == 1:
            title = lines.pop()
            page.add(_unmarked(title), "heading", 1 if line.startswith("=") else 2)
        elif re.match(r"\s*(?:[-*+]|\d+[.)])\s+", line):
            flush()
            lines.append(line.rstrip())
        elif _unmarked(line).strip():
            lines.append(line.rstrip() if lines else line.strip())
    flush()
