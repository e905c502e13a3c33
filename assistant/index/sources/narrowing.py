"""Groups that stand beside documents, in `NAME.access.toml` or a folder's `.access.toml`. They only ever narrow."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable

from assistant.domain import EVERYONE
from assistant.errors import ParseError

SUFFIX = ".access.toml"
SIDECAR_BYTES = 64_000
MOST_GROUPS = 50


def is_sidecar(path: str) -> bool:
    """Whether a file tells who may read others, and so is no document itself."""
    return path.endswith(SUFFIX)


def narrower(allowed: Collection[str], said: Collection[str]) -> list[str]:
    """The groups that both admit. Where one admits everyone the other decides; none left admits nobody."""
    if EVERYONE in said:
        return sorted(allowed)
    if EVERYONE in allowed:
        return sorted(said)
    return sorted(set(allowed) & set(said))


def named(value: object) -> tuple[str, ...] | None:
    """The groups that a document or a sidecar names, as text or a list; None where it names none.

    Raises `ParseError` for anything else: what was meant as a restriction must not be passed over.
    """
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and len(n) <= 80 for n in names):
        raise ParseError("its groups are no list of names, so nobody may read it; correct them")
    found = tuple(sorted({n.strip() for n in names if n.strip()}))
    if not found or len(found) > MOST_GROUPS:
        raise ParseError(f"its groups must be 1 to {MOST_GROUPS} names, so nobody may read it; correct them")
    return found


class Sidecars:
    """The sidecars of a tree of files. `read` gives the bytes of one by its path."""

    def __init__(self, read: Callable[[str], bytes], there: Iterable[str] = ()) -> None:
        self._read = read
        self._there = {p for p in there if is_sidecar(p)}
        self._known: dict[str, tuple[str, ...]] = {}

    def add(self, paths: Iterable[str]) -> None:
        """Say which files are there; a folder's must be known before its documents are asked about."""
        self._there.update(p for p in paths if is_sidecar(p))

    def of(self, path: str) -> tuple[str, ...] | None:
        """The groups that the sidecars of a document and of the folders above it leave; None where there are none.

        Raises `ParseError` when one of them cannot be read.
        """
        folders = path.split("/")[:-1]
        above = ["/".join([*folders[:depth], SUFFIX]) for depth in range(len(folders) + 1)]
        left: Collection[str] | None = None
        for sidecar in (*above, path + SUFFIX):
            if sidecar in self._there:
                said = self._groups(sidecar)
                left = said if left is None else narrower(left, said)
        return None if left is None else tuple(left)

    def _groups(self, sidecar: str) -> tuple[str, ...]:
        if sidecar not in self._known:
            try:
                read = tomllib.loads(self._read(sidecar).decode("utf-8-sig"))
                groups = named(read.get("groups"))
            except (ParseError, ValueError, RecursionError) as error:
                raise ParseError(f"{sidecar}, which says who may read it, cannot be read; correct it") from error
            if groups is None or set(read) != {"groups"}:
                raise ParseError(f"{sidecar} must hold groups = [...] and nothing else; correct it")
            self._known[sidecar] = groups
        return self._known[sidecar]
