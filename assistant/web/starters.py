"""Questions to begin with, out of what the asker may read."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy import select
from sqlmodel import col

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker, Case
from assistant.index.asks import LONGEST
from assistant.settings import Settings
from assistant.texts import say

HOW_MANY = 4
_LOOKED_AT = 400


@lru_cache(maxsize=2)
def _cases(path: Path, _changed: float) -> tuple[Case, ...]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            case = Case.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            continue
        if case.doc and len(case.turns) == 1 and len(case.turns[0]) <= LONGEST and case.kind == "single":
            found.append(case)
    return tuple(found)


async def starters_for(db: Database, settings: Settings, asker: Asker, language: str) -> list[str]:
    """Up to four short questions: from the case file if there is one, else those that documents ask themselves and
    answer, and what stands in others by their titles."""
    documents = await _readable(db, asker)
    if settings.cases and settings.cases.is_file():
        path = settings.cases
        cases = await asyncio.to_thread(lambda: _cases(path, path.stat().st_mtime))
        # One question a document, and only about documents that this person may read. A document whose language is not
        # known may be asked about in any: it only fills up what those in the person's own language leave open.
        own: dict[str, str] = {}
        open_: dict[str, str] = {}
        for case in cases:
            if case.doc in documents:
                written = documents[case.doc].language[:2]
                if written == language:
                    own.setdefault(case.doc, case.turns[0])
                elif not written:
                    open_.setdefault(case.doc, case.turns[0])
        few = _spread(list(own.values()), asker)
        few += _spread(list(open_.values()), asker)[: HOW_MANY - len(few)]
        if few:
            return [_as_question(q) for q in few]
    asked = {d.asks for d in documents.values() if d.asks and d.language[:2] in (language, "")}
    few = _spread(sorted(asked), asker)
    titles = [d.title for d in documents.values() if not d.asks and 4 <= len(d.title) <= LONGEST - 25]
    about = [say(language, "web.starter", title=title) for title in _spread(titles, asker)]
    return [*few, *about][:HOW_MANY]


def _as_question(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in "?.!" else f"{text}?"


def _spread(texts: list[str], asker: Asker) -> list[str]:
    """A few from all over the list, not the same few for everybody."""
    if len(texts) <= HOW_MANY:
        return texts
    step = len(texts) // HOW_MANY
    shift = sum(asker.person_id.encode()) % step
    return [texts[shift + i * step] for i in range(HOW_MANY)]


class _About(NamedTuple):
    title: str
    language: str
    asks: str


async def _readable(db: Database, asker: Asker) -> dict[str, _About]:
    """Documents that the asker may read, by path; those that ask something themselves before the others."""
    about: Any = (DocumentRow.path, DocumentRow.title, DocumentRow.language, DocumentRow.asks, AccessRule.groups)
    statement: Any = (
        select(*about)
        .join(AccessRule, col(AccessRule.id) == col(DocumentRow.rule_id))
        .where(col(DocumentRow.state) == "indexed")
        .order_by(col(DocumentRow.asks) == "", col(DocumentRow.path))
        .limit(_LOOKED_AT)
    )
    async with db.read() as session:
        rows = (await session.exec(statement)).all()
    return {path: _About(*about) for path, *about, groups in rows if asker.groups & set(groups)}
