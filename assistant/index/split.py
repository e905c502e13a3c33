"""Text becomes passages: cut at headings, paragraphs and rows, never inside a word, and each knows its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from assistant.domain import Place
from assistant.index.page import Parsed

FINGERPRINT = "split-4"
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Chunk:
    """A passage before it is stored. `text` is exactly `Parsed.text[place.start:place.end]`."""

    text: str
    indexed: str
    place: Place


@dataclass(frozen=True)
class _Piece:
    start: int
    end: int
    words: int
    headings: tuple[str, ...]
    page: int | None
    sheet: str | None
    is_heading: bool
    header: tuple[int, int] | None
    apart: bool


def split(parsed: Parsed, words: int, overlap: int) -> list[Chunk]:
    """Chunks of about `words` words that share up to `overlap` words with the one before in the same section."""
    chunks: list[Chunk] = []
    group: list[_Piece] = []

    def close() -> None:
        if any(not p.is_heading for p in group) or (group and not chunks):
            chunks.append(_chunk(parsed, group))
        group.clear()

    for piece in _pieces(parsed, words):
        size = sum(p.words for p in group)
        apart = group and (
            piece.apart
            or (piece.is_heading and size >= words // 3)
            or size + piece.words > words
            or piece.sheet != group[0].sheet
            or (piece.page != group[0].page and size >= words // 3)
        )
        if apart:
            tail = _tail(group, overlap) if not piece.is_heading and piece.headings == group[-1].headings else []
            # A heading must not be left behind by the text it heads.
            held = [group.pop()] if group[-1].is_heading and len(group) > 1 and not piece.apart else []
            close()
            group.extend(held or tail)
        group.append(piece)
    close()
    return chunks


def _tail(group: list[_Piece], overlap: int) -> list[_Piece]:
    taken: list[_Piece] = []
    for piece in reversed(group):
        if piece.is_heading or sum(p.words for p in taken) + piece.words > overlap:
            break
        taken.insert(0, piece)
    return taken


def _pieces(parsed: Parsed, words: int) -> Iterator[_Piece]:
    path: list[tuple[int, str]] = []
    header: tuple[int, int] | None = None
    for block in parsed.blocks:
        text = parsed.text[block.start : block.end]
        if block.kind == "heading":
            path = [h for h in path if h[0] < block.level]
            path.append((block.level, " ".join(text.split())[:120]))
        if block.kind != "row":
            header = None
        elif block.level:
            header = (block.start, block.end)
        headings = tuple(h for _, h in path if h != parsed.title)
        for start, end in _whole_lines(text, words) if block.kind == "code" else _within(text, words):
            yield _Piece(
                block.start + start,
                block.start + end,
                # A piece of a word without end counts by its length, or a passage would take any number of them.
                _size(text[start:end]),
                headings,
                block.page,
                block.sheet,
                block.kind == "heading",
                header if header and header != (block.start, block.end) else None,
                block.apart and start == 0,
            )


def _whole_lines(text: str, words: int) -> Iterator[tuple[int, int]]:
    """Code whole up to twice a passage; longer code between its lines, and within one only if it is too long itself."""
    if _size(text) <= words * 2:
        yield 0, len(text)
        return
    start = end = 0
    for line in re.finditer(r"[^\n]+", text):
        if end > start and _size(text[start : line.end()]) > words:
            yield start, end
            start = line.start()
        end = line.end()
        if _size(line.group()) > words:
            for first, last in _within(line.group(), words):
                yield start + first, start + last
            start = end
    if end > start:
        yield start, end


def _size(text: str) -> int:
    return max(len(text.split()), len(text) // 12)


def _within(text: str, words: int) -> Iterator[tuple[int, int]]:
    """The block whole, or cut at sentence ends (at words where there are none) when it is longer than a passage."""
    found = list(_WORD.finditer(text))
    if len(found) <= words and len(text) <= words * 12:
        yield 0, len(text)
        return
    start = count = 0
    for i, word in enumerate(found):
        count += 1
        last = i + 1 == len(found)
        ends = word.group().endswith((".", "!", "?", ";", ":")) or "\n" in text[word.end() : word.end() + 1]
        if last or (ends and count >= words // 3) or count >= words or word.end() - start > words * 12:
            # A single word longer than any passage is cut as it comes.
            while word.end() - start > words * 14:
                yield start, start + words * 12
                start += words * 12
            end = len(text) if last else found[i + 1].start()
            yield start, len(text[:end].rstrip()) if not last else end
            start, count = end, 0


def _chunk(parsed: Parsed, group: list[_Piece]) -> Chunk:
    start, end = group[0].start, group[-1].end
    text = parsed.text[start:end]
    body = next((p for p in group if not p.is_heading), group[0])
    place = Place(headings=body.headings[-3:], page=body.page, sheet=body.sheet, start=start, end=end)
    context = [parsed.title, *place.headings]
    if body.header and not (start <= body.header[0] < end):
        context.append(parsed.text[slice(*body.header)])
    return Chunk(text, "\n".join([*dict.fromkeys(c for c in context if c), text]), place)
