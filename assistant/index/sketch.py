"""Tells which texts are the same or nearly so, from a few bytes kept of each."""

from __future__ import annotations

import hashlib
import heapq
import re
from array import array

# Four words in a row are a shingle. The smallest hashes of all shingles stand for the text (a bottom-k sketch): 128 of
# them tell the share of shingles that two texts have in common within about .03.
SHINGLE = 4
SIZE = 128
# Texts of fewer words are too often the same by chance.
LEAST_WORDS = 5
# A text of fewer shingles says too little to be called nearly the same as another.
LEAST = 20
_WORD = re.compile(r"\w+")


def text_hash(text: str) -> str:
    """Names the words of a text, whatever its layout; empty for a text of a few words."""
    words = _words(text)
    return (
        hashlib.sha256(" ".join(words).encode("utf-8", "replace")).hexdigest()[:32] if len(words) >= LEAST_WORDS else ""
    )


def sketch(text: str) -> bytes:
    """What `resemblance` compares; empty for a short text."""
    words = _words(text)
    if len(words) < LEAST + SHINGLE:
        return b""
    shingles = {" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}
    hashes = (
        int.from_bytes(hashlib.blake2b(s.encode("utf-8", "replace"), digest_size=4).digest(), "big") for s in shingles
    )
    return array("I", heapq.nsmallest(SIZE, set(hashes))).tobytes()


def values(sketched: bytes) -> frozenset[int]:
    return frozenset(array("I", sketched))


def resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    """The share of shingles in common, 0..1, as far as two sketches tell."""
    size = min(SIZE, max(len(one), len(other)))
    together = heapq.nsmallest(size, one | other)
    return sum(v in one and v in other for v in together) / len(together) if together else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
