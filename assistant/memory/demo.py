"""The people of the demo, and the passwords with which one signs in as them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import Any

from assistant.database.engine import Database
from assistant.domain import EVERYONE
from assistant.errors import InputError
from assistant.memory import people
from assistant.settings import Settings

ACCOUNTS_FILE = "demo-accounts.json"
_WORDS = (
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "inlet",
    "juniper",
    "lagoon",
    "maple",
)


async def make(settings: Settings, db: Database) -> None:
    """Make the demo's people once, with passwords of this installation; never beside other accounts."""
    file = settings.data / ACCOUNTS_FILE
    if file.exists() or await people.everyone(db):
        return
    made = []
    for person in settings.demo_people:
        password = f"{secrets.choice(_WORDS)}-{secrets.choice(_WORDS)}-{secrets.randbelow(9000) + 1000}"
        with contextlib.suppress(InputError):
            await people.add(
                db, person.email, name=person.name, title=person.title, password=password, groups=person.groups
            )
            made.append({"email": person.email, "password": password, "groups": [EVERYONE, *person.groups]})
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump(made, out, indent=1)


def accounts(settings: Settings) -> list[dict[str, Any]]:
    """The demo's accounts with their passwords, for printing at start; empty when it is not the demo."""
    file = settings.data / ACCOUNTS_FILE
    if not settings.demo or not file.exists():
        return []
    return list(json.loads(file.read_text()))
