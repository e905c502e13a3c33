"""Keys of programs, each for one thing: to push documents into a source, or to ask as a person. Kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ApiKeyRow, AuditRow, Person
from assistant.domain import now
from assistant.errors import InputError, NotFoundError

# As masked in logs: see `masking`.
PREFIX = "pk"
# When a key was used is noted no more often.
_NOTED = timedelta(minutes=1)


def _hash(secret: str) -> str:
    # The secret is 256 random bits: there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


async def add(db: Database, name: str, source: str, by: str) -> tuple[str, str]:
    """Make a key that pushes documents into a source. Returns its id, and the key itself, which is kept nowhere."""
    return await _add(db, ApiKeyRow(id="", name=name, scope="push", source=source, hash=""), by, source)


async def add_to_ask(db: Database, name: str, person: Person, by: str) -> tuple[str, str]:
    """Make a key that asks as this person, whom an admin has named for it. Returns its id, and the key itself."""
    row = ApiKeyRow(id="", name=name, scope="ask", person_id=person.id, hash="")
    return await _add(db, row, by, f"asks as {person.email}")


async def _add(db: Database, row: ApiKeyRow, by: str, what: str) -> tuple[str, str]:
    name = " ".join(row.name.split())
    if not 1 <= len(name) <= 80:
        raise InputError("The name of a key must have 1 to 80 characters.", "Name what it is for.")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    async with db.write() as session:
        row.id, row.name, row.hash, row.created_by = key_id, name, _hash(secret), by
        session.add(row)
        session.add(AuditRow(person=by, action="add key", subject=f"{key_id} {what}"))
    return key_id, f"{PREFIX}-{key_id}-{secret}"


async def everyone(db: Database) -> list[ApiKeyRow]:
    async with db.read() as session:
        return list((await session.exec(select(ApiKeyRow).order_by(col(ApiKeyRow.created_at)))).all())


async def revoke(db: Database, key_id: str, by: str) -> None:
    """End a key; ending it again changes nothing. Raises `NotFoundError` when there is none of that id."""
    async with db.write() as session:
        row = await session.get(ApiKeyRow, key_id)
        if row is None:
            raise NotFoundError(f"There is no key {key_id[:40]}.", "See `assistant keys list`.")
        if row.revoked_at is None:
            row.revoked_at = now()
            session.add(row)
            session.add(AuditRow(person=by, action="revoke key", subject=key_id))


async def find(db: Database, key: str) -> ApiKeyRow | None:
    """What a key is for; None for one that is unknown, wrong or revoked."""
    prefix, _, rest = key.partition("-")
    key_id, _, secret = rest.partition("-")
    if prefix != PREFIX or not key_id or len(key) > 200:
        return None
    async with db.read() as session:
        row = await session.get(ApiKeyRow, key_id)
    if not hmac.compare_digest(_hash(secret), row.hash if row else _hash("")) or row is None or row.revoked_at:
        return None
    if row.used_at is None or now() - row.used_at > _NOTED:
        async with db.write() as session:
            if (fresh := await session.get(ApiKeyRow, key_id)) is not None:
                fresh.used_at = now()
                session.add(fresh)
    return row
