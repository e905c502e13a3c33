"""Case files, and the way from a bad rating or a declined question to a case."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Literal

from filelock import AsyncFileLock
from pydantic import ValidationError
from sqlalchemy import func
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import (
    AuditRow,
    CaseRow,
    DocumentRow,
    FeedbackRow,
    Message,
    Person,
    ReceiptRow,
    Thread,
)
from assistant.domain import Asker, Case
from assistant.errors import InputError, NotFoundError
from assistant.memory.threads import not_answered

_DASHES = re.compile(r"[\u2010-\u2015\u2212\-]")


def fold(text: str) -> str:
    """Text as answers are compared: case, white space, commas and dashes folded, Markdown marks left out."""
    text = re.sub(r"\\(?=[^\w\s])|\*\*|`|\[\d{1,3}\]|^>\s?", "", text, flags=re.MULTILINE)
    text = _DASHES.sub("-", text.lower()).replace(",", "")
    return " ".join(text.split())


def holds(answer: str, accepted: list[str]) -> bool:
    """Whether the answer contains any one of the accepted strings."""
    folded = fold(answer)
    return any(fold(a) in folded for a in accepted)


def read(path: Path) -> list[Case]:
    """The cases of a file, one JSON object a line. Raises `InputError` naming the line that is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such case file.", "Name a .jsonl file of cases.")
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                cases.append(Case.model_validate_json(line))
            except ValidationError as error:
                what = error.errors(include_url=False)[0]
                key = ".".join(str(p) for p in what["loc"]) or "line"
                raise InputError(f"{path}:{number}: {key}: {what['msg']}.", "Correct that line.") from error
    if not cases:
        raise InputError(f"{path}: holds no case.", "Add one JSON object a line.")
    return cases


async def make_case(
    db: Database,
    file: Path,
    admin: Asker,
    message_id: str,
    *,
    doc: str | None,
    facts: list[str],
    kind: Literal["single", "follow_up", "unanswerable"] | None = None,
) -> Case:
    """Make a case of an answer that was rated or declined, and add it to the case file, once.

    `doc` is the path of the expected document, None when nothing answers it; `facts` are the strings any one of which
    proves a right answer. Raises `InputError` when they cannot make a case, `NotFoundError` for an unknown answer.
    """
    facts = [f.strip() for f in facts if f.strip()]
    if doc and not facts:
        raise InputError("A case needs a fact.", "Mark what the right answer must contain.")
    if facts and not doc:
        raise InputError("A fact needs the document it stands in.", "Pick the expected document.")
    async with db.write() as session:
        answer = (await session.exec(select(Message).where(Message.id == message_id))).first()
        if answer is None or answer.role != "assistant":
            raise NotFoundError("There is no such answer.", "Reload the list.")
        if doc and not (await session.exec(select(DocumentRow).where(DocumentRow.path == doc))).first():
            raise InputError(f"There is no document {doc}.", "Pick one by search.")
        email = (
            await session.exec(
                select(Person.email)
                .join(Thread, col(Thread.person_id) == col(Person.id))
                .where(Thread.id == answer.thread_id)
            )
        ).one()
        questions = (
            await session.exec(
                select(Message.text)
                .where(
                    Message.thread_id == answer.thread_id, Message.role == "user", col(Message.seq) < (answer.seq or 0)
                )
                .order_by(col(Message.seq))
            )
        ).all()
        case = Case(
            id=f"rated-{message_id[:8]}",
            turns=list(questions[-3:]) if kind == "follow_up" else [questions[-1]],
            doc=doc,
            answer_contains=facts,
            kind=kind or ("single" if doc else "unanswerable"),
            asked_as=email,
        )
        body = case.model_dump(by_alias=True, exclude_defaults=False)
        await session.merge(CaseRow(id=case.id, message_id=message_id, body=body, created_by=admin.email))
        session.add(AuditRow(person=admin.email, action="make case", subject=case.id))
    await rewrite_file(db, file)
    return case


async def gaps(db: Database) -> dict[str, int]:
    """How many answers that were rated `bad`, and how many `declined` questions, are no case yet."""
    made = select(CaseRow.message_id).where(col(CaseRow.message_id).is_not(None))
    bad = select(func.count()).where(FeedbackRow.value == 0, col(FeedbackRow.message_id).not_in(made))
    declined = select(func.count()).where(*not_answered(), col(ReceiptRow.id).not_in(made))
    async with db.read() as session:
        return {
            "bad": int((await session.exec(bad)).one()),
            "declined": int((await session.exec(declined)).one()),
        }


async def rewrite_file(db: Database, file: Path) -> None:
    """Write the case file from the database, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Whoever writes last has read last: of two who make a case at once neither leaves out the other's.
    async with AsyncFileLock(file.with_suffix(".lock")):
        async with db.read() as session:
            rows = (await session.exec(select(CaseRow).order_by(col(CaseRow.created_at), col(CaseRow.id)))).all()
        fresh = file.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as out:
            for row in rows:
                out.write(json.dumps(row.body, ensure_ascii=False) + "\n")
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
