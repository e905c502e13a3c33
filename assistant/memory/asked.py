"""Questions that programs asked with a key: which of them are whose, and how many a minute."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, func
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import ApiKeyRow, ApiQuestionRow
from assistant.domain import now
from assistant.errors import LimitError, NotFoundError


async def begin(db: Database, key: ApiKeyRow, answer_id: str, thread_id: str, *, goes_on: bool, most: int) -> None:
    """Note a question before it is asked; `goes_on` says that its talk is to be one that this key began.

    Raises `LimitError` beyond `most` in a minute, `NotFoundError` for any other talk.
    """
    async with db.write() as session:
        await session.get(ApiKeyRow, key.id, with_for_update=True)  # two at once must not pass the limit
        mine = select(func.count()).select_from(ApiQuestionRow).where(ApiQuestionRow.key_id == key.id)
        recent = mine.where(col(ApiQuestionRow.created_at) > now() - timedelta(minutes=1))
        if (await session.exec(recent)).one() >= most:
            raise LimitError(f"This key may ask {most} questions a minute.", "Wait a moment and ask again.")
        if goes_on and not (await session.exec(mine.where(ApiQuestionRow.thread_id == thread_id))).one():
            raise NotFoundError("There is no such conversation.", "Leave `thread` out to begin one.")
        session.add(ApiQuestionRow(id=answer_id, key_id=key.id, thread_id=thread_id))


async def withdraw(db: Database, answer_id: str) -> None:
    """Forget a question that could not be asked."""
    async with db.write() as session:
        await session.exec(delete(ApiQuestionRow).where(col(ApiQuestionRow.id) == answer_id))


async def of_key(db: Database, key: ApiKeyRow, answer_id: str) -> ApiQuestionRow:
    """A question that this key asked. Raises `NotFoundError` for any other."""
    async with db.read() as session:
        row = await session.get(ApiQuestionRow, answer_id)
    if row is None or row.key_id != key.id:
        raise NotFoundError("There is no such question.", "See the id.")
    return row
