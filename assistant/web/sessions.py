"""Who is at the other end of a request: signed tokens, and when they stop counting."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jwt

from assistant.database.engine import Database
from assistant.database.tables import Person
from assistant.domain import Asker
from assistant.memory import people
from assistant.settings import Settings

COOKIE = "access_token"
ZONE_COOKIE = "zone"
_CHUNKS = 10
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")


@dataclass(frozen=True)
class Visit:
    """One request or socket: where it comes from, in which language, and who has signed in, if anybody.

    `zone` is the one that the browser's clock is in; None while it has not said so.
    """

    address: str = ""
    language: str = "en"
    person: Person | None = None
    zone: tzinfo | None = None

    @property
    def asker(self) -> Asker | None:
        return people.asker_of(self.person) if self.person else None


_visit: ContextVar[Visit] = ContextVar("visit", default=Visit())  # noqa: B039 - frozen


def present() -> Visit:
    """The visit that the running code serves."""
    return _visit.get()


def enter(visit: Visit) -> None:
    """Make it the visit of everything that this task starts from now on."""
    _visit.set(visit)


@lru_cache(maxsize=1_000)
def zone_named(name: str) -> tzinfo | None:
    """A time zone as browsers call it, e.g. `Europe/Berlin`; None for what is none here."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def signing_secret(settings: Settings) -> str:
    """The configured secret, or one made once in the data folder, readable by its owner only."""
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    path = settings.data / "session-secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _owner_only(path.with_name(f".{path.name}-{secrets.token_hex(4)}"), secrets.token_urlsafe(48))
        try:
            # A link fails where the name exists: of two processes that start together, one secret wins.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="ascii").strip()


def _owner_only(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    return path


def stamp() -> dict[str, Any]:
    """What goes into a token besides who it names: when it was made, finer than the seconds of `iat`."""
    return {"at": time.time()}


async def person_of(db: Database, token: str, secret: str) -> Person | None:
    """The active person a token stands for; None when it is forged, expired, or made before their last sign-out."""
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["exp", "iat"]})
        made = float(claims["metadata"]["at"])
        who = str(claims["identifier"])
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return None
    person = await people.by_id(db, who)
    if person is None or not person.active:
        return None
    if person.tokens_after is not None and made <= person.tokens_after.timestamp():
        return None
    return person


def token_in(cookies: dict[str, str]) -> str:
    """The session token among the cookies, whole or in the pieces that Chainlit cuts a long one into."""
    if whole := cookies.get(COOKIE):
        return whole
    return "".join(cookies.get(f"{COOKIE}_{i}", "") for i in range(_CHUNKS))
