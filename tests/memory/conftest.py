from __future__ import annotations

import pytest

from assistant.database.engine import Database
from assistant.domain import ADMINS, Asker
from assistant.memory import people
from tests.databases import db, migrated_file, postgres

__all__ = ["db", "migrated_file", "postgres"]


@pytest.fixture
async def ada(db: Database) -> Asker:
    return people.asker_of(await people.add(db, "ada@example.test", name="Ada", groups=["finance"]))


@pytest.fixture
async def bob(db: Database) -> Asker:
    return people.asker_of(await people.add(db, "bob@example.test", name="Bob"))


@pytest.fixture
async def admin(db: Database) -> Asker:
    return people.asker_of(await people.add(db, "root@example.test", groups=[ADMINS]))
