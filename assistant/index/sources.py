"""What there is to index: the files of a folder, with a fingerprint each. Nothing outside the folder is read."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assistant.errors import InputError, ParseError
from assistant.settings import Source

_ALWAYS_LEFT_OUT = (".*", "**/.*", "~$*", "**/~$*", "Thumbs.db", "**/Thumbs.db")


@dataclass(frozen=True)
class Found:
    """A file of a source. `path` is relative to it, with slashes; `problem` says why it cannot be read."""

    source: str
    path: str
    size: int
    modified: datetime
    problem: str = ""


def matches(path: str, pattern: str) -> bool:
    """Whether a glob covers a path: `**` crosses folders, a bare `folder/**` covers all below it."""
    return fnmatch.fnmatchcase(path, pattern) or (pattern.startswith("**/") and fnmatch.fnmatchcase(path, pattern[3:]))


def walk(source: Source) -> Iterator[Found]:
    """Every regular file that the patterns admit, in a stable order; what cannot be read comes with its problem."""
    root = source.path.resolve()
    if not root.is_dir():
        raise InputError(f"{source.path}: no such folder.", "Correct the path of the source, or create the folder.")
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(files):
            full = Path(folder, name)
            path = full.relative_to(root).as_posix()
            if any(matches(path, p) for p in (*_ALWAYS_LEFT_OUT, *source.exclude)):
                continue
            if not any(matches(path, p) for p in source.include):
                continue
            yield _found(source.name, path, full)


def _found(source: str, path: str, full: Path) -> Found:
    try:
        # A name that is not valid text cannot be stored or shown.
        path.encode("utf-8")
        facts = full.lstat()
    except (OSError, UnicodeEncodeError) as error:
        shown = path.encode("utf-8", "replace").decode()
        return Found(source, shown, 0, datetime.now(UTC), f"cannot be read: {type(error).__name__}")
    moment = datetime.fromtimestamp(facts.st_mtime, UTC)
    problem = ""
    if stat.S_ISLNK(facts.st_mode):
        problem = "a link to somewhere else; links are not followed"
    elif not stat.S_ISREG(facts.st_mode):
        problem = "not a regular file"
    return Found(source, path, facts.st_size, moment, problem)


def inside(root: Path, path: str) -> Path:
    """The file of a relative path, provided that it lies in the folder and is no link out of it.

    Raises `ParseError` otherwise.
    """
    full = (root / path).resolve()
    if not full.is_relative_to(root.resolve()) or "\x00" in path:
        raise ParseError("lies outside its source")
    return full


def read(root: Path, path: str, limit: int) -> bytes:
    """The bytes of a file, at most `limit`; never through a link. Raises `ParseError` with the reason."""
    full = inside(root, path)
    try:
        handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ParseError(f"cannot be opened: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ParseError("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ParseError(f"larger than {limit // 1_000_000} MB; raise index.max_file_mb to read it")
    return data


def fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
