"""Makes a model's stream safe to show: citations that resolve, no way out of the page.

A model may have been told by a document to write a link or an image that carries data away, so nothing it writes is
shown before its brackets, angle brackets and addresses are resolved (EchoLeak, CVE-2025-32711: reference-style
images passed a filter on inline ones). What cannot be resolved is shown as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

CITATION = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_NUMBERS = re.compile(r"\s*\d{1,3}(?:\s*[,;]\s*\d{1,3})*\s*\Z")
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.\-]{1,20}:)?//\S*|(?:https?|ftp|mailto|data|javascript|file):\S*|www\.\S*", re.I
)
_STARTS = ("http:", "https:", "ftp:", "mailto:", "data:", "javascript:", "file:", "www.")
_BEGINNINGS = (*(s.rstrip(":.") for s in _STARTS), ":", "/")
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b-\u001f\u007f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
# A word that is one span of code and nothing else.
_PAIRED = re.compile(r"`[^`\s]+`[.,;:!?)]*")
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
        self._ticks = False
        self._end = ""
        self.cited: list[int] = []

    def feed(self, piece: str) -> str:
        self._held += _INVISIBLE.sub("", piece)
        return self._drain(final=False)

    def close(self) -> str:
        return self._drain(final=True)

    def _drain(self, *, final: bool) -> str:
        out: list[str] = []
        while self._held:
            step = self._step(final)
            if step is None:
                break
            used, text = step
            self._held = self._held[used:]
            if text and _would_join(self._end, text[0]):
                text = f" {text}"
            self._end = (self._end + text)[-12:]
            out.append(text)
        return "".join(out)

    def _step(self, final: bool) -> tuple[int, str] | None:
        """How many held characters to take and what to show for them; None while they cannot be told yet."""
        held = self._held
        first = held[0]
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
        starting = word.endswith("/") or any(low.endswith(s[:k]) for s in _STARTS for k in range(1, len(s)))
        if (
            not whole
            and len(word) < _HOLD
            and (suspicious or starting or word.lower().endswith(("www", "http", "https")))
        ):
            return None
        return end, self._plain(word)

    def _plain(self, word: str) -> str:
        """A word with its addresses made unclickable, unless their host is ours to link to.

        An address is set as code, which nothing turns into a link. Where the text has backticks of its own, they may
        pair up with ours: there the address loses what makes it one.
        """
        # An escape or a character reference would hide an address from us, not from a page.
        word = re.sub(r"\\(?=[.:/]|$)", "", word)
        word = re.sub(r"&(?=#?\w{1,31};)", r"\\&", word)
        paired = _PAIRED.fullmatch(word)
        if paired and not self._ticks:
            return word

        def close_off(found: re.Match[str]) -> str:
            address = found.group()
            core = address.rstrip(_TRAILING + "*_`")
            rest = address[len(core) :].replace("`", "")
            if self._allowed(core):
                return core + rest
            escaped = found.start() > 0 and word[found.start() - 1] == "\\"
            return _unmade(address) if self._ticks or escaped else f"`{core}`{rest}"

        before = _ADDRESS.split(word, maxsplit=1)[0]
        self._ticks = self._ticks or "`" in before or (paired is None and "`" in word)
        return _ADDRESS.sub(close_off, word)

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
        if _NUMBERS.match(inner) and after not in {"(", ":"}:
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
        nested._ticks = self._ticks
        label = nested.feed(inner) + nested.close()
        self._ticks = nested._ticks
        return label

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
    return char.isspace() or char in "[]<!"


def _unmade(address: str) -> str:
    """What is left of an address without the marks by which a page makes a link of it."""
    bare = re.sub(
        r"(?:[a-z][a-z0-9+.\-]*:)?/{2,}|\bwww\.|\b(?:https?|ftp|mailto|data|javascript|file):", " ", address, flags=re.I
    )
    # Blanks stay where marks were: without them two pieces could make an address again.
    return bare.replace("`", " ")


def cited_in(text: str) -> list[int]:
    """The citation numbers of a finished text, in order of first use."""
    numbers = [int(n) for found in CITATION.finditer(text) for n in re.findall(r"\d+", found.group(1))]
    return list(dict.fromkeys(numbers))


def without_citations(text: str) -> str:
    """The text as it reads without its numbers, for comparing it with a passage."""
    return re.sub(r"\s*\[\d{1,3}\]", "", text)


def safe(text: str, available: int = 0) -> str:
    """A whole text as `CitationFilter` shows it."""
    stream = CitationFilter(available)
    return stream.feed(text) + stream.close()
