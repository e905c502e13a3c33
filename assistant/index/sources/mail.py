"""A mail folder: an mbox file, or a folder of messages and such files. Each message is a document."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from assistant.errors import InputError, ParseError
from assistant.index.sources import folder
from assistant.index.sources.origin import File, Found, address, fingerprint, too_large, wanted
from assistant.settings import Source

_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class Mail:
    """The messages of a folder. One in an mbox file has that file's path, a slash and a hash of the message."""

    def __init__(self, source: Source) -> None:
        root = source.path
        if not root.is_dir():
            self._only: str | None = root.name
            root = root.parent
        else:
            self._only = None
        # Patterns are about messages, and folders of mail hide some of their files.
        self._files = source.model_copy(update={"path": root, "include": ["**"], "exclude": []})
        self._source, self._root = source, root
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self.note = ""

    def documents(self) -> Iterator[Found]:
        if self._only is not None and not (self._root / self._only).is_file():
            raise InputError(f"{self._source.path}: no such mail folder.", "Correct the path of the source.")
        for found in folder.walk(self._files):
            if self._only is not None and found.path != self._only:
                continue
            if found.problem or not self._is_mbox(found.path):
                if wanted(self._source, found.path) and self._is_mail(found):
                    yield found
                continue
            self._places.pop(found.path, None)
            try:
                messages = self._messages(found.path)
            except ParseError as error:
                yield replace(found, problem=error.problem)
                continue
            for path, (start, end) in messages.items():
                if wanted(self._source, path):
                    link = address(self._source, path)
                    yield replace(found, path=path, size=end - start, mark=path[-44:-4], link=link)

    def read(self, path: str, limit: int) -> File:
        file, _, _ = path.rpartition("/")
        if not file or not self._is_mbox(file):
            return File(self._named(path), folder.read(self._root, path, limit))
        start, end = self._messages(file).get(path, (0, 0))
        if not end:
            raise ParseError("is no longer in its mail folder")
        if end - start > limit:
            raise ParseError(too_large(limit))
        with self._opened(file) as mbox:
            mbox.seek(start)
            data = mbox.read(end - start)
        if _message_path(file, fingerprint(data)) != path:
            # It was written to since it was looked through.
            self._places.pop(file, None)
            raise ParseError("changed while it was read; the next run reads it again")
        return File(path, _QUOTED.sub(rb"\1", data))

    def _is_mbox(self, path: str) -> bool:
        return path == self._only or PurePosixPath(path).suffix.lower() in {".mbox", ".mbx"}

    def _is_mail(self, found: Found) -> bool:
        """A message by its ending, or a file of a Maildir."""
        path = PurePosixPath(found.path)
        return bool(found.problem) or path.suffix.lower() == ".eml" or path.parent.name in {"cur", "new"}

    def _named(self, path: str) -> str:
        return path if path.lower().endswith(".eml") else f"{path}.eml"

    def _opened(self, file: str) -> BinaryIO:
        full = folder.inside(self._root, file)
        if not full.is_file():
            raise ParseError("not a regular file")
        try:
            return full.open("rb")
        except OSError as error:
            raise ParseError(f"cannot be opened: {error.strerror}") from error

    def _messages(self, file: str) -> dict[str, tuple[int, int]]:
        """Where each message of an mbox file begins and ends. Of two that are the same, one counts."""
        if file not in self._places:
            found: dict[str, tuple[int, int]] = {}
            start, at, digest, blank = -1, 0, hashlib.sha256(), True
            with self._opened(file) as mbox:
                while line := mbox.readline(1_000_000):
                    if blank and line.startswith(b"From "):
                        if start >= 0:
                            found.setdefault(_message_path(file, digest.hexdigest()), (start, at))
                        start, digest = at + len(line), hashlib.sha256()
                    else:
                        digest.update(line)
                    blank = line in {b"\n", b"\r\n"}
                    at += len(line)
            if start >= 0:
                found.setdefault(_message_path(file, digest.hexdigest()), (start, at))
            self._places[file] = found
        return self._places[file]


def _message_path(file: str, digest: str) -> str:
    return f"{file}/{digest[:40]}.eml"
