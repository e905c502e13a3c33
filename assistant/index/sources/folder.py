"""A folder as a source. Nothing outside of it is read, whatever links and names say."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from assistant.errors import InputError, ParseError
from assistant.index.sources.narrowing import SIDECAR_BYTES, Sidecars, is_sidecar
from assistant.index.sources.origin import File, Found, address, too_large, wanted
from assistant.settings import Source

# A file that is being written is read again so many times in a run.
TRIES = 3


class Folder:
    """The files of a folder, with those that narrow who may read them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.note = ""

    def documents(self) -> Iterator[Found]:
        return walk(self._source)

    def read(self, path: str, limit: int) -> File:
        return File(path, read(self._source.path, path, limit))


def walk(source: Source) -> Iterator[Found]:
    """Every regular file that the patterns admit, in a stable order; what cannot be read comes with its problem."""
    root = source.path.resolve()
    if not root.is_dir():
        raise InputError(f"{source.path}: no such folder.", "Correct the path of the source, or create the folder.")
    unread: list[OSError] = []
    sidecars = Sidecars(lambda path: read(root, path, SIDECAR_BYTES))
    for folder, folders, files in os.walk(root, followlinks=False, onerror=unread.append):
        folders.sort()
        sidecars.add(Path(folder, name).relative_to(root).as_posix() for name in files if is_sidecar(name))
        for name in sorted(files):
            full = Path(folder, name)
            path = full.relative_to(root).as_posix()
            if wanted(source, path):
                yield _narrowed(_found(source, path, full), sidecars)
    for error in unread:
        path = _shown(Path(error.filename).relative_to(root).as_posix())
        yield Found(source.name, path, 0, datetime.now(UTC), f"a folder that cannot be read: {error.strerror}")


def _narrowed(found: Found, sidecars: Sidecars) -> Found:
    try:
        return replace(found, groups=sidecars.of(found.path))
    except ParseError as error:
        return replace(found, problem=found.problem or error.problem)


def _shown(path: str) -> str:
    """A path as text: bytes that are none are written out."""
    return path.encode("utf-8", "backslashreplace").decode()


def _found(source: Source, path: str, full: Path) -> Found:
    try:
        # A name that is not valid text cannot be stored or shown.
        path.encode("utf-8")
        facts = full.lstat()
    except UnicodeEncodeError:
        return Found(source.name, _shown(path), 0, datetime.now(UTC), "its name is not valid text; rename it")
    except OSError as error:
        return Found(source.name, path, 0, datetime.now(UTC), f"cannot be opened: {error.strerror}")
    try:
        moment = datetime.fromtimestamp(facts.st_mtime, UTC)
    except (OverflowError, ValueError, OSError):
        # A clock or an archive set the file's time beyond any year.
        moment = datetime.now(UTC)
    problem = ""
    if stat.S_ISLNK(facts.st_mode):
        problem = "a link to somewhere else; links are not followed"
    elif not stat.S_ISREG(facts.st_mode):
        problem = "not a regular file"
    return Found(source.name, path, facts.st_size, moment, problem, link=address(source, path))


def inside(root: Path, path: str) -> Path:
    """The file of a relative path, provided that it lies in the folder and no link leads to it.

    Raises `ParseError` otherwise.
    """
    if "\x00" in path:
        raise ParseError("lies outside its source")
    try:
        base = root.resolve()
        full = (base / path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ParseError("cannot be opened: its path leads nowhere") from error
    if not full.is_relative_to(base):
        raise ParseError("lies outside its source")
    if full != base / path:
        raise ParseError("a link to somewhere else; links are not followed")
    return full


def read(root: Path, path: str, limit: int) -> bytes:
    """The bytes of a file as they stood at one moment, at most `limit`; never through a link.

    Raises `ParseError` with the reason.
    """
    full = inside(root, path)
    for _ in range(TRIES):
        before, data, after = _read_once(full, limit)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return data
    raise ParseError("changed while it was read; the next run reads it again")


def _read_once(full: Path, limit: int) -> tuple[os.stat_result, bytes, os.stat_result]:
    try:
        handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise ParseError(f"cannot be opened: {getattr(error, 'strerror', 'its name is not valid')}") from error
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        os.close(handle)
        raise ParseError("not a regular file")
    with os.fdopen(handle, "rb") as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise ParseError(f"cannot be read: {error.strerror}") from error
        after = os.fstat(file.fileno())
    if len(data) > limit:
        raise ParseError(too_large(limit))
    return before, data, after
