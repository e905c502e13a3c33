"""What a run needs of a source, whatever its kind: a list with fingerprints, bytes, links for people, groups."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from assistant.index.sources.narrowing import is_sidecar
from assistant.settings import Source

_ALWAYS_LEFT_OUT = (".*", "**/.*", "~$*", "**/~$*", "Thumbs.db", "**/Thumbs.db")


@dataclass(frozen=True)
class Found:
    """A document of a source. `path` is relative to it, with slashes; `problem` says why it cannot be read.

    `mark` changes whenever its bytes may have, empty when only reading tells. `groups` narrow who may read it; None
    says nothing. `title`, `owner` and `valid_until` win over what the document itself says.
    """

    source: str
    path: str
    size: int
    modified: datetime | None
    problem: str = ""
    mark: str = ""
    link: str = ""
    title: str = ""
    owner: str = ""
    valid_until: datetime | None = None
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True)
class File:
    """A document's bytes; `name` tells a parser their kind where the path does not."""

    name: str
    data: bytes


class Origin(Protocol):
    """A source as a run reads it. Synchronous: a run calls it in a thread.

    `note` says, after a list, what of the source was left out.
    """

    note: str

    def documents(self) -> Iterator[Found]:
        """Every document, in a stable order. Raises `InputError` when the source as a whole cannot be read."""
        ...

    def read(self, path: str, limit: int) -> File:
        """A document's bytes, at most `limit`. Raises `ParseError` with the reason."""
        ...


def fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def matches(path: str, pattern: str) -> bool:
    """Whether a glob covers a path: `**` crosses folders, a bare `folder/**` covers all below it."""
    return fnmatch.fnmatchcase(path, pattern) or (pattern.startswith("**/") and fnmatch.fnmatchcase(path, pattern[3:]))


def wanted(source: Source, path: str) -> bool:
    """Whether the patterns of the source admit a path; hidden files, locks of Office and sidecars never are."""
    if is_sidecar(path) or any(matches(path, p) for p in (*_ALWAYS_LEFT_OUT, *source.exclude)):
        return False
    return any(matches(path, p) for p in source.include)


def too_large(limit: int) -> str:
    return f"larger than {limit // 1_000_000} MB; raise index.max_file_mb to read it"


def address(source: Source, path: str, ref: str = "") -> str:
    """Where people find a document, by the source's template; empty where it has none."""
    return source.link.replace("{ref}", quote(ref)).replace("{path}", quote(path)) if source.link else ""
