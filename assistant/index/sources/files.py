"""An object store or a file share, through fsspec: S3, Google Cloud Storage, Azure, SFTP and their like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fsspec

from assistant.errors import InputError, ParseError
from assistant.index.sources.narrowing import SIDECAR_BYTES, Sidecars
from assistant.index.sources.origin import File, Found, address, too_large, wanted
from assistant.settings import Source

# Protocols that hold files of their own. Those that wrap others, or read the web, would reach what nobody named.
PROTOCOLS = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure",
    "sftp": "sftp", "ssh": "sftp", "memory": "",
}  # fmt: skip
# What the protocols call the version of an object, best first.
_VERSIONS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
)
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


class Files:
    """The objects below an address."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.note = ""
        self._fs: Any = None
        self._root = ""

    def documents(self) -> Iterator[Found]:
        try:
            self._open()
            # What the driver remembers of an earlier list would hide what is new.
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
            if not found and not self._fs.exists(self._root):
                raise FileNotFoundError("there is nothing at that address")
        except InputError:
            raise
        except Exception as error:
            # Each driver raises errors of its own.
            told = " ".join(str(error).split())[:200]
            raise InputError(
                f"The files of {self._source.name} cannot be listed ({type(error).__name__}: {told}).",
                "Correct url or secret_env of the source, or try again later.",
            ) from error
        there = {path: facts for full, facts in sorted(found.items()) if (path := self._relative(full))}
        sidecars = Sidecars(lambda p: self.read(p, SIDECAR_BYTES).data, there)
        for path, facts in there.items():
            if not wanted(self._source, path):
                continue
            problem, groups = "", None
            if facts.get("islink"):
                problem = "a link to somewhere else; links are not followed"
            elif ".." in path.split("/"):
                problem = "its name leads outside of its source; rename it"
            try:
                groups = sidecars.of(path)
            except ParseError as error:
                problem = problem or error.problem
            size = int(facts.get("size") or 0)
            moment = next((m for t in _TIMES if (m := _moment(facts.get(t)))), None)
            yield Found(
                self._source.name, path, size, moment, problem, mark=_mark(facts, size),
                link=address(self._source, path), groups=groups,
            )  # fmt: skip

    def read(self, path: str, limit: int) -> File:
        if ".." in path.split("/") or "\0" in path:
            raise ParseError("lies outside its source")
        try:
            self._open()
            with self._fs.open(f"{self._root}/{path}", "rb") as file:
                data = bytes(file.read(limit + 1))
        except Exception as error:
            raise ParseError(f"cannot be read: {type(error).__name__}") from error
        if len(data) > limit:
            raise ParseError(too_large(limit))
        return File(path, data)

    def _open(self) -> None:
        if self._fs is not None:
            return
        protocol = self._source.url.partition("://")[0]
        if protocol not in PROTOCOLS:
            raise InputError(
                f"The source {self._source.name} uses {protocol}://, which is not read.",
                f'Use one of {", ".join(PROTOCOLS)}; for a folder that is mounted here, kind = "folder".',
            )
        try:
            options = json.loads(self._source.secret or "{}")
            self._fs, root = fsspec.core.url_to_fs(self._source.url, **options)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"The options of {self._source.name} are no JSON object of what fsspec takes.",
                f"Correct the value of {self._source.secret_env}.",
            ) from error
        except ImportError as error:
            extra = PROTOCOLS[protocol]
            raise InputError(
                f"Reading {protocol}:// needs a package that is not installed.", f"pip install 'assistant[{extra}]'"
            ) from error
        self._root = str(root).rstrip("/")

    def _relative(self, full: str) -> str:
        root = self._root.lstrip("/")
        bare = full.lstrip("/")
        return bare[len(root) :].lstrip("/") if bare.startswith(f"{root}/") or not root else ""


def _mark(facts: dict[str, Any], size: int) -> str:
    """Names an object's version; empty where the store tells none, so that its bytes are compared."""
    told = [str(facts[name]) for name in _VERSIONS if facts.get(name)]
    return hashlib.sha256(f"{size}|{told}".encode()).hexdigest()[:32] if told else ""


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        return datetime.fromisoformat(str(value)) if value else None
    except (ValueError, OverflowError, OSError):
        return None
