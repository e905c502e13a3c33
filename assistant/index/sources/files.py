"""An object store or a file share, through fsspec: S3, Google Cloud Storage, Azure, SFTP and their like."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.arrow import ArrowFSWrapper

from assistant.domain import now
from assistant.errors import InputError, ParseError
from assistant.index.sources.narrowing import SIDECAR_BYTES, Sidecars
from assistant.index.sources.origin import File, Found, address, too_large, wanted
from assistant.settings import Source

# Protocols that hold files of their own. Those that wrap others, or read the web, would reach what nobody named.
PROTOCOLS = {
    "s3": "", "s3a": "", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure",
    "sftp": "sftp", "ssh": "sftp", "memory": "",
}  # fmt: skip
# What the protocols call the version of an object.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "generation")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
# What gcsfs takes for a way to a key, and not for a token.
_OF_THIS_MACHINE = {"google_default", "cache", "cloud", "anon"}
# Stores tell times by the second: within the same one an object may still change.
_SETTLED = timedelta(seconds=2)
# How S3, Google, Azure and SSH word it that they know no such name or key, or give it no right.
_REFUSED = re.compile(
    r"INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|ACCESS_DENIED|AuthenticationException|ClientAuthenticationError"
    r"|failed to authenticate|PermissionError|Forbidden|\b40[13]\b"
)


class _S3(ArrowFSWrapper):  # type: ignore[misc]
    """S3 through pyarrow. One request lists a thousand objects, whatever their folders."""

    def find(self, path: str, detail: bool = True, **_: Any) -> dict[str, dict[str, Any]]:
        from pyarrow.fs import FileSelector

        found = self.fs.get_file_info(FileSelector(path, recursive=True))
        return {i.path: self._make_entry(i) for i in found if i.is_file}


class Files:
    """The objects below an address."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.note = ""
        self._fs: Any = None
        self._root = ""
        # A run reads several documents at once, and paramiko's answers then go to the wrong thread.
        one_at_a_time = PROTOCOLS.get(source.url.partition("://")[0]) == "sftp"
        self._turn = threading.Lock() if one_at_a_time else contextlib.nullcontext()

    def documents(self) -> Iterator[Found]:
        try:
            self._open()
            # What the driver remembers of an earlier list would hide what is new.
            self._fs.invalidate_cache()
            with self._turn:
                found = self._fs.find(self._root, detail=True)
            if not found and not self._fs.exists(self._root):
                raise FileNotFoundError("there is nothing at that address")
        except InputError:
            raise
        except Exception as error:
            # Each driver raises errors of its own.
            told = " ".join(str(error).split())[:200]
            if _REFUSED.search(f"{type(error).__name__} {told}"):
                raise InputError(
                    f"The store of {self._source.name} refused the name or the key it was given.",
                    f"Correct the value of {self._source.secret_env or 'secret_env'}, or the rights of its account.",
                ) from error
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
            if facts.get("islink") or facts.get("type") == "link":
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
                self._source.name, path, size, moment, problem, mark=_mark(facts, size, moment),
                link=address(self._source, path), groups=groups,
            )  # fmt: skip

    def read(self, path: str, limit: int) -> File:
        if ".." in path.split("/") or "\0" in path:
            raise ParseError("lies outside its source")
        try:
            self._open()
            with self._turn, self._fs.open(f"{self._root}/{path}", "rb") as file:
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
            if protocol in {"s3", "s3a"}:
                fs, root = _s3(options), self._source.url.partition("://")[2]
            elif PROTOCOLS[protocol] == "gcs":
                fs, root = _google(options), self._source.url.partition("://")[2]
            else:
                options = _to_a_known_host(options) if PROTOCOLS[protocol] == "sftp" else options
                fs, root = fsspec.core.url_to_fs(self._source.url, **options)
        except (ValueError, TypeError, KeyError) as error:
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
        self._fs = fs

    def _relative(self, full: str) -> str:
        root = self._root.lstrip("/")
        bare = full.lstrip("/")
        return bare[len(root) :].lstrip("/") if bare.startswith(f"{root}/") or not root else ""


def _s3(options: dict[str, Any]) -> _S3:
    from pyarrow.fs import S3FileSystem

    return _S3(S3FileSystem(**options), skip_instance_cache=True)


def _google(options: dict[str, Any]) -> Any:
    """Google's store by its JSON API.

    The class that gcsfs registers asks over gRPC for the kind of the bucket first, for a minute a file where only HTTP
    gets through.
    """
    from gcsfs.core import GCSFileSystem
    from google.oauth2.credentials import Credentials

    if "type" in options:
        # A key file as Google gives it out; gcsfs would pass over it and look for another key on this machine.
        options = {"token": options}
    token = options.get("token")
    if isinstance(token, str) and token not in _OF_THIS_MACHINE and not os.path.isfile(token):
        # gcsfs would ask Google for how long it is good, in an address that its errors show.
        options = options | {"token": Credentials(token)}
    return GCSFileSystem(**{"access": "read_only", "skip_instance_cache": True} | options)


def _to_a_known_host(options: dict[str, Any]) -> dict[str, Any]:
    """SSH without a look at the server's key would give the password to whoever answers."""
    if "host_key_policy" in options:
        return options
    import paramiko

    known = Path(options.pop("known_hosts", "~/.ssh/known_hosts")).expanduser()

    class Known(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            if not (known.is_file() and paramiko.HostKeys(str(known)).check(hostname, key)):
                raise paramiko.SSHException(f"the key of {hostname} is not in {known}; see ssh-keyscan")

    return options | {"host_key_policy": Known}


def _mark(facts: dict[str, Any], size: int, moment: datetime | None) -> str:
    """Names an object's version; empty where the store tells none for sure, so that its bytes are compared."""
    told = [str(facts[name]) for name in _VERSIONS if facts.get(name)]
    if not told and (moment is None or now() - moment < _SETTLED):
        return ""
    return hashlib.sha256(f"{size}|{told}|{moment}".encode()).hexdigest()[:32]


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        return datetime.fromisoformat(str(value)) if value else None
    except (ValueError, OverflowError, OSError):
        return None
