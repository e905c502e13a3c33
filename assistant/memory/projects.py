"""Projects: talks of one person under instructions and documents of their own choosing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import Person, ProjectRow, Thread
from assistant.domain import Asker, now
from assistant.errors import InputError, LimitError, NotFoundError
from assistant.memory.threads import own

PROJECTS = 30
NAME_CHARS = 80
INSTRUCTION_CHARS = 1_000
DOCUMENTS = 30


@dataclass(frozen=True)
class Given:
    """What a talk's project gives its questions. Which of the documents may still be read is not decided here."""

    instructions: str = ""
    documents: frozenset[int] = frozenset()
    # Whether nothing but the documents is searched, and the project's name, to say so.
    only: bool = False
    name: str = ""


def _missing() -> NotFoundError:
    return NotFoundError("There is no such project.", "Reload the page.")


async def _own(session: AsyncSession, asker: Asker, project_id: str) -> ProjectRow:
    row = await session.get(ProjectRow, project_id, with_for_update=True)
    if row is None or row.person_id != asker.person_id:
        raise _missing()
    return row


def _clean(name: str, instructions: str) -> tuple[str, str]:
    name, instructions = " ".join(name.split()), instructions.strip()
    if not name or len(name) > NAME_CHARS:
        raise InputError("A project needs a name.", f"Give it one of at most {NAME_CHARS} characters.")
    if len(instructions) > INSTRUCTION_CHARS:
        raise InputError("The instructions are too long.", f"Shorten them to {INSTRUCTION_CHARS:,} characters.")
    return name, instructions


async def list_of(db: Database, asker: Asker) -> list[tuple[ProjectRow, int]]:
    """The asker's own projects by name, each with how many talks it holds."""
    count = select(col(Thread.project_id), func.count()).where(
        Thread.person_id == asker.person_id, col(Thread.deleted_at).is_(None)
    )
    async with db.read() as session:
        mine = select(ProjectRow).where(ProjectRow.person_id == asker.person_id).order_by(col(ProjectRow.name))
        rows = (await session.exec(mine)).all()
        counts = dict((await session.exec(count.group_by(col(Thread.project_id)))).all())
    return [(row, counts.get(row.id, 0)) for row in rows]


async def create(db: Database, asker: Asker, name: str, instructions: str = "") -> ProjectRow:
    """Make one. Raises `LimitError` beyond the number."""
    name, instructions = _clean(name, instructions)
    async with db.write() as session:
        await session.get(Person, asker.person_id, with_for_update=True)  # two at once must not pass the limit
        count = select(func.count()).select_from(ProjectRow).where(ProjectRow.person_id == asker.person_id)
        if (await session.exec(count)).one() >= PROJECTS:
            raise LimitError(f"I keep {PROJECTS} projects at most.", "Delete one that is over.")
        row = ProjectRow(person_id=asker.person_id, name=name, instructions=instructions)
        session.add(row)
    return row


async def change(db: Database, asker: Asker, project_id: str, name: str, instructions: str) -> None:
    """Replace its name and instructions; they hold from the next question."""
    name, instructions = _clean(name, instructions)
    async with db.write() as session:
        row = await _own(session, asker, project_id)
        row.name, row.instructions, row.updated_at = name, instructions, now()
        session.add(row)


async def search_only(db: Database, asker: Asker, project_id: str, only: bool) -> None:
    """Search its documents alone, or before all others. It holds from the next question."""
    async with db.write() as session:
        row = await _own(session, asker, project_id)
        row.only, row.updated_at = only, now()
        session.add(row)


async def choose(db: Database, asker: Asker, project_id: str, documents: Sequence[int]) -> None:
    """Replace the documents of its choosing. Whether the asker may read them is for the caller to check."""
    chosen = sorted(set(documents))
    if len(chosen) > DOCUMENTS:
        raise LimitError(f"A project has {DOCUMENTS} documents at most.", "Take one out first.")
    async with db.write() as session:
        row = await _own(session, asker, project_id)
        row.documents, row.updated_at = chosen, now()
        session.add(row)


async def delete(db: Database, asker: Asker, project_id: str) -> None:
    """Remove it. Its talks stay, outside of any."""
    async with db.write() as session:
        row = await _own(session, asker, project_id)
        await session.exec(update(Thread).where(col(Thread.project_id) == project_id).values(project_id=None))
        await session.delete(row)


async def put(db: Database, asker: Asker, thread_id: str, project_id: str) -> None:
    """Put one's own talk into one's own project, out of another; an empty id takes it out."""
    async with db.write() as session:
        thread = await own(session, asker, thread_id, hold=True)
        thread.project_id = (await _own(session, asker, project_id)).id if project_id else None
        session.add(thread)


async def of_thread(session: AsyncSession, asker: Asker, thread_id: str) -> Given:
    """What the project of one's own talk gives its questions; nothing for a talk without one."""
    statement = (
        select(ProjectRow)
        .join(Thread, col(Thread.project_id) == col(ProjectRow.id))
        .where(Thread.id == thread_id, Thread.person_id == asker.person_id, ProjectRow.person_id == asker.person_id)
    )
    row = (await session.exec(statement)).first()
    if row is None:
        return Given()
    # Without documents there is nothing to search alone.
    return Given(row.instructions, frozenset(row.documents), row.only and bool(row.documents), row.name)
