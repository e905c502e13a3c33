"""Full text over titles and messages, the same on SQLite and Postgres. Every character of a query is a character."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, cast, column, false, literal, table
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlmodel import col, or_, select

from assistant.database.engine import Database
from assistant.database.tables import Message, Thread
from assistant.database.words import folded

TERMS = 12
_FTS = table("message_fts", column("rowid"), column("words"))


def finds(db: Database, query: str) -> ColumnElement[bool]:
    """The condition that a thread's title, or one of its messages, holds every word of the query.

    Words match by their beginning, without case and accents. A part with other characters must stand there as it is.
    """
    words = folded(query)[:TERMS]
    parts = [t for t in query.split()[:TERMS] if not t.replace("_", "-").isalnum()]
    if not (words or parts):
        return false()
    titled = [*((literal(" ") + col(Thread.words)).contains(f" {w}", autoescape=True) for w in words)]
    titled += [col(Thread.title).icontains(p, autoescape=True) for p in parts]
    said = [col(Message.text).icontains(p, autoescape=True) for p in parts]
    if words:
        said.append(_matching(db, words))
    return or_(and_(*titled), col(Thread.id).in_(select(Message.thread_id).where(*said)))


def _matching(db: Database, words: list[str]) -> ColumnElement[bool]:
    # The words are letters and digits only: nothing in them can end the quotes.
    if db.is_sqlite:
        asked = " AND ".join(f'"{w}"*' for w in words)
        return col(Message.seq).in_(select(_FTS.c.rowid).where(_FTS.c.words.op("MATCH")(asked)))
    asked = " & ".join(f"'{w}':*" for w in words)
    return col(Message.words).op("@@")(cast(literal(asked), TSQUERY))
