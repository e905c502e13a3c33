"""Late interaction: a passage is scored by how well it holds each word of the question.

Every word piece of a question looks for its nearest one in the passage, as in ColBERT (Khattab and Zaharia 2020), over
the token states of the embedding model that is there anyway. A passage keeps one code of 192 signs for each of its
distinct word pieces (random hyperplanes, Charikar 2002), made in the pass that makes its vector: about 1.6 kB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np

from assistant.domain import Embedder
from assistant.index.sentences import STOP

BITS = 192
WordCodes = Literal["table", "model"]
# What a word piece without a meaning of its own counts.
LIGHT = 0.15
# What a word of many pieces counts at most, beside 1 for one of a single piece.
MOST_OF_A_WORD = 1.5
_SPECIAL = frozenset({"[CLS]", "[SEP]", "[UNK]", "[PAD]"})


@dataclass(frozen=True)
class Asked:
    """A question as it is compared: a unit row of `BITS` floats for each word piece, and what each counts."""

    rows: Any
    weights: Any


class Words(Protocol):
    """Reads word by word. `kind` says whether a word's code depends on those around it (`model`) or not (`table`).

    Codes of another `fingerprint` mean something else.
    """

    kind: WordCodes
    fingerprint: str

    async def codes(self, texts: Sequence[str]) -> list[bytes]:
        """The codes of each passage."""
        ...

    async def asked(self, question: str) -> Asked:
        """The question as passages are compared with it."""
        ...


class Reader(Embedder, Protocol):
    """An embedder that also reads word by word; `word_codes` is the `kind` of its `Words`."""

    word_codes: WordCodes

    async def ready(self) -> None:
        """Load what it works with, which takes seconds, off the event loop."""
        ...

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The vector of each passage, and its codes."""
        ...

    async def asked(self, question: str) -> Asked:
        """The question as passages are compared with it."""
        ...


@cache
def hyperplanes(width: int) -> Any:
    """The random hyperplanes on whose sides states of this width are told, `BITS` of them, one column each."""
    # The legacy generator is frozen: codes in an index must mean the same under every numpy.
    signs = np.random.RandomState(7).choice((-1.0, 1.0), (width, BITS))
    return (signs / width**0.5).astype(np.float32)


def _light(token: str) -> bool:
    return token in STOP or not re.search(r"\w", token)


@cache
def counts(token: str) -> bool:
    """Whether a passage keeps a code for this word piece: it carries meaning."""
    return token not in _SPECIAL and not _light(token)


def projected(states: Any) -> Any:
    """Where states lie beside the hyperplanes, a row of `BITS` floats each; their signs are codes."""
    return units(states) @ hyperplanes(states.shape[1])


def units(rows: Any) -> Any:
    """The rows at unit length."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def encode(tokens: Sequence[str], rows: Any) -> bytes:
    """The codes of a passage from its word pieces and their `projected` states."""
    places: dict[str, list[int]] = {}
    for i, token in enumerate(tokens):
        if counts(token):
            places.setdefault(token, []).append(i)
    if not places:
        return b""
    # The sum of a piece's states lies on the same side of every hyperplane as their mean.
    order = [place for found in places.values() for place in found]
    starts = np.cumsum([0, *map(len, places.values())])[:-1]
    return bytes(np.packbits(np.add.reduceat(rows[order], starts, axis=0) > 0, axis=1).tobytes())


def asked(tokens: Sequence[str], rows: Any, tells: Any = 1.0) -> Asked:
    """A question from its word pieces and their `projected` states; `tells` is how much each of them counts more."""
    kept = [i for i, token in enumerate(tokens) if token not in _SPECIAL] or list(range(len(tokens)))
    weights = np.array([LIGHT if _light(tokens[i]) else 1.0 for i in kept], dtype=np.float32)
    weights *= np.broadcast_to(tells, len(tokens))[kept]
    # A number of an order or a ticket breaks into many pieces, and must not outweigh the question.
    word = np.cumsum([not tokens[i].startswith("##") for i in kept])
    pieces = np.bincount(word)[word]
    weights /= np.maximum(np.sqrt(pieces), pieces / MOST_OF_A_WORD)
    return Asked(units(rows[kept]), weights)


def scores(asked: Asked, codes: Mapping[str, bytes]) -> dict[str, float]:
    """How well each passage holds the question's words: their best cosines, averaged by weight; 0 to about .8."""
    held = {i: c for i, c in codes.items() if c}
    if not held:
        return dict.fromkeys(codes, 0.0)
    bits = np.unpackbits(np.frombuffer(b"".join(held.values()), dtype=np.uint8)).reshape(-1, BITS)
    signs = (bits.astype(np.float32) * 2 - 1) / BITS**0.5
    # All passages in one product, then each one's best row for every word of the question.
    first = np.cumsum([0, *(len(c) * 8 // BITS for c in held.values())])[:-1]
    best = np.maximum.reduceat(signs @ asked.rows.T, first, axis=0)
    found = best @ asked.weights / asked.weights.sum()
    return dict.fromkeys(codes, 0.0) | dict(zip(held, found.tolist(), strict=True))
