"""Questions to the owners of documents, where the documents do not say, and what the owners reply.

The owner sees the question and who asked; the talk that it comes from stays the asker's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, or_, update
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import Message, OutboxRow, OwnerQuestion, Person, Thread
from assistant.domain import Asker, Nearest, now
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory import people
from assistant.memory.threads import own

TEXT_CHARS = 2_000
A_DAY = 20
SHOWN = 100


@dataclass(frozen=True)
class Asked:
    """A question with the names of who asked and of whom it went to."""

    row: OwnerQuestion
    asker: str
    email: str
    to: str


def _clean(text: str) -> str:
    text = text.strip()
    if not text:
        raise InputError("There is nothing to send.", "Write a sentence.")
    if len(text) > TEXT_CHARS:
        raise InputError("That is too long to send.", f"Shorten it to {TEXT_CHARS:,} characters.")
    return text


async def offers(db: Database, asker: Asker, answer_id: str) -> tuple[Nearest, ...]:
    """The documents of a declined answer of one's own whose owners can be asked, one for each owner.

    Which of them the asker may still read is for the caller to check.
    """
    async with db.read() as session:
        message = await _declined(session, asker, answer_id)
    found: dict[str, Nearest] = {}
    for told in message.extra.get("nearest", []):
        near = Nearest.model_validate(told)
        if near.owner.strip():
            found.setdefault(near.owner, near)
    return tuple(found.values())


async def _declined(session: AsyncSession, asker: Asker, answer_id: str) -> Message:
    found = await session.exec(select(Message).where(Message.id == answer_id, Message.role == "assistant"))
    message: Message | None = found.first()
    await own(session, asker, message.thread_id if message else "")
    if message is None or not message.extra.get("abstained"):
        raise NotFoundError("There is no such answer.", "Reload the page.")
    return message


async def send(
    db: Database,
    asker: Asker,
    answer_id: str,
    near: Nearest,
    text: str,
    channels: Callable[[str], Sequence[str]] = lambda _: (),
) -> OwnerQuestion:
    """Send a question to the owner of a document near it. Sending it again changes nothing.

    `channels` says who is told of it, given the owner's address, or none, as `ops.alerts` does. Raises `LimitError`
    after so many in a day.
    """
    text = _clean(text)
    owner = await people.named_in(db, near.owner)
    async with db.write() as session:
        message = await _declined(session, asker, answer_id)
        today = select(func.count()).select_from(OwnerQuestion)
        today = today.where(OwnerQuestion.person_id == asker.person_id)
        if (await session.exec(today.where(OwnerQuestion.created_at > now() - timedelta(days=1)))).one() >= A_DAY:
            raise LimitError(f"You sent {A_DAY} questions within a day.", "Send the next one tomorrow.")
        row = OwnerQuestion(
            answer_id=answer_id,
            thread_id=message.thread_id,
            person_id=asker.person_id,
            document_id=near.document_id,
            owner=near.owner,
            owner_id=owner.id if owner else None,
            text=text,
        )
        if not await insert_new(session, row):
            return (await session.exec(select(OwnerQuestion).where(OwnerQuestion.answer_id == answer_id))).one()
        for channel in channels(owner.email if owner else ""):
            # Only its id: what was asked is erased with its talk, and not kept here as well.
            session.add(OutboxRow(kind="alert", subject=channel, payload={"question": row.id}))
    return row


async def reply(db: Database, asker: Asker, question_id: str, text: str) -> None:
    """Reply to a question that was sent to oneself, or as an admin; in place of an earlier reply."""
    text = _clean(text)
    async with db.write() as session:
        row = await session.get(OwnerQuestion, question_id, with_for_update=True)
        if row is None or not (row.owner_id == asker.person_id or asker.is_admin):
            raise _missing()
        thread = await session.get(Thread, row.thread_id)
        if thread is None or thread.deleted_at is not None:
            raise _missing()
        row.reply, row.replied_by, row.replied_at, row.seen_at = text, asker.name or asker.email, now(), None
        session.add(row)


def _missing() -> NotFoundError:
    return NotFoundError("There is no such question.", "It may have been deleted; reload the page.")


async def of_answer(db: Database, asker: Asker, answer_id: str) -> Asked | None:
    """The question that was sent about an answer of one's own, if any."""
    mine = (OwnerQuestion.answer_id == answer_id, OwnerQuestion.person_id == asker.person_id)
    return next(iter(await _listed(db, *mine)), None)


async def sent_by(db: Database, asker: Asker) -> list[Asked]:
    """What the asker sent, newest first."""
    return await _listed(db, OwnerQuestion.person_id == asker.person_id)


async def sent_to(db: Database, asker: Asker) -> list[Asked]:
    """What was sent to the asker as an owner: those that wait for a reply first."""
    found = await _listed(db, OwnerQuestion.owner_id == asker.person_id)
    return sorted(found, key=lambda q: q.row.replied_at is not None)


async def all_sent(db: Database) -> list[Asked]:
    """The newest questions to owners, whoever sent them; for admins."""
    return await _listed(db)


async def one(db: Database, question_id: str) -> Asked | None:
    """One question, for its delivery."""
    return next(iter(await _listed(db, OwnerQuestion.id == question_id)), None)


async def waiting(db: Database, asker: Asker) -> tuple[int, int]:
    """How many questions wait for a reply of the asker's, and how many replies to their own they have not seen."""
    received = and_(col(OwnerQuestion.owner_id) == asker.person_id, col(OwnerQuestion.replied_at).is_(None))
    statement = (
        select(func.count().filter(received), func.count().filter(_news(asker)))
        .select_from(OwnerQuestion)
        .join(Thread, col(Thread.id) == col(OwnerQuestion.thread_id))
        .where(or_(received, _news(asker)), col(Thread.deleted_at).is_(None))
    )
    async with db.read() as session:
        return (await session.exec(statement)).one()


async def saw(db: Database, asker: Asker, asked: Iterable[Asked]) -> None:
    """Keep that the asker has seen the replies to these of their questions."""
    if news := [q.row.id for q in asked if q.row.replied_at is not None and q.row.seen_at is None]:
        async with db.write() as session:
            shown = update(OwnerQuestion).where(col(OwnerQuestion.id).in_(news), _news(asker))
            await session.exec(shown.values(seen_at=now()))


def _news(asker: Asker) -> ColumnElement[bool]:
    return and_(
        col(OwnerQuestion.person_id) == asker.person_id,
        col(OwnerQuestion.replied_at).is_not(None),
        col(OwnerQuestion.seen_at).is_(None),
    )


async def _listed(db: Database, *which: ColumnElement[bool] | bool) -> list[Asked]:
    who, owner = aliased(Person), aliased(Person)
    statement = (
        select(OwnerQuestion, who, owner)
        .join(who, col(OwnerQuestion.person_id) == who.id)
        .join(owner, col(OwnerQuestion.owner_id) == owner.id, isouter=True)
        .join(Thread, col(Thread.id) == col(OwnerQuestion.thread_id))
        .where(col(Thread.deleted_at).is_(None), *which)
        .order_by(col(OwnerQuestion.created_at).desc())
        .limit(SHOWN)
    )
    async with db.read() as session:
        rows = (await session.exec(statement)).all()
    return [
        Asked(row, asked.name or asked.email, asked.email, (to.name or to.email) if to else row.owner)
        for row, asked, to in rows
    ]
