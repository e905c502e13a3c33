"""Ratings: one for each person and answer, changed and withdrawn by its owner only."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import FeedbackRow, Message, OutboxRow, Thread
from assistant.domain import Asker, now
from assistant.errors import InputError, NotFoundError
from assistant.masking import mask

COMMENT_CHARS = 4_000


async def _own_answer(session: AsyncSession, asker: Asker, message_id: str) -> Message:
    found = (
        await session.exec(
            select(Message)
            .join(Thread, col(Thread.id) == col(Message.thread_id))
            .where(Message.id == message_id, Message.role == "assistant")
            .where(Thread.person_id == asker.person_id, col(Thread.deleted_at).is_(None))
            .with_for_update(read=True, of=Thread)  # so that it is not deleted meanwhile
        )
    ).first()
    if found is None:
        raise NotFoundError("There is no such answer.", "Rate an answer of your own conversation.")
    return found


async def rate(db: Database, asker: Asker, message_id: str, value: int, comment: str = "") -> str:
    """Keep a rating, 1 good or 0 bad, in place of an earlier one. Returns its id. The score goes out by the outbox."""
    if value not in {0, 1}:
        raise InputError("A rating is 1 (good) or 0 (bad).", "Send one of them.")
    if len(comment) > COMMENT_CHARS:
        raise InputError("The comment is too long.", f"Shorten it to {COMMENT_CHARS:,} characters.")
    async with db.write() as session:
        await _own_answer(session, asker, message_id)
        await insert_new(session, FeedbackRow(message_id=message_id, person_id=asker.person_id, value=value))
        own = select(FeedbackRow).where(FeedbackRow.message_id == message_id, FeedbackRow.person_id == asker.person_id)
        row = (await session.exec(own)).one()
        row.value, row.comment, row.updated_at = value, comment, now()
        session.add(row)
        session.add(
            OutboxRow(
                kind="score", subject=row.id, payload={"trace": message_id, "value": value, "comment": mask(comment)}
            )
        )
        return row.id


async def withdraw(db: Database, asker: Asker, feedback_id: str) -> None:
    """Take back one's own rating; raises `NotFoundError` for any other."""
    async with db.write() as session:
        own = (
            select(FeedbackRow)
            .join(Message, col(Message.id) == col(FeedbackRow.message_id))
            .join(Thread, col(Thread.id) == col(Message.thread_id))
            .where(FeedbackRow.id == feedback_id, FeedbackRow.person_id == asker.person_id)
            .where(col(Thread.deleted_at).is_(None))
            .with_for_update(of=FeedbackRow)
        )
        row = (await session.exec(own)).first()
        if row is None:
            raise NotFoundError("There is no such rating.", "Reload the page.")
        await session.delete(row)
        # Deleting the thread finds its outbox rows by its ratings, and this one is gone: its words go now.
        payload = {"trace": row.message_id, "value": row.value, "comment": ""}
        await session.exec(
            update(OutboxRow)
            .where(col(OutboxRow.kind) == "score", col(OutboxRow.subject) == row.id)
            .values(payload=payload)
        )
        session.add(OutboxRow(kind="score_removed", subject=row.id, payload={"trace": row.message_id}))


async def bad_ones(db: Database, first: int = 100) -> list[tuple[FeedbackRow, Message]]:
    """The newest bad ratings with the answers they rate, for admins."""
    async with db.read() as session:
        statement = (
            select(FeedbackRow, Message)
            .join(Message, col(Message.id) == col(FeedbackRow.message_id))
            .join(Thread, col(Thread.id) == col(Message.thread_id))
            .where(FeedbackRow.value == 0, col(Thread.deleted_at).is_(None))
            .order_by(col(FeedbackRow.updated_at).desc())
            .limit(first)
        )
        return list((await session.exec(statement)).all())
