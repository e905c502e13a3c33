"""A git repository at a ref, through the program `git`. Its bytes are read out of the object store, never from a tree
of files, so that no link, filter or hook of a repository counts."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from assistant.errors import InputError, ParseError
from assistant.index.sources.narrowing import SIDECAR_BYTES, Sidecars
from assistant.index.sources.origin import File, Found, address, too_large, wanted
from assistant.settings import Source

FETCH_S = 900
READ_S = 60
_REF = "refs/assistant/indexed"
_LIMITS = ("-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "fetch.fsckObjects=true")


class Git:
    """The files of a ref. What was fetched last is kept in `own`, a folder of the data folder."""

    def __init__(self, source: Source, own: Path) -> None:
        self._source, self._own = source, own
        self.note = ""

    def documents(self) -> Iterator[Found]:
        self._fetch()
        entries = [e for e in self._git("ls-tree", "-r", "-l", "-z", _REF).decode("utf-8", "replace").split("\0") if e]
        commit = self._git("rev-parse", _REF).decode().strip()
        dates = self._dates()
        listed = []
        for entry in entries:
            facts, _, path = entry.partition("\t")
            mode, kind, blob, told = facts.split()
            if kind == "blob":
                listed.append((path, mode, blob, int(told)))
        sidecars = Sidecars(lambda p: self.read(p, SIDECAR_BYTES).data, (path for path, *_ in listed))
        for path, mode, blob, size in listed:
            if not wanted(self._source, path):
                continue
            problem, groups = "", None
            if mode == "120000":
                problem = "a link to somewhere else; links are not followed"
            elif "\ufffd" in path:
                problem = "its name is not valid text; rename it"
            try:
                groups = sidecars.of(path)
            except ParseError as error:
                problem = problem or error.problem
            link = address(self._source, path, self._source.ref if self._source.ref != "HEAD" else commit)
            yield Found(self._source.name, path, size, dates.get(path), problem, mark=blob, link=link, groups=groups)

    def read(self, path: str, limit: int) -> File:
        name = f"{_REF}:{path}"
        if "\0" in path or not path:
            raise ParseError("lies outside its source")
        try:
            kind, size = self._git("cat-file", "--batch-check=%(objecttype) %(objectsize)", given=name).split()
            if kind != b"blob":
                raise ParseError("not a regular file")
            if int(size) > limit:
                raise ParseError(too_large(limit))
            return File(path, self._git("cat-file", "blob", name))
        except (InputError, ValueError) as error:
            raise ParseError("is not in the repository") from error

    def _fetch(self) -> None:
        if not (self._own / "HEAD").is_file():
            self._own.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", str(self._own), at=False)
        self._git(
            "fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules", self._source.url,
            f"+{self._source.ref}:{_REF}", seconds=FETCH_S,
        )  # fmt: skip

    def _dates(self) -> dict[str, datetime]:
        """When each file was last changed, by the commit that did it."""
        told = self._git("log", "-z", "--format=%x01%ct", "--name-only", "--no-renames", _REF, seconds=FETCH_S)
        dates: dict[str, datetime] = {}
        moment = datetime.fromtimestamp(0, UTC)
        for part in told.decode("utf-8", "replace").split("\0"):
            for piece in filter(None, part.split("\n")):
                if piece.startswith("\x01"):
                    moment = _moment(piece[1:], moment)
                else:
                    dates.setdefault(piece, moment)
        return dates

    def _git(self, *words: str, given: str = "", at: bool = True, seconds: float = READ_S) -> bytes:
        where = ["--git-dir", str(self._own)] if at else []
        try:
            done = subprocess.run(  # noqa: S603 - a program by name with a list of words, no shell
                ["git", *_LIMITS, *where, *words],  # noqa: S607
                input=given.encode(),
                capture_output=True,
                check=False,
                timeout=seconds,
                env={**os.environ, **self._surroundings()},
            )
        except FileNotFoundError as error:
            raise InputError("git is not installed.", "Install it: the source needs it.") from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"took longer than {seconds:.0f} seconds") from error
        if done.returncode:
            raise self._failed(done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def _failed(self, told: str) -> InputError:
        words = " ".join(told.split())[:300]
        if secret := self._source.secret:
            words = words.replace(secret, "…")
        return InputError(
            f"The repository of {self._source.name} cannot be read: {words}.",
            "Correct url, ref or secret_env of the source, or try again later.",
        )

    def _surroundings(self) -> dict[str, str]:
        """No questions on a terminal, no transport but the usual ones, a token for the source's own host only."""
        given = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }
        parts = urlsplit(self._source.url)
        if self._source.secret and parts.scheme == "https":
            token = base64.b64encode(f"x-access-token:{self._source.secret}".encode()).decode()
            given |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"http.https://{parts.netloc}/.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: Basic {token}",
            }
        return given


def _moment(seconds: str, otherwise: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return otherwise
