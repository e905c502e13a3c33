"""Templates of a person's own pages, with the words of their language."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from markupsafe import Markup

from assistant.domain import Asker
from assistant.texts import say
from assistant.web.admin.render import when
from assistant.web.in_words import place
from assistant.web.sessions import present
from assistant.web.templating import templates

_templates = templates(Path(__file__).parent / "templates")
_OURS = ("/documents/", "/me")
_markdown = MarkdownIt("commonmark", {"html": False}).disable("image")
_markdown.validateLink = lambda url: url.startswith(_OURS)  # type: ignore[method-assign]


def markdown(text: str) -> Markup:
    """An answer as a page shows it: no HTML of its own, no pictures, no links but to our own pages."""
    return Markup(_markdown.render(text))  # noqa: S704 - markdown-it escapes what it does not make


def page(request: Request, asker: Asker, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one, for the person who is signed in."""
    language = present().language
    text = _templates.get_template(name).render(
        t=lambda key, **more: say(language, f"me.{key}", **more),
        when=partial(when, language),
        where=partial(place, language),
        markdown=markdown,
        language=language,
        here=request.url.path,
        asker=asker,
        **values,
    )
    return HTMLResponse(text, status_code=status)
