"""How the pages that the server renders are made: strict templates in the shell that they share."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).parent / "pages"


def templates(folder: Path) -> Environment:
    """The templates of a folder, which may extend `shell.html`. A name that is not given is an error."""
    return Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
