"""Passages next to each other are read as one where what a question asks for is spread over them.

A document is cut into passages for the search; an answer may need what stands on both sides of a cut. So a passage that
is shown takes in its neighbours of the same section that fit the question nearly as well, up to a bound. Its id is
`first~last`, the ids of the passages at its ends; what stands between is read again from the release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from assistant.index.store import Table

TO = "~"
# How much of the best fit a passage must reach to be taken in.
NEARLY = 0.75
# Tokens are estimated as `chat.models` does where no tokenizer is at hand.
CHARS_PER_TOKEN = 3
# What may lie between two passages: the empty line between blocks.
_GAP = 2
# What only rows and code have: cells apart or named, a line that is set in, or ends as no sentence does.
_LINE = re.compile(r" \| |^[^.!?\n]{1,60}: |^\s|[{};,(\\]$")
Row = dict[str, Any]


@dataclass(frozen=True)
class Joined:
    """Passages in their order, some of them joined. `into` tells of each taken-in passage what it became part of."""

    passages: list[str]
    rows: Mapping[str, Row]
    into: Mapping[str, str]


def plan(order: Sequence[str], rows: Mapping[str, Row], fit: Mapping[str, float]) -> set[int]:
    """The documents whose passages have to be read for `joined`: those with two passages that fit in one section."""
    near = _near(rows, fit)
    seen: set[tuple[Any, ...]] = set()
    twice: set[int] = set()
    for i in near:
        section = _section(rows[i])
        if section in seen:
            twice.add(rows[i]["document_id"])
        seen.add(section)
    return twice & {rows[i]["document_id"] for i in order if i in near}


def joined(
    order: Sequence[str],
    rows: Mapping[str, Row],
    documents: Mapping[int, Sequence[Row]],
    fit: Mapping[str, float],
    tokens: int,
) -> Joined:
    """The passages of `order`, best first, each grown by its neighbours of at most `tokens` in all.

    `rows` are those that the search found, `documents` all passages of those to be joined in, in their order. One
    passage that was not found is taken in where it stands between two that were.
    """
    near = _near(rows, fit)
    into: dict[str, str] = {}
    out: list[str] = []
    made: dict[str, Row] = {}
    for i in order:
        if i in into:
            continue
        run = _grown(rows[i], documents.get(rows[i]["document_id"], ()), near, into, tokens) if i in near else [rows[i]]
        if len(run) > 1:
            whole = _whole(run)
            made[whole["id"]] = whole
            into |= dict.fromkeys((r["id"] for r in run), whole["id"])
        out.append(into.get(i, i))
    return Joined(out, made, into)


def _near(rows: Mapping[str, Row], fit: Mapping[str, float]) -> set[str]:
    least = NEARLY * max((fit[i] for i in rows if i in fit), default=0.0)
    return {i for i in rows if fit.get(i, 0.0) >= least > 0}


def _section(row: Row) -> tuple[Any, ...]:
    return row["document_id"], row["sheet"], *(row["headings"] or ())


def _grown(
    row: Row, document: Sequence[Row], near: Collection[str], taken: Collection[str], tokens: int
) -> Sequence[Row]:
    """The passage with its neighbours, in their order."""
    place = next((n for n, r in enumerate(document) if r["id"] == row["id"]), None)
    if place is None:
        return [row]
    first = last = place

    def reach(step: int) -> int | None:
        """The next place on one side that may be taken in: a near passage, at most one away."""
        edge = last if step > 0 else first
        for at in (edge + step, edge + 2 * step):
            if not 0 <= at < len(document):
                return None
            one, other = sorted((at, at - step))
            if document[at]["id"] in taken or not _adjacent(document[one], document[other]):
                return None
            if document[at]["id"] in near:
                low, high = min(first, at), max(last, at)
                fits = document[high]["end"] - document[low]["start"] <= tokens * CHARS_PER_TOKEN
                return at if fits else None
        return None

    grew = True
    while grew:
        grew = False
        for step in (1, -1):
            if (at := reach(step)) is not None:
                first, last, grew = min(first, at), max(last, at), True
    return document[first : last + 1]


def _adjacent(one: Row, other: Row) -> bool:
    """Whether the second continues the first, in the same section."""
    return (
        one["start"] < other["start"] <= one["end"] + _GAP
        and one["end"] < other["end"]
        and _section(one) == _section(other)
    )


def _whole(run: Sequence[Row]) -> Row:
    text, at = "", run[0]["start"]
    for row in run:
        if row["start"] > at:
            # One character apart are rows of a table and lines of code, else words of one paragraph.
            lines = text.rpartition("\n")[2], row["text"].partition("\n")[0]
            ends = row["start"] - at > 1 or any(_LINE.search(line) for line in lines)
            text += "\n" * (row["start"] - at) if ends else " "
            at = row["start"]
        text += row["text"][at - row["start"] :]
        at = row["end"]
    first, last = run[0], run[-1]
    return {
        **first,
        "id": f"{first['id']}{TO}{last['id']}",
        "text": text,
        "end": last["end"],
        "text_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


async def read(table: Table, ids: Sequence[str]) -> list[Row]:
    """The rows of passages by their ids, joined ones put together as they were. What is not whole is left out."""
    ends = {i: i.split(TO) for i in ids if TO in i}
    single = [i for i in ids if i not in ends]
    rows = {r["id"]: r for r in await table.passages([*single, *(e for pair in ends.values() for e in pair)])}
    out = [rows[i] for i in single if i in rows]
    for pair in ends.values():
        if len(pair) != 2 or not all(e in rows for e in pair) or len({rows[e]["document_id"] for e in pair}) > 1:
            continue
        first, last = (rows[e] for e in pair)
        document = await table.of_document(first["document_id"])
        run = [r for r in document if first["start"] <= r["start"] <= last["start"]]
        if run[:1] and all(_adjacent(a, b) for a, b in pairwise(run)):
            out.append(_whole(run))
    return out


def apart(passages: Sequence[Any]) -> list[Any]:
    """Passages without those that stand whole in another of them; of two equal ones the first stays."""
    kept: list[Any] = []
    for p in passages:
        if any(_within(p, other) for other in kept):
            continue
        # One that holds an earlier one takes its place.
        place = next((n for n, other in enumerate(kept) if _within(other, p)), len(kept))
        kept = [k for k in kept if not _within(k, p)]
        kept.insert(place, p)
    return kept


def _within(one: Any, other: Any) -> bool:
    return bool(
        one.document_id == other.document_id
        and other.place.start <= one.place.start
        and one.place.end <= other.place.end
    )
