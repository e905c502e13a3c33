"""Opens a source by its kind. What a kind needs is imported only for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.domain import EVERYONE
from assistant.index.sources.origin import Origin
from assistant.settings import Source


def location(source: Source, home: Path) -> str:
    """Where the files of a source are; `home` is the folder for what sources keep themselves."""
    if source.kind in {"folder", "mail"}:
        return str(source.path)
    return source.url if source.kind == "files" else str(home / source.name)


def remembered(name: str, place: str, owner: str, settings: dict[str, Any]) -> Source:
    """A source that was indexed before, by what its row says of it. One of the command line is known by its path."""
    if settings.get("kind", "folder") != "folder":
        return Source.model_validate(settings)
    return Source.model_construct(
        name=name, path=Path(place), groups=[EVERYONE], include=["**"], exclude=[], owner=owner, access=[]
    )


def opened(source: Source, place: str, limit: int = 50_000_000) -> Origin:
    """The source for a run, or to read one of its documents. `place` is its `location`, `limit` is in bytes."""
    if source.kind == "git":
        from assistant.index.sources.git import Git

        return Git(source, Path(place))
    if source.kind == "web":
        from assistant.index.sources.website import Website

        return Website(source, Path(place), limit)
    if source.kind == "files":
        from assistant.index.sources.files import Files

        return Files(source)
    if source.kind == "mail":
        from assistant.index.sources.mail import Mail

        return Mail(source)
    if source.kind == "push":
        from assistant.index.sources.push import Push

        return Push(source, Path(place))
    from assistant.index.sources.folder import Folder

    return Folder(source)
