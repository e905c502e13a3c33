"""What a person asked to be remembered: shown to them, changed and deleted by them, told to nobody else."""

from __future__ import annotations

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import NoteRow, Person
from assistant.domain import Asker, now
from assistant.errors import InputError, LimitError, NotFoundError

NOTES = 50
NOTE_CHARS = 300


def _clean(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise InputError("There is nothing to remember.", "Write a sentence.")
    if len(text) > NOTE_CHARS:
        raise InputError("That is too long to remember.", f"Shorten it to {NOTE_CHARS} characters.")
    return text


async def notes(session: AsyncSession, asker: Asker) -> list[NoteRow]:
    """The asker's own notes, oldest first."""
    statement = select(NoteRow).where(NoteRow.person_id == asker.person_id).order_by(col(NoteRow.seq))
    return list((await session.exec(statement)).all())


async def remember(db: Database, asker: Asker, text: str) -> NoteRow:
    """Keep a note; the same words are kept once. Raises `LimitError` beyond the number, `InputError` when long."""
    text = _clean(text)
    async with db.write() as session:
        await session.get(Person, asker.person_id, with_for_update=True)  # two at once must not pass the limit
        own = select(NoteRow).where(NoteRow.person_id == asker.person_id)
        if known := (await session.exec(own.where(NoteRow.text == text))).first():
            return known
        count = (
            await session.exec(select(func.count()).select_from(NoteRow).where(NoteRow.person_id == asker.person_id))
        ).one()
        if count >= NOTES:
            raise LimitError(f"I keep {NOTES} notes at most.", "Delete one that no longer holds.")
        note = NoteRow(person_id=asker.person_id, text=text)
        session.add(note)
        return note


async def change(db: Database, asker: Asker, note_id: str, text: str) -> None:
    """Replace the words of one's own note."""
    text = _clean(text)
    async with db.write() as session:
        note = await _own(session, asker, note_id)
        note.text, note.updated_at = text, now()
        session.add(note)


async def forget(db: Database, asker: Asker, note_id: str) -> None:
    """Delete one's own note."""
    async with db.write() as session:
        await session.delete(await _own(session, asker, note_id))


async def _own(session: AsyncSession, asker: Asker, note_id: str) -> NoteRow:
    statement = select(NoteRow).where(NoteRow.id == note_id, NoteRow.person_id == asker.person_id)
    note = (await session.exec(statement)).first()
    if note is None:
        raise NotFoundError("There is no such note.", "Reload the page.")
    return note
