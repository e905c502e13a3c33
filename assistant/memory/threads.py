"""Threads, their messages and receipts. A thread of somebody else reads like one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, func, update
from sqlalchemy import delete as sql_delete
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database, insert_new
from assistant.database.tables import (
    ApiQuestionRow,
    CaseRow,
    FeedbackRow,
    Message,
    OutboxRow,
    OwnerQuestion,
    ReceiptRow,
    SummaryRow,
    Thread,
    UsageRow,
    WorkRow,
)
from assistant.database.words import kept
from assistant.domain import Answer, Asker, Attempt, Choice, Level, Receipt, now
from assistant.errors import InputError, NotFoundError
from assistant.memory.branches import path, versions
from assistant.memory.search import finds

TITLE_CHARS = 80
ERASED_AT_ONCE = 100
# Of a question that is long past, so much is told.
EARLY_CHARS = 160
# How long a deleted thread can be brought back.
UNDO_MINUTES = 10
# What a browser may name a thread or a message by; made ids are UUIDs.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class PastTurn:
    """A question of the thread and what was answered; `state` is the answer's.

    `documents` are those whose passages the answer was given; `known` is false where no receipt tells. `asked_back`:
    the answer was a question. `named` are the documents that it named or cited, in this order; `looked_up` the tools
    that found something for it, with their arguments; `choices` what was offered where it was asked back.
    """

    question: str
    answer: str
    state: str
    id: str = ""
    documents: frozenset[int] = frozenset()
    known: bool = True
    asked_back: bool = False
    named: tuple[int, ...] = ()
    looked_up: tuple[tuple[str, Mapping[str, str]], ...] = ()
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Past:
    """What came before a question: the last turns, and of those before them their questions and the summary."""

    window: list[PastTurn]
    earlier: list[tuple[str, str]]
    summary: SummaryRow | None


@dataclass(frozen=True)
class Reopened:
    """A thread as its owner sees it: the shown branch in order, ratings and receipts by answer id.

    `versions` names, for an answer that has others beside it, all of them in the order they were made.
    """

    thread: Thread
    messages: list[Message]
    ratings: dict[str, FeedbackRow]
    receipts: dict[str, Receipt]
    versions: dict[str, list[str]]


def _missing() -> NotFoundError:
    return NotFoundError("There is no such conversation.", "It may have been deleted; start a new one.")


async def own(
    session: AsyncSession, asker: Asker, thread_id: str, *, hold: bool = False, deleted: bool | None = False
) -> Thread:
    """The asker's own thread; `hold` keeps it from being deleted until the transaction ends. `deleted` None: either."""
    thread = await session.get(Thread, thread_id, with_for_update=hold or None)
    if thread is None or thread.person_id != asker.person_id:
        raise _missing()
    if deleted is not None and (thread.deleted_at is not None) is not deleted:
        raise _missing()
    return thread


async def of(db: Database, asker: Asker, thread_id: str) -> Thread:
    """The asker's own thread. Raises `NotFoundError` for any other."""
    async with db.read() as session:
        return await own(session, asker, thread_id)


async def author(db: Database, thread_id: str) -> str | None:
    """The id of the person who owns a thread; only for checks that compare it with who asks."""

    async def work(session: AsyncSession) -> str | None:
        thread = await session.get(Thread, thread_id)
        return thread.person_id if thread and thread.deleted_at is None else None

    return await db.reading(work)


async def list_of(
    db: Database,
    asker: Asker,
    *,
    first: int = 20,
    before: tuple[datetime, str] | None = None,
    search: str = "",
    pinned: bool | None = None,
    deleted: bool = False,
) -> list[Thread]:
    """The asker's threads, newest first; `before` is the (updated_at, id) of the last one already seen.

    `search` finds words of titles and messages. `pinned` takes only those, or the others; `deleted` those that can
    still be brought back.
    """
    statement = select(Thread).where(
        Thread.person_id == asker.person_id,
        col(Thread.deleted_at).is_not(None) if deleted else col(Thread.deleted_at).is_(None),
    )
    if pinned is not None:
        statement = statement.where(col(Thread.pinned_at).is_not(None) if pinned else col(Thread.pinned_at).is_(None))
    if search:
        statement = statement.where(finds(db, search))
    if before:
        moment, thread_id = before
        statement = statement.where(
            (col(Thread.updated_at) < moment) | ((col(Thread.updated_at) == moment) & (col(Thread.id) < thread_id))
        )
    statement = statement.order_by(col(Thread.updated_at).desc(), col(Thread.id).desc()).limit(first)
    async with db.read() as session:
        return list((await session.exec(statement)).all())


async def reopen(db: Database, asker: Asker, thread_id: str) -> Reopened:
    """A thread whole: the shown branch, the asker's own ratings, receipts."""
    async with db.read() as session:
        return await opened(session, await own(session, asker, thread_id), asker)


async def opened(session: AsyncSession, thread: Thread, asker: Asker) -> Reopened:
    thread_id = thread.id
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
        messages=path(messages, thread.leaf_id),
        ratings={r.message_id: r for r in ratings},
        receipts={r.id: Receipt.model_validate(r.body) for r in receipts},
        versions=versions(messages),
    )


async def rename(db: Database, asker: Asker, thread_id: str, title: str) -> None:
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.title = " ".join(title.split())[:TITLE_CHARS]
        thread.words = kept(thread.title)
        session.add(thread)


async def pin(db: Database, asker: Asker, thread_id: str, pinned: bool) -> None:
    """Keep a thread at the top of its owner's list, or no longer."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.pinned_at = now() if pinned else None
        session.add(thread)


async def show_version(db: Database, asker: Asker, answer_id: str) -> str:
    """Show the branch that an answer stands in, as it was last left. Returns the thread's id."""
    async with db.write() as session:
        found = (await session.exec(select(Message.thread_id).where(Message.id == answer_id))).first()
        thread = await own(session, asker, found or "", hold=True)
        statement = select(Message).where(Message.thread_id == thread.id).order_by(col(Message.seq))
        below = {answer_id}
        for message in (await session.exec(statement)).all():
            if message.id in below or message.parent_id in below:
                below.add(message.id)
                thread.leaf_id = message.id  # of all that follow it, the newest
        session.add(thread)
        return thread.id


async def versions_of(db: Database, asker: Asker, answer_id: str) -> list[str]:
    """The ids of all versions of an answer of one's own, in the order made; empty where it is the only one."""
    async with db.read() as session:
        found = (await session.exec(select(Message.thread_id).where(Message.id == answer_id))).first()
        thread = await own(session, asker, found or "")
        columns = select(Message.id, Message.parent_id, Message.role).where(Message.thread_id == thread.id)
        rows = [_Node(*row) for row in (await session.exec(columns.order_by(col(Message.seq)))).all()]
    return versions(rows).get(answer_id, [])


async def delete(db: Database, asker: Asker, thread_id: str) -> None:
    """Hide a thread at once from everybody. `restore` brings it back until it is erased."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.deleted_at = now()
        session.add(thread)


async def restore(db: Database, asker: Asker, thread_id: str) -> None:
    """Bring a deleted thread back as it was."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True, deleted=True)
        thread.deleted_at = None
        session.add(thread)


async def erase(db: Database, asker: Asker, thread_id: str) -> None:
    """Remove a deleted thread now, and everything that holds its text; the ledger's sums stay."""
    async with db.write() as session:
        await own(session, asker, thread_id, hold=True, deleted=True)
        await _erase(session, [thread_id])


async def erase_deleted(db: Database, minutes: float = UNDO_MINUTES) -> int:
    """Remove what was deleted longer ago than it can be undone. Returns how many."""
    return await _sweep(db, col(Thread.deleted_at) <= now() - timedelta(minutes=minutes))


async def forget_old(db: Database, days: int) -> int:
    """Remove the threads whose last turn is older than the retention time. Returns how many."""
    return await _sweep(db, col(Thread.updated_at) < now() - timedelta(days=days))


async def _sweep(db: Database, old: ColumnElement[bool]) -> int:
    count = 0
    while True:
        async with db.write() as session:
            # Whoever brings one back meanwhile holds it: what is erased is still old when it is ours.
            statement = select(Thread.id).where(old).limit(ERASED_AT_ONCE).with_for_update()
            found = (await session.exec(statement)).all()
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
        await session.exec(sql_delete(WorkRow).where(col(WorkRow.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(OwnerQuestion).where(col(OwnerQuestion.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(ApiQuestionRow).where(col(ApiQuestionRow.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(ReceiptRow).where(col(ReceiptRow.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(SummaryRow).where(col(SummaryRow.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(Message).where(col(Message.thread_id).in_(thread_ids)))
        await session.exec(sql_delete(Thread).where(col(Thread.id).in_(thread_ids)))


async def open_turn(
    db: Database,
    asker: Asker,
    thread_id: str,
    message_id: str,
    text: str,
    *,
    beside: str = "",
    answer_id: str = "",
    owner: str = "",
) -> bool:
    """Store a question before anything else happens. Repeating it with the same ids changes nothing. Whether it is new.

    Makes the thread when it is new; raises `NotFoundError` when it is somebody else's. A question `beside` another
    is a new version of it: what was there stays. With an `answer_id` the row that the answer grows in is made too;
    `owner` names the process that streams it.
    """
    if not _ID.fullmatch(thread_id) or not _ID.fullmatch(message_id):
        raise _missing()

    async def work(session: AsyncSession) -> bool:
        new = await session.get(Thread, thread_id, with_for_update=True) is None
        if new:
            title = " ".join(text.split())[:TITLE_CHARS]
            await insert_new(session, Thread(id=thread_id, person_id=asker.person_id, title=title, words=kept(title)))
        thread = await own(session, asker, thread_id, hold=new)
        question = Message(
            id=message_id,
            thread_id=thread_id,
            parent_id=await _followed(session, thread, beside),
            role="user",
            text=text,
            words=kept(text),
        )
        fresh = await insert_new(session, question)
        if fresh:
            thread.updated_at, thread.leaf_id = now(), message_id
            session.add(thread)
        elif (await session.exec(select(Message.thread_id).where(Message.id == message_id))).first() != thread_id:
            raise _missing()
        if answer_id:
            session.add(
                Message(
                    id=answer_id,
                    thread_id=thread_id,
                    parent_id=message_id,
                    role="assistant",
                    state="streaming",
                    owner=owner,
                )
            )
            thread.leaf_id = answer_id
            session.add(thread)
        return fresh

    return await db.writing(work)


async def _followed(session: AsyncSession, thread: Thread, beside: str) -> str | None:
    """The message that a new question follows: the end of the shown branch, or what the one `beside` it followed."""
    own = select(Message).where(Message.thread_id == thread.id)
    if not beside:
        if thread.leaf_id:
            return thread.leaf_id
        newest = (await session.exec(own.order_by(col(Message.seq).desc()).limit(1))).first()
        return newest.id if newest else None
    other = (await session.exec(own.where(Message.id == beside, Message.role == "user"))).first()
    if other is None:
        raise _missing()
    return other.parent_id


async def question_of(db: Database, asker: Asker, answer_id: str) -> Message:
    """The question that an answer of one's own belongs to."""
    async with db.read() as session:
        asked = aliased(Message)
        statement = (
            select(asked)
            .join(Message, col(Message.parent_id) == asked.id)
            .where(Message.id == answer_id, Message.role == "assistant", asked.role == "user")
        )
        question = (await session.exec(statement)).first()
        await own(session, asker, question.thread_id if question else "")
    if question is None:
        raise _missing()
    return question


async def grow(db: Database, texts: Mapping[str, str]) -> None:
    """Keep what has been streamed of these answers so far, so that a cut loses little."""
    table = Message.__table__  # type: ignore[attr-defined]
    growing = update(table).where(table.c.id == bindparam("answer"), table.c.state == "streaming")
    rows = [{"answer": answer_id, "so_far": text} for answer_id, text in texts.items()]

    async def work(session: AsyncSession) -> None:
        await session.exec(growing.values(text=bindparam("so_far")), params=rows)

    await db.writing(work)


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

    Raises `NotFoundError` when the thread is gone, or somebody else's. One that was deleted meanwhile gets its answer,
    so that it is whole if it is brought back.
    """
    receipt = answer.receipt

    async def work(session: AsyncSession) -> None:
        await own(session, asker, answer.thread, hold=True, deleted=None)
        message = (
            await session.exec(select(Message).where(Message.id == answer.id, Message.thread_id == answer.thread))
        ).first()
        if message is None:
            raise _missing()
        message.text = answer.text
        message.words = kept(answer.text)
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

    await db.writing(work)


async def replace_answer(db: Database, asker: Asker, answer: Answer, attempts: Sequence[Attempt]) -> None:
    """Put what long work found in the place of the answer that announced it, with its receipt, all or nothing."""
    async with db.write() as session:
        message = await _own_answer(session, asker, answer.id)
        row = await session.get(ReceiptRow, answer.id)
        if row is None:
            raise _missing()
        message.text, message.words = answer.text, kept(answer.text)
        row.body = answer.receipt.model_dump(mode="json")
        row.release_id, row.level = answer.receipt.release, answer.receipt.decision.level
        session.add_all([message, row])
        for attempt in attempts:
            session.add(_ledger(attempt, answer.receipt, asker.person_id))
        session.add(OutboxRow(kind="trace", subject=answer.id))


async def fail_answer(db: Database, asker: Asker, answer_id: str, text: str) -> None:
    """Say in an answer that the work it announced came to nothing; it can be asked again."""
    async with db.write() as session:
        message = await _own_answer(session, asker, answer_id)
        message.text, message.words, message.state = text, kept(text), "failed"
        session.add(message)


async def _own_answer(session: AsyncSession, asker: Asker, answer_id: str) -> Message:
    found = (await session.exec(select(Message).where(Message.id == answer_id, Message.role == "assistant"))).first()
    await own(session, asker, found.thread_id if found else "", hold=True)
    assert found is not None
    return found


async def charge(db: Database, asker: Asker, receipt: Receipt, attempts: Sequence[Attempt]) -> None:
    """Put model calls into the ledger that were made for a turn after its end."""
    async with db.write() as session:
        for attempt in attempts:
            session.add(_ledger(attempt, receipt, asker.person_id))


async def mark_interrupted(db: Database, alive: set[str]) -> int:
    """Mark the answers whose process is gone as cut. `alive` are the owners that still run. Returns how many."""
    async with db.write() as session:
        cut = select(Message).where(Message.state == "streaming", col(Message.owner).not_in(alive)).with_for_update()
        found = (await session.exec(cut)).all()
        for message in found:
            message.state, message.words = "interrupted", kept(message.text)
            session.add(message)
    return len(found)


async def past(session: AsyncSession, asker: Asker, thread_id: str, turns: int, *, before: str) -> Past:
    """What came before the message `before` in its branch: the last `turns` whole, of those before only the question.

    The summary is the newest that covers nothing else. Empty for a new thread and for somebody else's.
    """
    nothing = Past([], [], None)
    if turns <= 0:
        return nothing
    thread = await session.get(Thread, thread_id)
    if thread is None or thread.person_id != asker.person_id:
        return nothing
    columns = select(Message.id, Message.parent_id, Message.role).where(Message.thread_id == thread_id)
    rows = [_Node(*row) for row in (await session.exec(columns.order_by(col(Message.seq)))).all()]
    this = next((n for n in rows if n.id == before), None)
    if this is not None and this.parent_id is None:
        return nothing
    branch = path(rows, this.parent_id if this is not None else thread.leaf_id)
    asked = [n.id for n in branch if n.role == "user"]
    answered = {n.parent_id or "": n.id for n in branch if n.role == "assistant"}
    shown, early = asked[-turns:], asked[:-turns]
    whole = select(Message).where(col(Message.id).in_([*shown, *(answered[q] for q in shown if q in answered)]))
    messages = {m.id: m for m in (await session.exec(whole)).all()}
    receipts = select(ReceiptRow).where(col(ReceiptRow.id).in_(list(messages)))
    kept_receipts = (await session.exec(receipts)).all()
    given = {r.id: _documents(r) for r in kept_receipts}
    named = {r.id: _named(r) for r in kept_receipts}
    looked_up = {r.id: _looked_up(r) for r in kept_receipts}
    asked_back = {r.id: _choices(r) for r in kept_receipts if r.level == Level.ASKED}
    first = select(Message.id, func.substr(Message.text, 1, EARLY_CHARS)).where(col(Message.id).in_(early))
    early_texts = dict((await session.exec(first)).all()) if early else {}
    covers = select(SummaryRow).where(col(SummaryRow.id).in_(early)).order_by(col(SummaryRow.turns).desc()).limit(1)
    summary = (await session.exec(covers)).first() if early else None
    found = []
    for question in shown:
        answer = messages.get(answered.get(question, ""))
        found.append(
            PastTurn(
                messages[question].text,
                answer.text if answer else "",
                answer.state if answer else "",
                question,
                given.get(answer.id, frozenset()) if answer else frozenset(),
                answer is None or answer.id in given,
                answer is not None and answer.id in asked_back,
                named.get(answer.id, ()) if answer else (),
                looked_up.get(answer.id, ()) if answer else (),
                asked_back.get(answer.id, ()) if answer else (),
            )
        )
    return Past(found, [(q, early_texts[q]) for q in early], summary)


def _documents(row: ReceiptRow) -> frozenset[int]:
    passages = (int(p["document_id"]) for p in row.body.get("passages", []))
    return frozenset(passages) | {int(d) for t in row.body.get("tools", []) for d in t.get("documents", [])}


def _choices(row: ReceiptRow) -> tuple[Choice, ...]:
    return tuple(Choice.model_validate(c) for c in row.body.get("choices", []))


def _named(row: ReceiptRow) -> tuple[int, ...]:
    tools = [int(d) for t in row.body.get("tools", []) for d in t.get("documents", [])]
    cited = [int(p["document_id"]) for p in row.body.get("passages", []) if p.get("cited")]
    return tuple(dict.fromkeys([*tools, *cited]))


def _looked_up(row: ReceiptRow) -> tuple[tuple[str, Mapping[str, str]], ...]:
    return tuple(
        (str(t["name"]), t.get("arguments", {})) for t in row.body.get("tools", []) if t.get("outcome") == "ok"
    )


@dataclass
class _Node:
    id: str
    parent_id: str | None
    role: str


async def summarise(
    db: Database, asker: Asker, thread_id: str, upto: str, text: str, turns: int, documents: set[int]
) -> None:
    """Keep the summary of a thread up to a question, in place of an earlier one up to there."""
    async with db.write() as session:
        await own(session, asker, thread_id, hold=True, deleted=None)
        await session.exec(sql_delete(SummaryRow).where(col(SummaryRow.id) == upto))
        session.add(SummaryRow(id=upto, thread_id=thread_id, text=text, turns=turns, documents=sorted(documents)))


async def receipt(db: Database, asker: Asker, answer_id: str) -> Receipt:
    """A receipt by its answer's id, for its owner and for admins."""
    async with db.read() as session:
        row = (
            await session.exec(
                select(ReceiptRow)
                .join(Thread, col(Thread.id) == col(ReceiptRow.thread_id))
                .where(ReceiptRow.id == answer_id, col(Thread.deleted_at).is_(None))
            )
        ).first()
    if row is None or (row.person_id != asker.person_id and not asker.is_admin):
        raise NotFoundError("There is no such receipt.", "Open the conversation it belongs to.")
    return Receipt.model_validate(row.body)


@dataclass(frozen=True)
class Answered:
    """An answer of the past with its question, for whoever replays it."""

    person_id: str
    thread_id: str
    question_id: str
    question: str
    text: str
    receipt: Receipt


async def answered(db: Database, receipt_id: str) -> Answered:
    """A receipt with its question and answer, whoever asked: only for the command line. Raises `InputError`."""
    async with db.read() as session:
        row = await session.get(ReceiptRow, receipt_id)
        answer = (await session.exec(select(Message).where(Message.id == receipt_id))).first()
        asked = select(Message).where(Message.id == (answer.parent_id if answer else None))
        question = (await session.exec(asked)).first()
    if row is None or answer is None or question is None:
        raise InputError(f"There is no receipt {receipt_id}.", "Copy its id from the answer's receipt.")
    receipt = Receipt.model_validate(row.body)
    return Answered(row.person_id, row.thread_id, question.id, question.text, answer.text, receipt)


async def asked_within(db: Database, asker: Asker, seconds: float) -> int:
    """How many questions a person asked in the last seconds, whichever process they came to."""
    since = now() - timedelta(seconds=seconds)
    statement = (
        select(func.count())
        .select_from(Message)
        .join(Thread, col(Thread.id) == col(Message.thread_id))
        # A talk was changed when its last question came: the others need not be looked through.
        .where(Thread.person_id == asker.person_id, col(Thread.updated_at) >= since)
        .where(Message.role == "user", col(Message.created_at) >= since)
    )

    async def work(session: AsyncSession) -> int:
        return int((await session.exec(statement)).one())

    return await db.reading(work)


async def spent_today(session: AsyncSession, person_id: str) -> int:
    """What a person's turns have cost since midnight UTC, in nano-dollars."""
    total = select(func.coalesce(func.sum(UsageRow.cost_nano), 0))
    today = total.where(UsageRow.person_id == person_id, UsageRow.day == f"{now():%Y-%m-%d}")
    return int((await session.exec(today)).one())


def not_answered() -> tuple[ColumnElement[bool], ...]:
    """Which receipts say that the documents did not answer. What was refused unsearched says nothing about them."""
    return col(ReceiptRow.level) == Level.DECLINED, col(ReceiptRow.release_id).is_not(None)


async def asked_declined(db: Database, first: int = 100) -> list[ReceiptRow]:
    """The newest questions that were searched for and not answered, for admins."""
    async with db.read() as session:
        statement = (
            select(ReceiptRow)
            .join(Thread, col(Thread.id) == col(ReceiptRow.thread_id))
            .where(*not_answered(), col(Thread.deleted_at).is_(None))
            .order_by(col(ReceiptRow.created_at).desc())
            .limit(first)
        )
        return list((await session.exec(statement)).all())
