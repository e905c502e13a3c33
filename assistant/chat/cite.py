"""Makes a model's stream safe to show: citations that resolve, no way out of the page.

A model may have been told by a document to write a link or an image that carries data away, so nothing it writes is
shown before its brackets, angle brackets and addresses are resolved (EchoLeak, CVE-2025-32711: reference-style
images passed a filter on inline ones). What cannot be resolved is shown as plain text. Code is shown as it is: a span
within a line, and a block between fences, which are written out in one form only, so that a page ends them where we do.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

CITATION = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
# Code of a text that was made safe: what looks like a citation in it is none.
CODE = re.compile(
    r"^(?:> )?(`{3,})[^\n`]*\n.*?(?:\n(?:> )?\1$|\Z)|(?<![`\\])(`{1,2})(?!`)[^\n]*?(?<!`)\2(?!`)", re.M | re.S
)
_NUMBERS = re.compile(r"\s*\d{1,3}(?:\s*[,;]\s*\d{1,3})*\s*\Z")
# A bar may end the cell of a table, and with it the code that an address is set as. “Profile:” is a word.
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,20}:)?//[^\s|]*|https?:[^\s|]*|(?<![a-z])(?:ftp|mailto|data|javascript|file):[^\s|]*|"
    r"www\.[^\s|]*",
    re.I,
)
_STARTS = ("http:", "https:", "ftp:", "mailto:", "data:", "javascript:", "file:", "www.")
_BEGINNINGS = (*(s.rstrip(":.") for s in _STARTS), ":", "/")
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b-\u001f\u007f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
# A span of code within a line; a bar could end a table's cell in the middle of it.
_SPAN = re.compile(r"(`{1,2})(?!`)[^\n|]{1,300}?(?<!`)\1(?!`)")
_OPENING = re.compile(r"(>[ ]?)?([ \t]{0,12})(`{3,8})[ \t]*([\w+#.\-]{0,20})[ \t]*\n")
_MAY_OPEN = re.compile(r"(?:>[ ]?)?[ \t]{0,12}(?:`{0,8}|`{3,8}[ \t]*[\w+#.\-]{0,20}[ \t]*)")
_TRAILING = ".,;:!?)\"'”’"
# Longest text between brackets, and longest address, that is waited for.
_HOLD = 400


class CitationFilter:
    """Feed it pieces of a stream; it returns what is safe to show now. `close()` returns the rest.

    `available` is the number of passages; `hosts` are those whose links stay links. `cited` collects the numbers that
    were shown, in order of first use.
    """

    def __init__(self, available: int, hosts: Collection[str] = ()) -> None:
        self._available = available
        self._hosts = frozenset(hosts)
        self._held = ""
        # What a line of the block of code begins with that is open, its fence, and how far that was indented.
        self._fence: tuple[str, str, int] | None = None
        self._at_start = True
        # Whether a line has said something: what stands behind that defines no link.
        self._said = False
        self._end = ""
        self.cited: list[int] = []

    def feed(self, piece: str) -> str:
        self._held += _INVISIBLE.sub("", piece)
        return self._drain(final=False)

    def close(self) -> str:
        return self._drain(final=True)

    @property
    def in_code(self) -> bool:
        """Whether a block of code is open, which `close()` ends."""
        return self._fence is not None

    def _drain(self, *, final: bool) -> str:
        out: list[str] = []
        while self._held:
            step = self._step(final)
            if step is None:
                break
            used, text = step
            self._at_start = self._held[:used].endswith("\n") or (self._at_start and not used)
            self._held = self._held[used:]
            if text and _would_join(self._end, text[0]):
                text = f" {text}"
            self._end = (self._end + text)[-12:]
            self._said = not self._at_start and (self._said or any(map(str.isalpha, text)))
            out.append(text)
        if final and self._fence:
            out.append("".join(self._fence[:2]))
            self._fence = None
        return "".join(out)

    def _step(self, final: bool) -> tuple[int, str] | None:
        """How many held characters to take and what to show for them; None while they cannot be told yet."""
        held = self._held
        if self._fence:
            return self._line_of_code(self._fence, final)
        if self._at_start:
            if opening := _OPENING.match(held):
                quote, indent, ticks, language = opening.groups()
                self._fence = ("> " if quote else "", ticks, len(indent))
                return opening.end(), f"{self._fence[0]}{ticks}{language}\n"
            if not final and _MAY_OPEN.fullmatch(held):
                return None
        first = held[0]
        if first == "`":
            return self._code(final)
        if first == "\\":
            if len(held) == 1:
                return (1, "") if final else None
            return self._word(final) if _joins(held[1]) else (2, held[:2])
        if first == "!":
            # An image is a link with a mark before it; without the mark it is treated as the link it contains.
            return (1, "" if held[1] == "[" else "!") if len(held) > 1 else ((1, "!") if final else None)
        if first == "[":
            return self._bracket(final)
        if first == "]":
            return 1, "\\]"
        if first == "<":
            if len(held) == 1 and not final:
                return None
            return 1, "\\<" if held[1:2].isalpha() or held[1:2] in {"/", "!", "?"} else "<"
        return self._word(final)

    def _line_of_code(self, fence: tuple[str, str, int], final: bool) -> tuple[int, str] | None:
        """A line within a block of code, as it is; in a quotation, one without its mark ends both."""
        quote, ticks, indent = fence
        if quote and not self._held.startswith(">"):
            self._fence = None
            return 0, f"{quote}{ticks}\n\n"
        line, newline, _ = self._held.partition("\n")
        if not newline and not final:
            return None
        body = re.sub(r"^> ?", "", line) if quote else line
        used = len(line) + len(newline)
        if re.fullmatch(rf"[ \t]*`{{{len(ticks)},}}[ \t]*", body):
            self._fence = None
            return used, f"{quote}{ticks}{newline}"
        return used, quote + re.sub(rf"^[ \t]{{0,{indent}}}", "", body) + "\n"

    def _code(self, final: bool) -> tuple[int, str] | None:
        """A span of code as it is; a mark that opens none as text."""
        if span := _SPAN.match(self._held):
            if span.end() == len(self._held) and not final:
                return None
            return span.end(), span[0]
        if not final and len(self._held) < _HOLD and "\n" not in self._held:
            return None
        return 1, "\\`"

    def _word(self, final: bool) -> tuple[int, str] | None:
        """A run up to the next blank or mark; one that may become an address is held until it ends."""
        held = self._held
        if held[0].isspace():
            return 1, held[0]
        end = next((i for i, c in enumerate(held) if i and _ends_word(c, held[i + 1 : i + 2])), len(held))
        word = held[:end]
        whole = end < len(held) or final
        suspicious = any(mark in word for mark in (":", "//", "&", "\\")) or "www." in word.lower()
        low = word.lower()
        starting = word.endswith(("/", "~")) or any(low.endswith(s[:k]) for s in _STARTS for k in range(1, len(s)))
        if (
            not whole
            and len(word) < _HOLD
            and (suspicious or starting or word.lower().endswith(("www", "http", "https")))
        ):
            return None
        return end, self._plain(word)

    def _plain(self, word: str) -> str:
        """A word with its addresses made unclickable, unless their host is ours to link to.

        An address is set as code, which nothing turns into a link; behind a backslash it loses what makes it one.
        """
        # An escape or a character reference would hide an address from us, not from a page.
        word = re.sub(r"\\(?=[.:/]|$)", "", word)
        word = re.sub(r"&(?=#?\w{1,31};)", r"\\&", word)
        # Tildes open a block of code, too.
        word = re.sub(r"~(?=~~)|(?<=~~)~|(?<=~)~(?=~)", r"\\~", word)

        before = self._end[-1:]

        def close_off(found: re.Match[str]) -> str:
            address = found.group()
            core = address.rstrip(_TRAILING + "*_")
            rest = address[len(core) :]
            if self._allowed(core):
                return core + rest
            escaped = found.start() > len(before) and found.string[found.start() - 1] == "\\"
            return _unmade(address) if escaped else f"`{core}`{rest}"

        text, at, out = before + word, len(before), []
        for found in _ADDRESS.finditer(text, at):
            out += [text[at : found.start()], close_off(found)]
            at = found.end()
        return "".join([*out, text[at:]])

    def _allowed(self, address: str) -> bool:
        if re.fullmatch(r"/documents/\d+(?:#[\w\-=&]*)?", address):
            return True
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        return parts.scheme == "https" and parts.hostname in self._hosts and "@" not in parts.netloc

    def _bracket(self, final: bool) -> tuple[int, str] | None:
        held = self._held
        end = self._closing(held)
        if end is None:
            if not final and len(held) < _HOLD and "\n" not in held:
                return None
            return 1, "\\["
        inner = held[1:end]
        after = held[end + 1 : end + 2]
        if _NUMBERS.match(inner) and (after not in {"(", ":"} or (after == ":" and self._said)):
            # A number may still become the text of a link: the next character tells.
            if not after and not final:
                return None
            return end + 1, self._cite(inner)
        if not after and not final:
            return None
        if after == "(":
            close = held.find(")", end)
            if close < 0 and not final and len(held) - end < _HOLD and "\n" not in held[end:]:
                return None
            target = held[end + 2 : close].strip().split(" ")[0] if close > 0 else ""
            used = close + 1 if close > 0 else len(held)
            label = self._label(inner)
            return used, f"[{label}]({target})" if self._allowed(target) else label
        if after == "[":
            close = held.find("]", end + 2)
            if close < 0 and not final and len(held) - end < _HOLD and "\n" not in held[end:]:
                return None
            if close > 0 and not _NUMBERS.match(held[end + 2 : close]):
                return close + 1, self._label(inner)
        return end + 1, f"\\[{self._label(inner)}\\]"

    @staticmethod
    def _closing(held: str) -> int | None:
        depth = 0
        for i, c in enumerate(held):
            if c == "\n" or i > _HOLD:
                return None
            depth += (c == "[") - (c == "]")
            if depth == 0:
                return i
        return None

    def _label(self, inner: str) -> str:
        nested = CitationFilter(self._available, self._hosts)
        nested._at_start = False
        return nested.feed(inner) + nested.close()

    def _cite(self, inner: str) -> str:
        numbers = [int(n) for n in re.findall(r"\d+", inner)]
        shown = [n for n in numbers if 1 <= n <= self._available]
        for n in shown:
            if n not in self.cited:
                self.cited.append(n)
        return "".join(f"[{n}]" for n in shown)


def _would_join(end: str, first: str) -> bool:
    """Whether a text's end and what follows, each harmless, would make an address or longer code marks together."""
    if first == "`":
        return end.endswith("`")
    return first in ".:/" and end.lower().endswith(_BEGINNINGS)


def _joins(char: str) -> bool:
    """Whether a backslash before this character belongs to the word around it."""
    return char.isalnum() or char in ".:/"


def _ends_word(char: str, following: str) -> bool:
    if char == "\\":
        return bool(following) and not _joins(following)
    return char.isspace() or char in "[]<!`"


def _unmade(address: str) -> str:
    """What is left of an address without the marks by which a page makes a link of it."""
    # Blanks stay where marks were: without them two pieces could make an address again.
    return re.sub(
        r"(?:[a-z][a-z0-9+.\-]*:)?/{2,}|\bwww\.|\b(?:https?|ftp|mailto|data|javascript|file):", " ", address, flags=re.I
    )


def cited_in(text: str) -> list[int]:
    """The citation numbers of a finished text, in order of first use."""
    numbers = [int(n) for found in CITATION.finditer(CODE.sub("", text)) for n in re.findall(r"\d+", found.group(1))]
    return list(dict.fromkeys(numbers))


def without_citations(text: str) -> str:
    """The text as it reads without its numbers, for comparing it with a passage."""
    return re.sub(r"\s*\[\d{1,3}\]", "", text)


def fenced(code: str) -> str:
    """Lines of code between fences that none of them can close."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"


def safe(text: str, available: int = 0) -> str:
    """A whole text as `CitationFilter` shows it."""
    stream = CitationFilter(available)
    return stream.feed(text) + stream.close()
