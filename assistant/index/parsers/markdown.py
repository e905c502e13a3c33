"""Markdown, with its front matter and the template marks of static sites."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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


# One that a link leads to.
_LIQUID_TARGET = re.compile(rf"(?<=\]\()(?:{_LIQUID.pattern})", re.DOTALL)


def without_liquid(text: str) -> str:
    return _LIQUID.sub("", _SHORTCODE.sub(r"\1", text))


def _as_wide(text: str) -> str:
    """Text whose links lead nowhere instead of to a mark of a template: how long a line was tells where it goes on."""
    return _LIQUID_TARGET.sub(lambda found: "#" * len(found[0]), text)


# A label may be broken where its line was full; what it links to cannot be.
_LABEL = r"[^\]\n]{0,1000}+(?:\n[^\[\]\n]{0,1000}+){0,3}"
_LINK = re.compile(rf"!?\[({_LABEL})\]\((<[^>\n]{{0,2000}}+>|[^)\s]{{0,2000}}+)[^)\n]{{0,500}}+\)")
# [label][name], [name][] and [name], where a line `[name]: target` elsewhere says what is linked to.
_REFERENCE = re.compile(rf"`[^`\n]{{0,1000}}`|!?\[({_LABEL})\](?:\[([^\]\n]{{0,200}}+)\])?")
# The target may be a mark of a template, of which nothing is left; a footnote is text.
_DEFINITION = re.compile(
    r" {0,3}\[(?!\^)([^\[\]\n]{1,200})\]:[ \t]*(<[^>\n]{0,2000}>|\S{0,2000})"
    r"(?:[ \t]+(?:\"[^\n]*\"|'[^\n]*'|\([^\n]*\)))?[ \t]*"
)
_HTML_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.{0,2000}?-->", re.DOTALL)
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.{1,1000}?)(?<=\S)\1")
# Code stays as it is; a backslash at the end of a line only breaks it; two begin the name of a share more often than
# they stand for one.
_WEAK = re.compile(
    r"(?P<code>`[^`\n]{0,1000}`|\\\\)|\\(?:(?=\n|\Z)|(?P<plain>[*_\[\](){}#+\-.!<>|~`$]))|"
    r"(?<!\w)(?<!(?<!\\)\*)(?P<mark>[*_])(?=[^\s*_])(?P<text>[^*_`\\]{1,1000})(?<=\S)(?P=mark)(?![\w*])"
)


def _link(label: str, target: str, *, picture: bool) -> str:
    """What a reader sees of a link, and an address outside, which no reader would find otherwise."""
    label, target = " ".join(label.split()), target.strip("<>")
    if picture:
        return label
    outside = target.startswith(("http://", "https://", "mailto:")) and target.removeprefix("mailto:") != label
    if outside and label:
        return f"{label} ({target.removeprefix('mailto:')})"
    return label or ("" if target.startswith("#") else target)


def _name(label: str) -> str:
    return " ".join(label.split()).casefold()


def _unmarked(text: str, targets: Mapping[str, str]) -> str:
    """Text as a reader of the page sees it, without the marks of Markdown."""

    def link(found: re.Match[str]) -> str:
        return _link(found[1], found[2], picture=found[0].startswith("!"))

    def reference(found: re.Match[str]) -> str:
        target = targets.get(_name(found[2] or found[1] or ""))
        return found[0] if target is None else _link(found[1], target, picture=found[0].startswith("!"))

    text = _LINK.sub(link, text)
    if targets:
        text = _REFERENCE.sub(reference, text)
    text = _STRONG.sub(r"\2", _HTML_TAG.sub("", text))
    return _WEAK.sub(lambda found: found["code"] or found["plain"] or found["text"] or "", text)


def _defined(lines: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The lines without those that only say where a name links to, and what those say."""
    kept: list[str] = []
    targets: dict[str, str] = {}
    fence = ""
    for line in lines:
        fence = _fence_after(line, fence)
        if not fence and (found := _DEFINITION.fullmatch(line)):
            targets.setdefault(_name(found[1]), found[2])
        else:
            kept.append(line)
    return kept, targets


def _fence_after(line: str, fence: str) -> str:
    """What opened the block of code that goes on after a line; empty outside of one."""
    mark = _FENCE.match(line)
    if mark and (not fence or mark[1].startswith(fence[:3])):
        return "" if fence else mark[1]
    return fence


_FENCE = re.compile(r"\s*(```+|~~~+)")


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
    write_markdown(_KRAMDOWN.sub("", without_liquid(_as_wide(source))), page)
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
    source_lines, targets = _defined(source.split("\n"))
    lines: list[str] = []
    fence = ""
    rows: list[list[str]] = []

    def flush() -> None:
        if rows:
            page.table(rows)
            rows.clear()
        if lines:
            text = "\n".join(lines)
            page.add(text, "code") if fence else page.add(_unmarked(unwrapped(text), targets))
            lines.clear()

    for line in source_lines:
        if (after := _fence_after(line, fence)) != fence:
            flush()
            fence = after
            continue
        if fence:
            lines.append(line)
            continue
        if heading := re.match(r"(#{1,6})\s+(\S.*)", line):
            flush()
            page.add(
                _unmarked(heading.group(2).rstrip().rstrip("#").rstrip(), targets), "heading", len(heading.group(1))
            )
        elif re.match(r"\s*\|.*\|\s*$", line):
            if lines:
                flush()
            cells = [_unmarked(c.strip(), targets) for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if not all(re.fullmatch(r":?-{2,}:?", c) for c in cells):
                rows.append(cells)
        elif not line.strip():
            flush()
        elif lines and re.fullmatch(r"(=+|-{3,})\s*", line) and len(lines) == 1:
            title = lines.pop()
            page.add(_unmarked(title, targets), "heading", 1 if line.startswith("=") else 2)
        elif re.match(r"\s*(?:[-*+]|\d+[.)])\s+", line):
            flush()
            lines.append(line.rstrip())
        elif _unmarked(line, targets).strip():
            lines.append(line.rstrip() if lines else line.strip())
    flush()
