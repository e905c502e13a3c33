"""A file becomes text with places: title, headings, pages, sheets. Imports parsers only, for workers import it.

Every parser writes into a `Page`, so that the offsets of all blocks are offsets in one plain text.
"""

from __future__ import annotations

import csv
import email
import email.policy
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import Any, Literal

from assistant.errors import ParseError

FINGERPRINT = "parse-2"
SHEET_ROWS = 20_000
SHEET_COLUMNS = 100
EMPTY_ROWS = 500
CELL_CHARS = 2_000
# Uncompressed bytes of an office file: far beyond any real one, far below a bomb.
UNZIPPED_BYTES = 300_000_000
Kind = Literal["heading", "text", "row", "code"]


@dataclass(frozen=True)
class Block:
    """A piece that is not cut lightly. `level` is a heading's depth; `header` the column names of a row."""

    kind: Kind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    sheet: str | None = None


@dataclass
class Parsed:
    """What a file says. `text` is plain; every block's offsets point into it."""

    title: str
    text: str
    blocks: list[Block]
    media_type: str
    owner: str = ""
    modified: datetime | None = None
    valid_until: datetime | None = None


@dataclass
class Page:
    """Collects text and the places of its blocks."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    blocks: list[Block] = field(default_factory=list)
    page: int | None = None
    sheet: str | None = None

    def add(self, text: str, kind: Kind = "text", level: int = 0) -> None:
        text = _CONTROL.sub("", text).strip("\n").rstrip()
        if not text.strip():
            return
        if self.parts:
            gap = "\n" if kind == "row" and self.blocks[-1].kind == "row" else "\n\n"
            self.parts.append(gap)
            self.length += len(gap)
        start = self.length
        self.parts.append(text)
        self.length += len(text)
        self.blocks.append(Block(kind, start, self.length, level, self.page, self.sheet))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """A table whose first row names the columns; each further row is a line that says them again."""
        header: list[str] = []
        for row in rows:
            cells = [" ".join(c.split())[:CELL_CHARS] for c in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                self.add(" | ".join(c for c in cells if c), "row")
            else:
                named = [f"{h}: {c}" if h else c for h, c in zip(_padded(header, len(cells)), cells, strict=False) if c]
                self.add(" | ".join(named), "row")

    def done(self, media_type: str, title: str, **facts: Any) -> Parsed:
        first = next((self.slice(b) for b in self.blocks if b.kind == "heading"), "")
        owner = _one_line(str(facts.pop("owner", "")))
        return Parsed(_one_line(title or first), "".join(self.parts), self.blocks, media_type, owner=owner, **facts)

    def slice(self, block: Block) -> str:
        return "".join(self.parts)[block.start : block.end]


_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ud800-\udfff\ufeff\ufffe\uffff]"
)


def _padded(header: list[str], width: int) -> list[str]:
    return header + [""] * (width - len(header))


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub("", " ".join(text.split())).split())[:200]


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
    return _one_line(re.sub(r"[_\-]+", " ", stem)) or path


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


def decode(data: bytes) -> str:
    """Text of unknown encoding: byte order mark, then UTF-8, then what its bytes look like."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(name, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    import charset_normalizer

    best = charset_normalizer.from_bytes(data[:200_000]).best()
    if best is None:
        raise ParseError("not text in any encoding we know")
    return data.decode(best.encoding, errors="replace")


def moment(value: Any) -> datetime | None:
    """A date of front matter or of a file's properties, as an aware time; None for anything else."""
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except (OverflowError, ValueError):
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        try:
            return moment(datetime.fromisoformat(value.strip()))
        except ValueError:
            return None
    return None


_LIQUID = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
# A shortcode with one value, {% channel "help-desk" %}, stands for that value; a path is not meant to be read.
_SHORTCODE = re.compile(r"""\{%-?\s*\w+\s+["']([^"'/\n]{2,80})["']\s*-?%\}""")
_KRAMDOWN = re.compile(r"\{:[^}\n]*\}")


def _without_liquid(text: str) -> str:
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


def _markdown(data: bytes) -> Parsed:
    import frontmatter
    import yaml

    source = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    meta: dict[str, Any] = {}
    try:
        post = frontmatter.loads(source)
        meta, source = post.metadata, post.content
    except (yaml.YAMLError, ValueError, TypeError):
        source = re.sub(r"\A---\n.*?\n---\n", "", source, flags=re.DOTALL)
    source = _KRAMDOWN.sub("", _without_liquid(source))
    page = Page()
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
    return page.done(
        "text/markdown",
        str(meta.get("title") or ""),
        owner=str(meta.get("owner") or ""),
        modified=moment(meta.get("updated") or meta.get("last_updated") or meta.get("date")),
        valid_until=moment(meta.get("valid_until")),
    )


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


def _hidden(element: Any) -> bool:
    style = (element.get("style") or "").replace(" ", "").lower()
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
        or "font-size:0" in style
    )


def _html(data: bytes) -> Parsed:
    from lxml import html

    text = decode(data)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    parser = html.HTMLParser(no_network=True, recover=True, huge_tree=False)
    tree = html.document_fromstring(
        _without_liquid(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)), parser=parser
    )
    page = Page()
    found = tree.find(".//title")
    _html_walk(tree, page, 0)
    meta = {m.get("name", "").lower(): m.get("content") or "" for m in tree.iter("meta") if m.get("name")}
    title = "".join(map(str, found.itertext())) if found is not None else ""
    return page.done(
        "text/html",
        title,
        owner=meta.get("owner") or meta.get("author") or "",
        modified=moment(meta.get("updated") or meta.get("date") or meta.get("last-modified")),
        valid_until=moment(meta.get("valid_until") or meta.get("valid-until")),
    )


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
    return re.sub(r"[^\S\n]+", " ", re.sub(r"\s*\n\s*", "\n" if element.tag == "pre" else " ", "".join(parts)))


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


def _pdf(data: bytes) -> Parsed:
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


def _docx(data: bytes) -> Parsed:
    import docx
    from docx.table import Table

    document = docx.Document(io.BytesIO(data))
    page = Page()
    for item in document.iter_inner_content():
        if isinstance(item, Table):
            page.table(_docx_rows(item))
            continue
        style = (item.style.name if item.style else "") or ""
        if found := re.match(r"(?:heading|überschrift) (\d)", style, re.IGNORECASE):
            page.add(item.text, "heading", int(found.group(1)))
        elif style.lower() == "title":
            page.add(item.text, "heading", 1)
        else:
            page.add(f"- {item.text}" if "list" in style.lower() and item.text.strip() else item.text)
    core = document.core_properties
    return page.done(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        core.title or "",
        modified=moment(core.modified),
    )


def _docx_rows(table: Any) -> Iterable[list[str]]:
    for row in table.rows:
        seen, cells = set(), []
        for cell in row.cells:
            # A merged cell is handed out once for each column it spans.
            if id(cell._tc) not in seen:
                seen.add(id(cell._tc))
                cells.append(cell.text)
        yield cells


def _pptx(data: bytes) -> Parsed:
    import pptx

    deck = pptx.Presentation(io.BytesIO(data))
    page = Page()
    for number, slide in enumerate(deck.slides, 1):
        page.page = number
        title = slide.shapes.title
        if title is not None and title.text_frame.text.strip():
            page.add(_one_line(title.text_frame.text), "heading", 2)
        _shapes(slide.shapes, page, title)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            page.add(slide.notes_slide.notes_text_frame.text)
    return page.done(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        deck.core_properties.title or "",
        modified=moment(deck.core_properties.modified),
    )


def _shapes(shapes: Any, page: Page, title: Any, depth: int = 0) -> None:
    for shape in shapes:
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if depth < 20 and hasattr(shape, "shapes"):
            _shapes(shape.shapes, page, None, depth + 1)
        elif getattr(shape, "has_table", False):
            page.table([c.text for c in row.cells] for row in shape.table.rows)
        elif getattr(shape, "has_text_frame", False):
            for paragraph in shape.text_frame.paragraphs:
                page.add("".join(run.text for run in paragraph.runs))


def _xlsx(data: bytes) -> Parsed:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    page = Page()
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        page.sheet = sheet.title
        page.add(sheet.title, "heading", 2)
        page.table(_sheet_rows(sheet))
    title = book.properties.title or ""
    return page.done(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        title,
        modified=moment(book.properties.modified),
    )


def _sheet_rows(sheet: Any) -> Iterable[list[str]]:
    sheet.reset_dimensions()
    empty = 0
    for number, row in enumerate(sheet.iter_rows(max_col=SHEET_COLUMNS, values_only=True)):
        cells = [_cell(v) for v in row]
        empty = 0 if any(cells) else empty + 1
        # A cell far below makes the reader hand out a million empty rows.
        if number > SHEET_ROWS or empty > EMPTY_ROWS:
            return
        yield cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d" if value.hour == value.minute == 0 else "%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 else str(value)
    return str(value)


def _csv(data: bytes) -> Parsed:
    text = decode(data)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:5000], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    csv.field_size_limit(10_000_000)
    page = Page()
    rows = csv.reader(io.StringIO(text), dialect)
    page.table(row[:SHEET_COLUMNS] for _, row in zip(range(SHEET_ROWS), rows, strict=False))
    return page.done("text/csv", "")


def _eml(data: bytes) -> Parsed:
    message = email.message_from_bytes(data, policy=email.policy.default)
    page = Page()
    subject = _header(message, "subject")
    page.add(subject or "(no subject)", "heading", 1)
    page.add(
        "\n".join(f"{name}: {value}" for name in ("From", "To", "Cc", "Date") if (value := _header(message, name)))
    )
    assert isinstance(message, EmailMessage)
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        try:
            content = body.get_content()
        except (LookupError, UnicodeError, KeyError):
            content = decode(body.get_payload(decode=True) or b"")  # type: ignore[arg-type]
        if body.get_content_type() == "text/html":
            inner = _html(content.encode("utf-8"))
            for block in inner.blocks:
                page.add(inner.text[block.start : block.end], block.kind, block.level and block.level + 1)
        else:
            _paragraphs(content, page)
    try:
        when = moment(getattr(message.get("date"), "datetime", None))
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError):
        when = None
    return page.done("message/rfc822", subject, modified=when)


def _header(message: Any, name: str) -> str:
    try:
        return _one_line(str(message.get(name) or ""))
    except (ValueError, IndexError, TypeError, AttributeError):
        return ""


def _paragraphs(text: str, page: Page) -> None:
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        page.add(paragraph)


def _txt(data: bytes) -> Parsed:
    text = decode(data)
    if text.count("\x00") > len(text) // 20 or sum(c == "\ufffd" for c in text[:4000]) > 200:
        raise ParseError("not a text file")
    page = Page()
    _paragraphs(text, page)
    first = next((line.strip() for line in text.splitlines() if line.strip(" \t=-#*")), "")
    return page.done("text/plain", first if len(first) < 100 else "")


_PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    "md": _markdown, "html": _html, "pdf": _pdf, "docx": _docx, "pptx": _pptx, "xlsx": _xlsx, "csv": _csv, "eml": _eml,
    "txt": _txt,
}  # fmt: skip
