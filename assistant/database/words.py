"""Words as they are searched: the same for what is kept and for what is asked, on every database."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# Postgres takes no word of 2 KB and no row of a megabyte of them.
WORD_CHARS = 64
WORDS = 4_000
_WORD = re.compile(r"[^\W_]+")


def folded(text: str) -> list[str]:
    """The words of a text without case and accents, each once, in order."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return list(dict.fromkeys(w[:WORD_CHARS] for w in _WORD.findall(plain)))[:WORDS]


def kept(text: str) -> str:
    """What stands in a column `words`: SQLite's full text and Postgres' tsvector read it as it is."""
    return " ".join(folded(text))


def alembic_knows(name: str | None, kind: str, _parents: Any) -> bool:
    """False for what only a migration can say: SQLite's full-text tables and Postgres' index of words."""
    return not (name or "").startswith(("message_fts", "ix_message_words"))
