"""Questions to begin with, out of what the asker may read."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker, Case
from assistant.settings import Settings
from assistant.texts import say

HOW_MANY = 4
LONGEST = 70
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
    """Up to four short questions: from the case file if there is one, else from the titles of documents."""
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
                written = documents[case.doc][1][:2]
                if written == language:
                    own.setdefault(case.doc, case.turns[0])
                elif not written:
                    open_.setdefault(case.doc, case.turns[0])
        few = _spread(list(own.values()), asker)
        few += _spread(list(open_.values()), asker)[: HOW_MANY - len(few)]
        if few:
            return [_as_question(q) for q in few]
    titles = [title for title, _ in documents.values() if 4 <= len(title) <= LONGEST - 25]
    return [say(language, "web.starter", title=title) for title in _spread(titles, asker)]


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


async def _readable(db: Database, asker: Asker) -> dict[str, tuple[str, str]]:
    """Path → (title, language) of documents that the asker may read."""
    statement = (
        select(DocumentRow.path, DocumentRow.title, DocumentRow.language, AccessRule.groups)
        .join(AccessRule, col(AccessRule.id) == col(DocumentRow.rule_id))
        .where(DocumentRow.state == "indexed")
        .order_by(col(DocumentRow.path))
        .limit(_LOOKED_AT)
    )
    async with db.read() as session:
        rows = (await session.exec(statement)).all()
    return {path: (title, language) for path, title, language, groups in rows if asker.groups & set(groups)}
