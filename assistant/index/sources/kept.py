"""Documents that a source keeps in the data folder: one file each, a line of JSON about it and then its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assistant.errors import ParseError
from assistant.index.sources.origin import too_large

_ENDING = ".kept"
_UNFINISHED = ".part"
_OLD_S = 86_400
_HEAD_BYTES = 1_000_000


def file_of(folder: Path, name: str) -> Path:
    """The file that keeps a document, whatever its name holds."""
    return folder / (hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:40] + _ENDING)


def write(file: Path, head: dict[str, Any], data: bytes) -> None:
    """Keep a document whole or not at all, safe from a loss of power once this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{secrets.token_hex(6)}{_UNFINISHED}")
    try:
        with unfinished.open("wb") as out:
            out.write(json.dumps(head, ensure_ascii=True, sort_keys=True).encode() + b"\n")
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
        _settle(file.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def remove(file: Path) -> bool:
    """Forget a document. False where there was none."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    _settle(file.parent)
    return True


def _settle(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def head(file: Path) -> dict[str, Any] | None:
    """What is known of a document; None where there is none, or its file is damaged."""
    try:
        with file.open("rb") as kept:
            read = json.loads(kept.readline(_HEAD_BYTES))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def body(file: Path, limit: int) -> bytes:
    """A document's bytes. Raises `ParseError` with the reason."""
    try:
        with file.open("rb") as kept:
            kept.readline(_HEAD_BYTES)
            data = kept.read(limit + 1)
    except OSError as error:
        raise ParseError(f"cannot be opened: {error.strerror}") from error
    if len(data) > limit:
        raise ParseError(too_large(limit))
    return data


def every(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """All documents that are kept whole, in a stable order. What a killed process left unfinished goes."""
    for part in folder.glob(f"*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _OLD_S:
                part.unlink()
    for file in sorted(folder.glob(f"*{_ENDING}")):
        if (known := head(file)) is not None:
            yield file, known
