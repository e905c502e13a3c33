"""Who did what as an admin: written in a line each, read page by page."""

from __future__ import annotations

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import AuditRow
from assistant.domain import Asker

PAGE = 50


async def note(db: Database, admin: Asker, action: str, subject: str = "") -> None:
    """Write down what an admin did."""
    async with db.write() as session:
        session.add(AuditRow(person=admin.email, action=action, subject=subject))


async def entries(db: Database, person: str = "", before: int | None = None) -> list[AuditRow]:
    """What was done, by everybody or by one, the newest first; one more than a page holds where there is more."""
    statement = select(AuditRow).order_by(col(AuditRow.seq).desc()).limit(PAGE + 1)
    if person:
        statement = statement.where(AuditRow.person == person)
    if before is not None:
        statement = statement.where(col(AuditRow.seq) < before)
    async with db.read() as session:
        return list((await session.exec(statement)).all())


async def actors(db: Database) -> list[str]:
    """Everybody who stands in the log."""
    async with db.read() as session:
        return list((await session.exec(select(AuditRow.person).distinct().order_by(col(AuditRow.person)))).all())
