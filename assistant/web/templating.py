"""How the pages that the server renders are made: strict templates in the shell that they share."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

SHARED = Path(__file__).parent / "pages"


def code(text: str) -> Markup:
    """A sentence of ours in which `commands` look like commands."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def templates(folder: Path) -> Environment:
    """The templates of a folder, which may extend `shell.html`. A name that is not given is an error."""
    made = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = code
    return made
