"""Which words of a passage carry a claim of the answer: found by shared words, without a model."""

from __future__ import annotations

import re

from assistant.index import table_rows

_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_ROW = re.compile(r"^[^\n]* \| [^\n]*$", re.MULTILINE)
_STRONG = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
# A line that goes on in lower case was broken by the page, not by its author.
_BROKEN_LINE = re.compile(r"(?<=\S)[ \t]*\n(?=[a-zäöüß(])")
_WORD = re.compile(r"[\w'’-]{2,}")
_NUMBER = re.compile(r"\[\d{1,3}\]")
# Share of a claim's words that a sentence must hold, or of the sentence's that the claim must.
ENOUGH = 0.45
# So many words, one after the other, are a quotation and no chance.
LITERAL_WORDS = 3
_COMMON = frozenset(
    "the and for are was with that this from have has not you your can may will our its their they der die das und"
    " ist sind ein eine einen mit von für auf nicht sie wir ihr den dem des im zu bis".split()
)


def _words(text: str) -> set[str]:
    return {w.lower() for w in _WORD.findall(text)} - _COMMON


def claims_citing(text: str, n: int, spans: list[tuple[int, int, tuple[int, ...]]]) -> list[str]:
    """The statements of an answer that cite a number; by the checked sentences if there are any."""
    lines = [line for line in text.splitlines() if f"[{n}]" in line]
    # A quotation marks the words that matter itself.
    if strong := [m for line in lines if line.startswith(">") for m in _STRONG.findall(line) if len(_words(m)) >= 2]:
        return strong
    found = [text[start:end] for start, end, numbers in spans if n in numbers] or lines
    return [_NUMBER.sub("", f).replace("*", "").strip(" >\n") for f in found]


def carrying(passage: str, claims: list[str]) -> list[tuple[int, int]]:
    """The spans of the passage's sentences that carry any of the claims, in order, neighbours joined.

    A claim that stands there word for word is carried by that place alone, whatever else shares some of its words.
    """
    spans: list[tuple[int, int]] = []
    places = [_literally(c, passage) for c in claims]
    literal = [p for p in places if p]
    wanted = [words for c, p in zip(claims, places, strict=True) if not p and (words := _words(c))]
    for start, end in _sentences(passage):
        words = _said(passage[start:end])
        quoted = any(a < end and start < b for a, b in literal)
        if not quoted and not (words and any(_shared(words, claim) >= ENOUGH for claim in wanted)):
            continue
        if spans and not passage[spans[-1][1] : start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _literally(claim: str, passage: str) -> tuple[int, int] | None:
    """Where the words of a claim stand in a passage one after the other, whatever is between them."""
    words = re.findall(r"[^\W_]+", claim)
    if len(words) < LITERAL_WORDS:
        return None
    found = re.search(r"[\W_]+".join(words), passage, re.IGNORECASE)
    return found.span() if found else None


def _said(sentence: str) -> set[str]:
    """The words that a sentence says; of a row only those of its cells, for the rows of a table share their columns."""
    if not table_rows.is_line_of_table(sentence):
        return _words(sentence)
    return _words(" ".join(c.value for c in table_rows.cells(sentence)))


def _sentences(text: str) -> list[tuple[int, int]]:
    # A row of a table is a sentence of its own.
    out: list[tuple[int, int]] = []
    at = 0
    for row in [*_ROW.finditer(text), None]:
        until = row.start() if row else len(text)
        out += _of_prose(text, at, until)
        if row:
            out.append(row.span())
            at = row.end()
    return [(start, end) for start, end in out if text[start:end].strip()]


def _of_prose(text: str, at: int, until: int) -> list[tuple[int, int]]:
    out = []
    for gap in _END.finditer(text, at, until):
        out.append((at, gap.start()))
        at = gap.end()
    return [*out, (at, until)]


def flowing(text: str) -> str:
    """Text without the line breaks that only a printed page needed."""
    return _BROKEN_LINE.sub(" ", text)


def _shared(sentence: set[str], claim: set[str]) -> float:
    both = len(sentence & claim)
    return both / min(len(sentence), len(claim)) if both >= min(2, len(claim)) else 0.0


def pieces(passage: str, spans: list[tuple[int, int]]) -> list[dict[str, object]]:
    """The passage cut at its spans, for a page that marks them: `{"text", "claim"}` in order."""
    out: list[dict[str, object]] = []
    at = 0
    for start, end in spans:
        if start > at:
            out.append({"text": flowing(passage[at:start]), "claim": False})
        out.append({"text": flowing(passage[start:end]), "claim": True})
        at = end
    if at < len(passage):
        out.append({"text": flowing(passage[at:]), "claim": False})
    return out
