"""Word codes from a table: what late interaction compares, without a pass of the model over the passages.

A word piece has the same code wherever it stands: the vector that the built-in model begins with, before it reads the
words around it, projected as `rerank` projects token states (docs/decisions/0013-table-codes.md).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from assistant.index import rerank, weights


class WordTable:
    """The codes of all word pieces: a file of 12 MB in `folder`, made at the first use and mapped into memory."""

    kind: rerank.WordCodes = "table"
    fingerprint = "minilm-words-2"

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{self.fingerprint}.npy"

    async def codes(self, texts: Sequence[str]) -> list[bytes]:
        """The codes of each passage, for `rerank.scores`."""
        return await asyncio.to_thread(self._codes, texts)

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""
        return await asyncio.to_thread(self._asked, question)

    def _codes(self, texts: Sequence[str]) -> list[bytes]:
        signs, counted = self._signs
        found = (np.unique(encoded.ids) for encoded in self._vocabulary.encode_batch(list(texts)))
        return [signs[ids[counted[ids]]].tobytes() for ids in found]

    def _asked(self, question: str) -> rerank.Asked:
        encoded = self._vocabulary.encode(question)
        rows = np.asarray(self._rows[encoded.ids], dtype=np.float32)
        return rerank.asked(encoded.tokens, rows, weights.rarity(encoded.ids))

    @cached_property
    def _vocabulary(self) -> Any:
        return weights.vocabulary()

    @cached_property
    def _signs(self) -> tuple[Any, Any]:
        """The code of every word piece, and whether it has a meaning of its own."""
        tokens = [self._vocabulary.id_to_token(i) for i in range(len(self._rows))]
        return np.packbits(self._rows > 0, axis=1), np.array([rerank.counts(t) for t in tokens])

    @cached_property
    def _rows(self) -> Any:
        """A unit row of `rerank.BITS` numbers for every word piece."""
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._file.parent / "building.lock"):
                if not self._file.exists():
                    _build(self._file)
        return np.load(self._file, mmap_mode="r")


def _build(file: Path) -> None:
    fresh = file.with_suffix(f".{os.getpid()}.new.npy")
    try:
        np.save(fresh, rerank.units(rerank.projected(weights.word_pieces())).astype(np.float16))
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
