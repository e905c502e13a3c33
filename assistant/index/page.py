"""What parsers write into: one plain text, and the places of its blocks in it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from assistant.errors import ParseError
from assistant.index.wrapped import unwrapped

CELL_CHARS = 2_000
Kind = Literal["heading", "text", "row", "code"]


@dataclass(frozen=True)
class Block:
    """A piece that is not cut lightly. `level` is a heading's depth; 1 for the row that names a table's columns.

    Every line of a block of code begins with a tab, and no other line does: wherever the text goes, code is known.

    `apart`: another document begins here, and shares no passage with what stands before it.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    sheet: str | None = None
    apart: bool = False


@dataclass
class Parsed:
    """What a file says. `text` is plain; every block's offsets point into it."""

    title: str
    text: str
    blocks: list[Block]
    media_type: str
    # Whom the file names as its owner; who wrote it, which makes an owner where nobody else is named.
    owner: str = ""
    author: str = ""
    modified: datetime | None = None
    valid_until: datetime | None = None
    # Who may read it, where the file names groups: they narrow what its source allows.
    groups: tuple[str, ...] | None = None
    # What of the file was not read, in words for an admin.
    note: str = ""
    language: str = ""
    # A question that it asks itself, and answers.
    asks: str = ""
    text_hash: str = ""
    sketch: bytes = b""


@dataclass
class Page:
    """Collects text and the places of its blocks."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    blocks: list[Block] = field(default_factory=list)
    page: int | None = None
    sheet: str | None = None

    def add(self, text: str, kind: Kind = "text", level: int = 0, *, apart: bool = False) -> None:
        text = _CONTROL.sub("", text).strip("\n").rstrip()
        if not text.strip():
            return
        text = code(text) if kind == "code" else _TABS.sub(lambda found: "    " * len(found[0]), text)
        if self.parts:
            gap = "\n" if kind == "row" and self.blocks[-1].kind == "row" else "\n\n"
            self.parts.append(gap)
            self.length += len(gap)
        start = self.length
        self.parts.append(text)
        self.length += len(text)
        self.blocks.append(Block(kind, start, self.length, level, self.page, self.sheet, apart))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """A table whose first row names the columns; each further row is a line that says them again.

        A single cell above the names is the table's caption, and a text of its own.
        """
        header: list[str] = []
        caption = ""
        for row in rows:
            cells = [" ".join(c.split())[:CELL_CHARS] for c in row]
            filled = [c for c in cells if c]
            if not filled:
                continue
            if not header and not caption and len(filled) == 1:
                caption = filled[0]
                continue
            if caption and not header and len(filled) == 1:
                # Two single cells: a list with a name.
                header, caption = [caption], ""
                self.add(header[0], "row", 1)
            if not header:
                self.add(caption)
                header = cells
                self.add(" | ".join(filled), "row", 1)
            else:
                named = [f"{h}: {c}" if h else c for h, c in zip(_padded(header, len(cells)), cells, strict=False) if c]
                self.add(" | ".join(named), "row")
        if caption and not header:
            self.add(caption, "row", 1)

    def paragraphs(self, text: str) -> None:
        """Plain text, a block for each paragraph."""
        for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
            self.add(unwrapped(paragraph))

    def append(self, other: Parsed, deeper: int = 1) -> None:
        """All blocks of another text, its headings `deeper` below the one it stands under."""
        for block in other.blocks:
            self.page, self.sheet = block.page, block.sheet
            level = block.level + deeper if block.kind == "heading" else block.level
            text = other.text[block.start : block.end]
            self.add(without_tab(text) if block.kind == "code" else text, block.kind, level)
        self.page = self.sheet = None

    def done(self, media_type: str, title: str, **facts: Any) -> Parsed:
        first = next((self.slice(b) for b in self.blocks if b.kind == "heading"), "")
        for name in ("owner", "author", "note"):
            facts[name] = one_line(str(facts.get(name) or ""))
        return Parsed(one_line(title or first), "".join(self.parts), self.blocks, media_type, **facts)

    def slice(self, block: Block) -> str:
        return "".join(self.parts)[block.start : block.end]


_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ud800-\udfff\ufeff\ufffe\uffff]"
)


_TABS = re.compile(r"^\t+", re.MULTILINE)


def code(text: str) -> str:
    """Lines of code as a document's text holds them, without the indentation that all of them share."""
    return re.sub("^", "\t", textwrap.dedent(text), flags=re.MULTILINE)


def without_tab(text: str) -> str:
    """Lines of code as they were written."""
    return re.sub("^\t", "", text, flags=re.MULTILINE)


def _padded(header: list[str], width: int) -> list[str]:
    return header + [""] * (width - len(header))


def one_line(text: str) -> str:
    return " ".join(_CONTROL.sub("", " ".join(text.split())).split())[:200]


def decode(data: bytes) -> str:
    """Text of unknown encoding: byte order mark, then UTF-8, then what its bytes look like."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(name, errors="replace")
    # UTF-16 without a mark: every other byte of western text is zero.
    for at, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if data[at:1000:2].count(0) > len(data[:1000]) * 0.4:
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
