"""Failed sign-ins, counted in SQL, so that every process of the installation counts them together."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import delete, func
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import SignInTry
from assistant.domain import now


def _key(name: str) -> str:
    # Who tried from where is nobody's business: what is kept only tells same from other.
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


async def exhausted(db: Database, limits: dict[str, int], per_s: float) -> bool:
    """Whether any of these names has failed as often as it may within the last `per_s` seconds."""
    keys = {_key(name): most for name, most in limits.items()}
    recent = (
        select(SignInTry.key, func.count())
        .where(col(SignInTry.key).in_(keys), SignInTry.at > now() - timedelta(seconds=per_s))
        .group_by(col(SignInTry.key))
    )
    async with db.read() as session:
        return any(count >= keys[key] for key, count in (await session.exec(recent)).all())


async def take(db: Database, names: list[str], per_s: float) -> list[int]:
    """Count a try against each of these; what is too old to count is dropped. Returns what names the tries."""
    moment = now()
    rows = [SignInTry(key=_key(name), at=moment) for name in names]
    async with db.write() as session:
        await session.exec(delete(SignInTry).where(col(SignInTry.at) <= moment - timedelta(seconds=per_s)))
        session.add_all(rows)
    return [row.seq for row in rows if row.seq is not None]


async def worked(db: Database, account: str, taken: list[int]) -> None:
    """A password was right: the account's tries and this one count no more, others of the same address still do."""
    async with db.write() as session:
        gone = (col(SignInTry.key) == _key(account)) | col(SignInTry.seq).in_(taken)
        await session.exec(delete(SignInTry).where(gone))
