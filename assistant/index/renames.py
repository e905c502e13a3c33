"""Which new files are old documents under another name: the same bytes, where the old name is gone.

A document that keeps its number keeps the answers that cite it, its place in projects and its history.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.errors import ParseError
from assistant.index import access
from assistant.index.sources.origin import Found, Origin, fingerprint
from assistant.settings import Source

File = tuple[Source, Origin, Found]
Key = tuple[str, str]


async def found(files: Sequence[File], known: Mapping[Key, DocumentRow], limit: int) -> dict[Key, DocumentRow]:
    """The documents that have another name now, by source and new name; a file of more than `limit` bytes is none.

    Only files of the size of a document that is gone are read for it. Of several files of the same bytes the one with
    the old file's name is taken, else the first.
    """
    there = {(source.name, file.path) for source, _, file in files}
    names = {source.name for source, _, _ in files}
    gone: defaultdict[tuple[str, int], list[DocumentRow]] = defaultdict(list)
    for key, document in known.items():
        if key not in there and document.source in names and document.state == "indexed" and document.sha256:
            gone[document.source, document.size].append(document)
    out: dict[Key, DocumentRow] = {}
    for source, origin, file in files:
        left = gone.get((source.name, file.size), [])
        if not left or file.size == 0 or file.problem or (source.name, file.path) in known:
            continue
        try:
            digest = fingerprint((await asyncio.to_thread(origin.read, file.path, limit)).data)
        except ParseError:
            continue
        same = [d for d in left if d.sha256 == digest]
        if same:
            document = min(same, key=lambda d: PurePosixPath(d.path).name != PurePosixPath(file.path).name)
            left.remove(document)
            out[source.name, file.path] = document
    return out


async def take(db: Database, files: Iterable[File], renamed: Mapping[Key, DocumentRow]) -> None:
    """Give these documents their new names, and the rules that they fall under there, in memory.

    What is stored follows when the release goes live; until then the one before it serves them as they were.
    """
    async with db.write() as session:
        for source, _, file in files:
            if (document := renamed.get((source.name, file.path))) is not None:
                document.path = file.path
                document.rule_id = await access.rule_at(session, source, file.path, document.narrowed)
