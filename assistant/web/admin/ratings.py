"""Complaints: badly rated and declined answers, and what a case needs to be made of one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import CaseRow, DocumentRow, FeedbackRow, Message, ReceiptRow
from assistant.domain import Receipt, SentenceCheck
from assistant.errors import NotFoundError
from assistant.memory import feedback, threads

FOUND = 12


@dataclass(frozen=True)
class Complaint:
    """One answer that somebody was not helped by."""

    message_id: str
    question: str
    answer: str
    comment: str
    rated_bad: bool
    made: bool
    receipt: Receipt | None
    # How often the same was asked.
    times: int = 1

    @property
    def statements(self) -> list[str]:
        """What the answer claimed, to take facts from."""
        checks: tuple[SentenceCheck, ...] = self.receipt.verification if self.receipt else ()
        return [self.answer[c.start : c.end] for c in checks][:12]


def case_file(parts: Any) -> Path:
    """The file that cases of this installation are written to."""
    given: Path | None = getattr(parts, "case_file", None)
    return given or parts.settings.data / "cases.jsonl"


async def _made(db: Database) -> set[str]:
    async with db.read() as session:
        return {m for m in (await session.exec(select(CaseRow.message_id))).all() if m}


async def bad(db: Database) -> list[Complaint]:
    """The newest bad ratings."""
    made = await _made(db)
    found = await feedback.bad_ones(db)
    questions = await _questions(db, [message for _, message in found])
    return [
        Complaint(m.id, questions.get(m.parent_id or "", ""), m.text, rating.comment, True, m.id in made, None)
        for rating, m in found
    ]


async def declined(db: Database) -> list[Complaint]:
    """The newest questions that the documents did not answer; what was asked again stands once, with how often."""
    made = await _made(db)
    same: dict[str, list[Receipt]] = {}
    for row in await threads.asked_declined(db):
        receipt = Receipt.model_validate(row.body)
        same.setdefault(" ".join(re.findall(r"\w+", receipt.asked.casefold())) or receipt.id, []).append(receipt)
    return [
        Complaint(newest.id, newest.asked, "", "", False, any(r.id in made for r in asked), newest, len(asked))
        for asked in same.values()
        for newest in asked[:1]
    ]


async def _questions(db: Database, answers: list[Message]) -> dict[str, str]:
    wanted = [a.parent_id for a in answers if a.parent_id]
    async with db.read() as session:
        rows = (await session.exec(select(Message.id, Message.text).where(col(Message.id).in_(wanted)))).all()
    return dict(rows)


async def complaint(db: Database, message_id: str) -> Complaint:
    """One answer for an admin: only one that was rated badly or declined, never any talk at all."""
    async with db.read() as session:
        answer = (await session.exec(select(Message).where(Message.id == message_id))).first()
        receipt_row = await session.get(ReceiptRow, message_id)
        rating = (
            await session.exec(select(FeedbackRow).where(FeedbackRow.message_id == message_id, FeedbackRow.value == 0))
        ).first()
    receipt = Receipt.model_validate(receipt_row.body) if receipt_row else None
    was_declined = receipt is not None and receipt.decision.level == "declined"
    if answer is None or answer.role != "assistant" or not (rating or was_declined):
        raise NotFoundError("There is no such complaint.", "It may have been withdrawn; go back to the list.")
    questions = await _questions(db, [answer])
    return Complaint(
        message_id,
        questions.get(answer.parent_id or "", ""),
        answer.text,
        rating.comment if rating else "",
        rating is not None,
        message_id in await _made(db),
        receipt,
    )


async def expected(db: Database, message_id: str, q: str) -> list[DocumentRow]:
    """Documents by title or path; without a search those whose passages the answer was given."""
    statement = select(DocumentRow).where(DocumentRow.state == "indexed")
    if q:
        statement = statement.where(
            col(DocumentRow.title).icontains(q, autoescape=True) | col(DocumentRow.path).icontains(q, autoescape=True)
        )
    else:
        told = (await complaint(db, message_id)).receipt
        statement = statement.where(col(DocumentRow.id).in_([p.document_id for p in told.passages] if told else []))
    async with db.read() as session:
        return list((await session.exec(statement.order_by(col(DocumentRow.path)).limit(FOUND))).all())
