"""Accounts: who may sign in, with which groups, and since when a session counts."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.orm import Mapped
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import Person
from assistant.domain import EVERYONE, Asker, now
from assistant.errors import InputError, NotFoundError
from assistant.texts import LANGUAGES

MIN_PASSWORD = 10
_hasher = PasswordHasher()


@lru_cache(maxsize=1)
def _decoy_hash() -> str:
    """A hash to check when there is no such account, so that both refusals take as long."""
    return _hasher.hash(secrets.token_hex())


def asker_of(person: Person) -> Asker:
    """The person as the rest of the product sees who asks."""
    return Asker(
        person_id=person.id, email=person.email, name=person.name, groups=frozenset(person.groups) | {EVERYONE}
    )


def _clean_email(email: str) -> str:
    email = email.strip().lower()
    if not (3 <= len(email) <= 254) or email.count("@") != 1 or any(c.isspace() or not c.isprintable() for c in email):
        raise InputError("That is not an e-mail address.", "Write it like name@company.example.")
    return email


def clean_groups(groups: Iterable[str]) -> list[str]:
    """Groups as they are stored: trimmed, sorted, each once, without the one that everybody is in."""
    return sorted({g.strip() for g in groups if g.strip()} - {EVERYONE})


def _bytes(password: str) -> bytes:
    """What is hashed; a browser can send half a character, which plain UTF-8 refuses."""
    return password.encode("utf-8", "surrogatepass")


async def _hash(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise InputError("The password is too short.", f"Use at least {MIN_PASSWORD} characters.")
    return await asyncio.to_thread(_hasher.hash, _bytes(password))


async def add(
    db: Database, email: str, *, name: str = "", title: str = "", password: str = "", groups: Iterable[str] = ()
) -> Person:
    """Make an account. Without a password it can only be used through single sign-on or a trusted proxy."""
    person = Person(email=_clean_email(email), name=name, title=title, groups=clean_groups(groups))
    if password:
        person.password_hash = await _hash(password)
    async with db.write() as session:
        if not await insert_new(session, person):
            raise InputError(f"There is already an account for {person.email}.", "Change that one instead.")
    return person


async def by_email(db: Database, email: str) -> Person | None:
    async with db.read() as session:
        return (await session.exec(select(Person).where(Person.email == email.strip().lower()))).first()


async def by_id(db: Database, person_id: str) -> Person | None:
    async def work(session: AsyncSession) -> Person | None:
        return await session.get(Person, person_id)

    return await db.reading(work)


async def everyone(db: Database) -> list[Person]:
    async with db.read() as session:
        return list((await session.exec(select(Person).order_by(col(Person.email)))).all())


async def asker(db: Database, email: str) -> Asker:
    """Who asks, by e-mail. Raises `NotFoundError` when there is no active account."""
    person = await by_email(db, email)
    if person is None or not person.active:
        raise NotFoundError(f"There is no active account for {email}.", "See `assistant users list`.")
    return asker_of(person)


async def named_in(db: Database, text: str) -> Person | None:
    """The active person whose e-mail address or whole name stands first in a text such as `Ada Byron, Finance`."""
    lower = " ".join(text.split()).lower()
    if not lower:
        return None

    def within(column: Mapped[str]) -> ColumnElement[bool]:
        # Both databases know `replace`; how to find one text in another each calls by a name of its own.
        return and_(column != "", func.length(func.replace(lower, func.lower(column), "")) < len(lower))

    statement = select(Person).where(col(Person.active), or_(within(col(Person.email)), within(col(Person.name))))
    async with db.read() as session:
        found = (await session.exec(statement.limit(50))).all()
    places = {
        p.id: re.search(
            rf"(?<![\w.@-])(?:{re.escape(p.email.lower())}|{re.escape(p.name.lower()) or '(?!)'})(?![\w@-])", lower
        )
        for p in found
    }
    standing = [(m.start(), -len(m.group()), p) for p in found if (m := places[p.id])]
    first = min(standing, key=lambda s: s[:2], default=None)
    if first is None or sum(s[:2] == first[:2] for s in standing) > 1:
        return None  # of two people of the same name neither is meant for sure
    return first[2]


async def authenticate(db: Database, email: str, password: str) -> Person | None:
    """The active person with this password, or None; the same time passes either way."""
    person = await by_email(db, email)
    known = person is not None and person.active and bool(person.password_hash)
    stored = person.password_hash if person is not None and known else _decoy_hash()
    try:
        await asyncio.to_thread(_hasher.verify, stored, _bytes(password))
    except (VerificationError, InvalidHashError):
        return None
    return person if known else None


async def _change(db: Database, email: str, **values: object) -> Person:
    async with db.write() as session:
        person = (await session.exec(select(Person).where(Person.email == email.strip().lower()))).first()
        if person is None:
            raise NotFoundError(f"There is no account for {email}.", "See `assistant users list`.")
        for name, value in values.items():
            setattr(person, name, value)
        session.add(person)
        return person


async def set_password(db: Database, email: str, password: str) -> None:
    """Change the password and end every session of that person."""
    await _change(db, email, password_hash=await _hash(password), tokens_after=now())


async def set_groups(db: Database, email: str, groups: Iterable[str]) -> Person:
    """Replace the groups; it holds from the next question."""
    return await _change(db, email, groups=clean_groups(groups))


async def set_language(db: Database, email: str, language: str) -> None:
    """The language that a person reads us in; empty: whichever the browser names."""
    if language not in {"", *LANGUAGES}:
        raise InputError("That is no language of ours.", f"Choose one of: {', '.join(LANGUAGES)}.")
    await _change(db, email, language=language)


async def set_active(db: Database, email: str, active: bool) -> None:
    """Let a person in again, or out: then every session of theirs ends."""
    await _change(db, email, active=active, tokens_after=now())


async def revoke_sessions(db: Database, email: str) -> None:
    """Void every session token issued up to now."""
    await _change(db, email, tokens_after=now())
