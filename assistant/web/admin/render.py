"""Templates of the admin pages, with the words of the reader's language."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from assistant.domain import Asker, now
from assistant.texts import day, figure, reason, say
from assistant.web.in_words import place
from assistant.web.sessions import present
from assistant.web.templating import templates

_templates = templates(Path(__file__).parent / "templates")


def _say(language: str, key: str, **values: object) -> str:
    return say(language, f"admin.{key}", **values)


def when(language: str, moment: datetime | None, *, clock: bool = False) -> str:
    """Today by the clock, another day by its date, and with `clock` its time too.

    The clock is that of the reader's browser, and UTC, said so, where that is not known.
    """
    if moment is None:
        return ""
    zone = present().zone
    moment = moment.astimezone(zone or UTC)
    hour = f"{moment:%H:%M}" if zone else f"{moment:%H:%M} UTC"
    if moment.date() == now().astimezone(moment.tzinfo).date():
        return say(language, "admin.today_at", clock=hour)
    return f"{day(language, moment)}, {hour}" if clock else day(language, moment)


def did(language: str, action: str) -> str:
    """An entry of the audit log in words; one that we have no words for as it stands."""
    name = action.replace(" ", "_").replace("-", "_")
    try:
        return say(language, f"admin.did_{name}")
    except KeyError:
        return action


def with_what(language: str, action: str, subject: str) -> str:
    """What a deed of the audit log was done with: names and numbers as they stand, what we say of them in words."""
    if action == "re-index":
        return ", ".join(reason(language, part) for part in subject.split(", "))
    return reason(language, subject) if action in {"add key", "dismiss contradiction"} else subject


# Who is no person, as rows of the database name it.
_BY_ITSELF = {"first start": "by_first_start", "schedule": "by_schedule", "command line": "by_command_line",
              "indexing run": "by_indexing_run", "damage check": "by_damage_check"}  # fmt: skip


def by(language: str, who: str) -> str:
    """Who did something: an e-mail address as it stands, what runs by itself in words."""
    return say(language, f"admin.{_BY_ITSELF[who]}") if who in _BY_ITSELF else who


def page(request: Request, asker: Asker, name: str, **values: Any) -> HTMLResponse:
    """A page, or a part of one, for an admin."""
    language = present().language
    text = _templates.get_template(name).render(
        t=partial(_say, language),
        when=partial(when, language),
        where=partial(place, language),
        did=partial(did, language),
        with_what=partial(with_what, language),
        whose=partial(by, language),
        on_day=lambda text: day(language, datetime.fromisoformat(text)),
        why=partial(reason, language),
        n=partial(figure, language),
        language=language,
        here=request.url.path,
        asker=asker,
        **values,
    )
    return HTMLResponse(text)
