"""What people ask for and the documents call otherwise: the company's own words, as its admins say them.

A question with such a word is searched with the documents' word behind it, in brackets: passages that say either are
found, and what is read, judged and quoted for it is what a colleague would look for. What it gives:
docs/decisions/0022-glossary.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import GlossaryRow
from assistant.errors import InputError, NotFoundError
from assistant.index.sentences import STOP, stems
from assistant.index.spelling import standing_alone
from assistant.settings import Settings

# Of one question.
MOST = 5
SAID_CHARS, MEANT_CHARS = 60, 120
# Kept in all; a glossary is read with each question.
TERMS = 1_000
_WORD = re.compile(r"[^\W_]+(?:['’&-][^\W_]+)*")


Terms = Sequence[GlossaryRow]


@dataclass(frozen=True)
class Read:
    """A question as it is searched, and what of it stands in the glossary: each as it was said, and what it means."""

    text: str
    terms: tuple[tuple[str, str], ...] = ()


def read(question: str, terms: Terms) -> Read:
    """The question with what it means behind each of its words that stand in the glossary, at most `MOST`.

    A word is known in its forms and however it is written, but for abbreviations that are little words as well: `IT`
    stands for itself in capitals alone. The longest of several terms counts, each once, and none whose meaning the
    question says anyway.
    """
    words = list(standing_alone(question, _WORD))
    forms = [_form(w.group()) for w in words]
    known = {tuple(map(_form, t.said.split())): t for t in terms}
    longest = max(map(len, known), default=0)
    out, at, used = "", 0, dict[str, tuple[str, str]]()
    first = 0
    while first < len(words) and len(used) < MOST:
        for size in range(min(longest, len(words) - first), 0, -1):
            term = known.get(tuple(forms[first : first + size]))
            end = words[first + size - 1].end()
            if term is None or term.key in used or not _meant(term, question[words[first].start() : end]):
                continue
            if not set(stems(term.meant)) <= set(forms):
                out += f"{question[at:end]} ({term.meant})"
                at = end
                used[term.key] = question[words[first].start() : end], term.meant
            first += size - 1
            break
        first += 1
    return Read(out + question[at:], tuple(used.values()))


def _form(word: str) -> str:
    stemmed = stems(word)
    return stemmed[0] if len(stemmed) == 1 else word.lower()


def words_said(terms: Terms) -> frozenset[str]:
    """The words of the terms, in small letters: they are spelt right, though no document has them."""
    return frozenset(w for t in terms for w in t.key.split())


def _meant(term: GlossaryRow, typed: str) -> bool:
    return term.key not in STOP or typed == term.said


async def in_use(db: Database, settings: Settings) -> Terms:
    """What questions are read by: all terms, none where the glossary is switched off."""
    return await db.reading(listed) if settings.chat.steps.glossary else ()


async def listed(session: AsyncSession) -> Terms:
    """All terms, by what is said."""
    return (await session.exec(select(GlossaryRow).order_by(col(GlossaryRow.key)))).all()


async def add(session: AsyncSession, said: str, meant: str, by: str) -> GlossaryRow:
    """Let `said` mean `meant` from the next question on, in place of what it meant before.

    Raises `InputError` for what is empty or too long, no words, or one term too many.
    """
    said, meant = " ".join(said.split()), " ".join(meant.split())
    if not said or not meant:
        raise InputError("A term needs a word and what it means.", "Fill in both.")
    if len(said) > SAID_CHARS or len(meant) > MEANT_CHARS:
        raise InputError(
            f"A word has at most {SAID_CHARS} characters, what it means at most {MEANT_CHARS}.", "Say it more briefly."
        )
    if [w.group() for w in standing_alone(said, _WORD)] != said.split() or not stems(meant):
        raise InputError("A term is made of words and numbers.", "Leave out quotation marks, addresses and signs.")
    if said.casefold() == meant.casefold():
        raise InputError("A word cannot mean itself.", "Say what the documents call it.")
    row = await session.get(GlossaryRow, said.casefold())
    if row is None:
        if await _count(session) >= TERMS:
            raise InputError(f"The glossary holds {TERMS:,} terms.", "Remove what nobody says any more.")
        row = GlossaryRow(key=said.casefold(), said=said, meant=meant, by=by)
    row.said, row.meant, row.by = said, meant, by
    session.add(row)
    return row


async def remove(session: AsyncSession, said: str) -> None:
    """Let a word stand for itself again. Raises `NotFoundError`."""
    row = await session.get(GlossaryRow, " ".join(said.split()).casefold())
    if row is None:
        raise NotFoundError(f"“{said}” is not in the glossary.", "See `assistant glossary list`.")
    await session.delete(row)
    await session.flush()


async def _count(session: AsyncSession) -> int:
    return (await session.exec(select(func.count()).select_from(GlossaryRow))).one()
