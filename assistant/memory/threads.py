"""Threads, their messages and receipts. A thread of somebody else reads like one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete as sql_delete
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import CaseRow, FeedbackRow, Message, OutboxRow, ReceiptRow, Thread, UsageRow
from assistant.domain import Answer, Asker, Attempt, Level, Receipt, now
from assistant.errors import NotFoundError

TITLE_CHARS = 80
ERASED_AT_ONCE = 100
# What a browser may name a thread or a message by; made ids are UUIDs.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class PastTurn:
    """A question of the thread and what was answered; `state` is the answer's."""

    question: str
    answer: str
    state: str


@dataclass(frozen=True)
class Reopened:
    """A thread as its owner sees it: messages in order, ratings and receipts by answer id."""

    thread: Thread
    messages: list[Message]
    ratings: dict[str, FeedbackRow]
    receipts: dict[str, Receipt]


def _missing() -> NotFoundError:
    return NotFoundError("There is no such conversation.", "It may have been deleted; start a new one.")


async def _own(session: AsyncSession, asker: Asker, thread_id: str, *, hold: bool = False) -> Thread:
    """The asker's own thread; `hold` keeps it from being deleted until the transaction ends."""
    thread = await session.get(Thread, thread_id, with_for_update=hold or None)
    if thread is None or thread.person_id != asker.person_id:
        raise _missing()
    return thread


async def of(db: Database, asker: Asker, thread_id: str) -> Thread:
    """The asker's own thread. Raises `NotFoundError` for any other."""
    async with db.read() as session:
        return await _own(session, asker, thread_id)


async def author(db: Database, thread_id: str) -> str | None:
    """The id of the person who owns a thread; only for checks that compare it with who asks."""
    async with db.read() as session:
        thread = await session.get(Thread, thread_id)
        return thread.person_id if thread else None


async def list_of(
    db: Database, asker: Asker, *, first: int = 20, before: tuple[datetime, str] | None = None, search: str = ""
) -> list[Thread]:
    """The asker's threads, newest first; `before` is the (updated_at, id) of the last one already seen."""
    statement = select(Thread).where(Thread.person_id == asker.person_id)
    if search:
        found = select(Message.thread_id).where(col(Message.text).icontains(search, autoescape=True))
        statement = statement.where(col(Thread.title).icontains(search, autoescape=True) | col(Thread.id).in_(found))
    if before:
        moment, thread_id = before
        statement = statement.where(
            (col(Thread.updated_at) < moment) | ((col(Thread.updated_at) == moment) & (col(Thread.id) < thread_id))
        )
    statement = statement.order_by(col(Thread.updated_at).desc(), col(Thread.id).desc()).limit(first)
    async with db.read() as session:
        return list((await session.exec(statement)).all())


async def reopen(db: Database, asker: Asker, thread_id: str) -> Reopened:
    """A thread whole: messages, the asker's own ratings, receipts."""
    async with db.read() as session:
        thread = await _own(session, asker, thread_id)
        messages = (
            await session.exec(select(Message).where(Message.thread_id == thread_id).order_by(col(Message.seq)))
        ).all()
        ratings = (
            await session.exec(
                select(FeedbackRow)
                .join(Message, col(Message.id) == col(FeedbackRow.message_id))
                .where(Message.thread_id == thread_id, FeedbackRow.person_id == asker.person_id)
            )
        ).all()
        receipts = (await session.exec(select(ReceiptRow).where(ReceiptRow.thread_id == thread_id))).all()
    return Reopened(
        thread=thread,
        messages=list(messages),
        ratings={r.message_id: r for r in ratings},
        receipts={r.id: Receipt.model_validate(r.body) for r in receipts},
    )


async def rename(db: Database, asker: Asker, thread_id: str, title: str) -> None:
    async with db.write() as session:
        thread = await _own(session, asker, thread_id, hold=True)
        thread.title = " ".join(title.split())[:TITLE_CHARS]
        session.add(thread)


async def delete(db: Database, asker: Asker, thread_id: str) -> None:
    """Remove a thread and everything that holds its text; the ledger's sums stay."""
    async with db.write() as session:
        await _own(session, asker, thread_id, hold=True)
        await _erase(session, [thread_id])


async def forget_old(db: Database, days: int) -> int:
    """Remove the threads whose last turn is older than the retention time. Returns how many."""
    count = 0
    while True:
        async with db.write() as session:
            old = select(Thread.id).where(col(Thread.updated_at) < now() - timedelta(days=days)).limit(ERASED_AT_ONCE)
            found = (await session.exec(old)).all()
            await _erase(session, found)
        count += len(found)
        if len(found) < ERASED_AT_ONCE:
            return count


async def _erase(session: AsyncSession, thread_ids: Sequence[str]) -> None:
    if thread_ids:
        answers = select(Message.id).where(col(Message.thread_id).in_(thread_ids))
        ratings = select(FeedbackRow.id).where(col(FeedbackRow.message_id).in_(answers))
        await session.exec(
            sql_delete(OutboxRow).where(col(OutboxRow.subject).in_(answers) | col(OutboxRow.subject).in_(ratings))
        )
        await session.exec(sql_delete(CaseRow).where(col(CaseRow.message_id).in_(answers)))
        await session.exec(sql_delete(FeedbackRow).where(col(FeedbackRow.message_id).in_(answers)))
        await session.exec(sql_delete(ReceiptRow).where(col(ReceiptRow.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(Message).where(col(Message.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(Thread).where(col(Thread.id).in_(thread_ids)))


async def open_turn(db: Database, asker: Asker, thread_id: str, message_id: str, text: str) -> None:
    """Store a question before anything else happens. Repeating it with the same ids changes nothing.

    Makes the thread when it is new; raises `NotFoundError` when it is somebody else's.
    """
    if not _ID.fullmatch(thread_id) or not _ID.fullmatch(message_id):
        raise _missing()
    async with db.write() as session:
        if await session.get(Thread, thread_id) is None:
            title = " ".join(text.split())[:TITLE_CHARS]
            await insert_new(session, Thread(id=thread_id, person_id=asker.person_id, title=title))
        thread = await _own(session, asker, thread_id, hold=True)
        if await insert_new(session, Message(id=message_id, thread_id=thread_id, role="user", text=text)):
            thread.updated_at = now()
            session.add(thread)
        elif (await session.exec(select(Message.thread_id).where(Message.id == message_id))).first() != thread_id:
            raise _missing()


async def begin_answer(
    db: Database, asker: Asker, thread_id: str, question_id: str, answer_id: str, owner: str
) -> None:
    """Make the row that an answer grows in. `owner` names the process that streams it."""
    async with db.write() as session:
        await _own(session, asker, thread_id, hold=True)
        session.add(
            Message(
                id=answer_id,
                thread_id=thread_id,
                parent_id=question_id,
                role="assistant",
                state="streaming",
                owner=owner,
            )
        )


async def grow(db: Database, answer_id: str, text: str) -> None:
    """Keep what has been streamed so far, so that a cut loses little."""
    async with db.write() as session:
        await session.exec(
            update(Message).where(col(Message.id) == answer_id, col(Message.state) == "streaming").values(text=text)
        )


def _ledger(attempt: Attempt, receipt: Receipt, person_id: str) -> UsageRow:
    moment = now()
    return UsageRow(
        turn=receipt.id,
        person_id=person_id,
        segment=receipt.segment,
        day=f"{moment:%Y-%m-%d}",
        created_at=moment,
        **attempt.model_dump(exclude={"tier"}),
    )


async def close_turn(db: Database, asker: Asker, answer: Answer, attempts: Sequence[Attempt]) -> None:
    """Store the finished answer, its receipt, its ledger rows and its outbox row, all or nothing.

    Raises `NotFoundError` when the thread is gone, or somebody else's.
    """
    receipt = answer.receipt
    async with db.write() as session:
        await _own(session, asker, answer.thread, hold=True)
        message = (
            await session.exec(select(Message).where(Message.id == answer.id, Message.thread_id == answer.thread))
        ).first()
        if message is None:
            raise _missing()
        message.text = answer.text
        message.state = receipt.outcome
        message.extra = {
            **message.extra,
            "abstained": answer.abstained,
            "nearest": [n.model_dump() for n in answer.nearest],
        }
        session.add(message)
        session.add(
            ReceiptRow(
                id=answer.id,
                thread_id=answer.thread,
                person_id=asker.person_id,
                release_id=receipt.release,
                level=receipt.decision.level,
                body=receipt.model_dump(mode="json"),
            )
        )
        for attempt in attempts:
            session.add(_ledger(attempt, receipt, asker.person_id))
        session.add(OutboxRow(kind="trace", subject=answer.id))
        await session.exec(update(Thread).where(col(Thread.id) == answer.thread).values(updated_at=now()))


async def mark_interrupted(db: Database, alive: set[str]) -> int:
    """Mark the answers whose process is gone as cut. `alive` are the owners that still run. Returns how many."""
    async with db.write() as session:
        result = await session.exec(
            update(Message)
            .where(col(Message.state) == "streaming", col(Message.owner).not_in(alive))
            .values(state="interrupted")
        )
        return int(getattr(result, "rowcount", 0))


async def window(db: Database, asker: Asker, thread_id: str, turns: int, *, before: str) -> list[PastTurn]:
    """The last turns of a thread before the message `before`, oldest first; empty for a new thread."""
    if turns <= 0:
        return []
    async with db.read() as session:
        thread = await session.get(Thread, thread_id)
        if thread is None or thread.person_id != asker.person_id:
            return []
        this = (await session.exec(select(Message.seq).where(Message.id == before))).first()
        statement = select(Message).where(Message.thread_id == thread_id)
        if this is not None:
            statement = statement.where(col(Message.seq) < this)
        rows = (await session.exec(statement.order_by(col(Message.seq).desc()).limit(turns * 2 + 2))).all()
    answers = {m.parent_id: m for m in reversed(rows) if m.role == "assistant"}  # of two answers, the newer
    questions = [m for m in reversed(rows) if m.role == "user"][-turns:]
    return [
        PastTurn(q.text, answers[q.id].text if q.id in answers else "", answers[q.id].state if q.id in answers else "")
        for q in questions
    ]


async def receipt(db: Database, asker: Asker, answer_id: str) -> Receipt:
    """A receipt by its answer's id, for its owner and for admins."""
    async with db.read() as session:
        row = await session.get(ReceiptRow, answer_id)
    if row is None or (row.person_id != asker.person_id and not asker.is_admin):
        raise NotFoundError("There is no such receipt.", "Open the conversation it belongs to.")
    return Receipt.model_validate(row.body)


async def spent_today(db: Database, person_id: str) -> int:
    """What a person's turns have cost since midnight UTC, in nano-dollars."""
    async with db.read() as session:
        rows = await session.exec(
            select(UsageRow.cost_nano).where(UsageRow.person_id == person_id, UsageRow.day == f"{now():%Y-%m-%d}")
        )
        return sum(rows.all())


async def asked_declined(db: Database, first: int = 100) -> list[ReceiptRow]:
    """The newest declined questions, for admins."""
    async with db.read() as session:
        statement = (
            select(ReceiptRow)
            .where(ReceiptRow.level == Level.DECLINED)
            .order_by(col(ReceiptRow.created_at).desc())
            .limit(first)
        )
        return list((await session.exec(statement)).all())
