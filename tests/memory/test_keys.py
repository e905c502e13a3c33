from __future__ import annotations

import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import AuditRow
from assistant.errors import InputError, NotFoundError
from assistant.masking import mask
from assistant.memory import keys, people


async def test_a_key_counts_for_its_source_until_it_is_revoked_and_is_kept_nowhere(db: Database) -> None:
    key_id, key = await keys.add(db, " nightly  export ", "crm", "ada")
    found = await keys.find(db, key)
    assert found is not None
    assert (found.scope, found.source, found.person_id) == ("push", "crm", None)
    (row,) = await keys.everyone(db)
    assert (row.name, row.source, row.created_by) == ("nightly export", "crm", "ada")
    assert row.used_at is not None
    assert key.partition(f"{key_id}-")[2] not in row.model_dump_json()
    assert mask(f"refused {key} today") == "refused [key] today"
    await keys.revoke(db, key_id, "ada")
    await keys.revoke(db, key_id, "ada")
    assert await keys.find(db, key) is None


@pytest.mark.parametrize("wrong", ["", "pk", "pk-", "pk--", "pk-x-y", "x" * 5000, "pk-\x00-\ud800", "é"])
async def test_what_is_no_key_counts_for_nothing(db: Database, wrong: str) -> None:
    await keys.add(db, "one", "crm", "ada")
    assert await keys.find(db, wrong) is None


async def test_the_secret_of_one_key_does_not_go_with_the_id_of_another(db: Database) -> None:
    (first, one), (second, two) = await keys.add(db, "a", "crm", "x"), await keys.add(db, "b", "wiki", "x")
    swapped = one.replace(first, second)
    assert swapped not in (one, two)
    assert await keys.find(db, swapped) is None


async def test_a_key_without_a_name_and_one_that_is_not_there_are_named(db: Database) -> None:
    with pytest.raises(InputError):
        await keys.add(db, " ", "crm", "x")
    with pytest.raises(NotFoundError):
        await keys.revoke(db, "none", "x")


async def test_a_key_to_ask_is_for_one_person_who_was_named(db: Database) -> None:
    ada = await people.add(db, "ada@example.test")
    key_id, key = await keys.add_to_ask(db, "bot", ada, "root")
    found = await keys.find(db, key)
    assert found is not None
    assert (found.scope, found.source, found.person_id) == ("ask", "", ada.id)
    async with db.read() as session:
        audit = (await session.exec(select(AuditRow))).one()
    assert (audit.person, audit.subject) == ("root", f"{key_id} asks as ada@example.test")
