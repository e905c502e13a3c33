"""Accounts: passwords are hashed and never told apart by time, groups are clean, sessions end when they must."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters

from assistant.database.engine import Database
from assistant.domain import ADMINS, EVERYONE
from assistant.errors import InputError, NotFoundError
from assistant.memory import people

PASSWORD = "larkspur-meadow-4711"
REAL = people._hasher


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes that cost about 5 ms instead of 50; what the real ones cost is a promise of its own."""
    monkeypatch.setattr(people, "_hasher", PasswordHasher(time_cost=2, memory_cost=4_096, parallelism=1))
    people._decoy_hash.cache_clear()
    yield
    people._decoy_hash.cache_clear()


def test_a_hash_costs_whoever_steals_it_as_much_as_owasp_asks() -> None:
    assert REAL.type is Type.ID
    assert REAL.memory_cost >= 19 * 1024
    assert REAL.time_cost >= 2


async def test_a_password_is_kept_as_an_argon2_hash_of_its_own(db: Database) -> None:
    await people.add(db, "ada@example.test", password=PASSWORD)
    await people.add(db, "bob@example.test", password=PASSWORD)
    ada, bob = await people.everyone(db)
    assert ada.password_hash.startswith("$argon2id$")
    assert PASSWORD not in ada.password_hash
    assert ada.password_hash != bob.password_hash


async def test_the_right_password_lets_in_and_every_other_does_not(db: Database) -> None:
    made = await people.add(db, "ada@example.test", password=PASSWORD)
    found = await people.authenticate(db, " Ada@Example.TEST ", PASSWORD)
    assert found is not None
    assert found.id == made.id
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), "\x00", "\ud800", "x" * 100_000):
        assert await people.authenticate(db, "ada@example.test", wrong) is None


@pytest.mark.parametrize(
    "email", ["nobody@example.test", "", "ada@example.test\x00", "\ud800", "' OR '1'='1", "x" * 10_000]
)
async def test_an_unknown_account_reads_like_a_wrong_password(db: Database, email: str) -> None:
    await people.add(db, "ada@example.test", password=PASSWORD)
    assert await people.authenticate(db, email, PASSWORD) is None


async def test_an_account_without_a_password_has_no_password_that_fits(db: Database) -> None:
    await people.add(db, "sso@example.test")
    for password in ("", "x", PASSWORD):
        assert await people.authenticate(db, "sso@example.test", password) is None


async def test_a_refusal_costs_the_same_whether_or_not_there_is_such_an_account(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.add(db, "ada@example.test", password=PASSWORD)
    await people.add(db, "sso@example.test")
    await people.add(db, "gone@example.test", password=PASSWORD)
    await people.set_active(db, "gone@example.test", False)
    costs: list[Parameters] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2 names it
            costs.append(extract_parameters(str(hash)))
            return super().verify(hash, password)

    monkeypatch.setattr(people, "_hasher", Counting(time_cost=2, memory_cost=4_096, parallelism=1))
    for email in ("ada@example.test", "nobody@example.test", "sso@example.test", "gone@example.test"):
        assert await people.authenticate(db, email, "not the password") is None
    assert len(costs) == 4
    assert costs.count(costs[0]) == 4


@pytest.mark.parametrize("password", ["short", "123456789"])
async def test_a_short_password_is_refused_and_changes_nothing(db: Database, password: str) -> None:
    with pytest.raises(InputError, match="too short"):
        await people.add(db, "ada@example.test", password=password)
    assert await people.everyone(db) == []
    await people.add(db, "ada@example.test", password=PASSWORD)
    with pytest.raises(InputError, match="at least 10"):
        await people.set_password(db, "ada@example.test", password)
    assert await people.authenticate(db, "ada@example.test", PASSWORD)


@pytest.mark.parametrize(
    "email",
    ["", "ada", "a@", "@", "a@b@c.test", "a b@example.test", "a\n@example.test", "a\x00@b.test", "a" * 255 + "@b.test"],
)
async def test_what_is_no_address_makes_no_account(db: Database, email: str) -> None:
    with pytest.raises(InputError, match="not an e-mail address"):
        await people.add(db, email)


async def test_there_is_one_account_for_an_address_even_when_several_add_it_at_once(db: Database) -> None:
    ended = await asyncio.gather(
        *(people.add(db, email) for email in ["ada@example.test", "ADA@example.test "] * 5), return_exceptions=True
    )
    assert sorted(type(e).__name__ for e in ended) == ["InputError"] * 9 + ["Person"]
    assert len(await people.everyone(db)) == 1


async def test_groups_are_kept_once_trimmed_and_sorted_and_everyone_is_implied(db: Database) -> None:
    person = await people.add(db, "ada@example.test", groups=[" finance ", "admins", "finance", "", " ", EVERYONE])
    assert person.groups == ["admins", "finance"]
    asker = await people.asker(db, "ADA@example.test")
    assert asker.groups == {EVERYONE, "admins", "finance"}
    assert asker.is_admin
    assert (await people.set_groups(db, "ada@example.test", [EVERYONE])).groups == []
    asker = await people.asker(db, "ada@example.test")
    assert asker.groups == {EVERYONE}
    assert not asker.is_admin
    assert ADMINS not in asker.groups


async def test_a_person_let_go_cannot_ask_nor_sign_in_and_may_come_back(db: Database) -> None:
    await people.add(db, "ada@example.test", password=PASSWORD)
    await people.set_active(db, "ada@example.test", False)
    with pytest.raises(NotFoundError):
        await people.asker(db, "ada@example.test")
    assert await people.authenticate(db, "ada@example.test", PASSWORD) is None
    await people.set_active(db, "ada@example.test", True)
    assert await people.authenticate(db, "ada@example.test", PASSWORD)


@pytest.mark.parametrize("how", ["password", "removal", "sign-out"])
async def test_a_new_password_removal_and_sign_out_end_every_session_given_before(db: Database, how: str) -> None:
    person = await people.add(db, "ada@example.test", password=PASSWORD)
    assert person.tokens_after is None
    issued = person.created_at
    await {
        "password": lambda: people.set_password(db, "ada@example.test", PASSWORD + "2"),
        "removal": lambda: people.set_active(db, "ada@example.test", False),
        "sign-out": lambda: people.revoke_sessions(db, "ada@example.test"),
    }[how]()
    after = await people.by_id(db, person.id)
    assert after is not None
    assert after.tokens_after is not None
    assert after.tokens_after > issued


async def test_changing_groups_ends_no_session(db: Database) -> None:
    await people.add(db, "ada@example.test")
    assert (await people.set_groups(db, "ada@example.test", ["finance"])).tokens_after is None


async def test_changing_an_unknown_account_says_that_there_is_none(db: Database) -> None:
    for change in (
        people.set_groups(db, "no@example.test", []),
        people.set_active(db, "no@example.test", True),
        people.revoke_sessions(db, "no@example.test"),
        people.set_password(db, "no@example.test", PASSWORD),
    ):
        with pytest.raises(NotFoundError, match=r"no account for no@example\.test"):
            await change


async def test_people_are_listed_by_address(db: Database) -> None:
    for name in ("c", "a", "b"):
        await people.add(db, f"{name}@example.test")
    assert [p.email[0] for p in await people.everyone(db)] == ["a", "b", "c"]
