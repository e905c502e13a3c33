"""Documents are read by workers, and their passages embedded and stored in a release under construction."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, ReleaseRow
from assistant.errors import ParseError
from assistant.index import access, release
from assistant.index.page import Parsed
from assistant.index.rerank import Reader
from assistant.index.run import Beat, Failed, Parts, Read, Work, as_it_is
from assistant.index.sources.origin import Found, fingerprint
from assistant.index.split import Chunk
from assistant.index.store import Table
from assistant.index.workers import Workers

# Documents that are read before their turn comes, so that parsing goes on while others are embedded.
AHEAD = 32
# Passages embedded and stored together, and how many such lots are in the embedder's hands at once. In the built-in
# model's each passage holds the states of all its word pieces, up to 400 kB.
EMBEDDED_TOGETHER = 256
LOTS = 2
Document = tuple[Parsed, list[Chunk]]


@contextlib.asynccontextmanager
async def reading(parts: Parts, work: Sequence[Work]) -> AsyncIterator[AsyncIterator[tuple[Work, Document | str]]]:
    """The documents in their order, each as it was read or with the reason why it could not be; many are read ahead.

    Parsers and embedder start together, for both take seconds. What is still being read when the caller is done, or
    fails, is let go of.
    """
    count = max(1, min(4, os.cpu_count() or 1))
    # The bytes of so many files are in memory at once.
    room = asyncio.Semaphore(count + 1)
    tasks: deque[asyncio.Task[Document | str]] = deque()
    waiting = iter(work)

    async def one(item: Work) -> Document | str:
        async with room:
            return await _read(parts, workers, item)

    def look_ahead() -> None:
        while len(tasks) < AHEAD and (item := next(waiting, None)) is not None:
            tasks.append(asyncio.create_task(one(item)))

    async def documents() -> AsyncIterator[tuple[Work, Document | str]]:
        for item in work:
            look_ahead()
            yield item, await tasks.popleft()

    with Workers(count) as workers:
        loading = asyncio.create_task(parts.embedder.ready())
        look_ahead()
        try:
            yield documents()
        finally:
            left = [loading, *tasks]
            for task in left:
                task.cancel()
            # What the workers have in hand ends with them.
            workers.end()
            await asyncio.gather(*left, return_exceptions=True)


async def _read(parts: Parts, workers: Workers, item: Work) -> Document | str:
    """A document's facts and chunks, or the reason why it has none."""
    try:
        file = await asyncio.to_thread(item.origin.read, item.row.path, parts.file_bytes)
    except ParseError as error:
        # That is no fault of its bytes: the next run tries again.
        item.sha256, item.facts["mark"] = "", ""
        return error.problem
    item.sha256 = fingerprint(file.data)
    words, overlap = parts.settings.passage_words, parts.settings.overlap_words
    try:
        parsed, chunks = await workers.read(file.name, file.data, words, overlap)
    except ParseError as error:
        return error.problem
    return _as_told(parsed, chunks, item.found) if item.found is not None else (parsed, chunks)


def _as_told(parsed: Parsed, chunks: list[Chunk], told: Found) -> Document:
    """A document with what its source says of it in place of what it says itself; it is found by its new title."""
    if told.title and told.title != parsed.title:
        own = f"{parsed.title}\n"
        chunks = [replace(c, indexed=f"{told.title}\n{c.indexed.removeprefix(own)}") for c in chunks]
    owner, until = told.owner or parsed.owner, told.valid_until or parsed.valid_until
    return replace(parsed, title=told.title or parsed.title, owner=owner, valid_until=until), chunks


class Filling:
    """Embeds passages and stores them in a table, a lot at a time, while the next ones are gathered.

    `earlier` are tables in which a passage may stand with its vector already, `total` is how many documents there will
    be; `embedded` counts the passages that had to be embedded. Raises what the embedder, the table and the database
    raise.
    """

    def __init__(
        self, parts: Parts, table: Table, made: ReleaseRow, earlier: Sequence[Table], total: int, beat: Beat
    ) -> None:
        self._parts, self._table, self.made, self._earlier = parts, table, made, earlier
        self._total, self._beat = total, beat
        self._rows: list[dict[str, Any]] = []
        self._lots: deque[tuple[list[dict[str, Any]], int, asyncio.Task[int]]] = deque()
        self._read = 0
        self.embedded = 0

    async def take(self, rows: Iterable[dict[str, Any]]) -> None:
        """The passages of the next document."""
        self._rows += rows
        self._read += 1
        while len(self._rows) >= EMBEDDED_TOGETHER:
            await self._begin(self._rows[:EMBEDDED_TOGETHER])
            self._rows = self._rows[EMBEDDED_TOGETHER:]

    async def end(self) -> None:
        """Store what is left."""
        if self._rows:
            await self._begin(self._rows)
        while self._lots:
            await self._store()

    async def stop(self) -> None:
        """Let go of what is under way."""
        for _, _, task in self._lots:
            task.cancel()
        await asyncio.gather(*(task for _, _, task in self._lots), return_exceptions=True)

    async def _begin(self, rows: list[dict[str, Any]]) -> None:
        while len(self._lots) >= LOTS:
            await self._store()
        task = asyncio.create_task(_embed_new(self._parts.embedder, rows, self._earlier))
        self._lots.append((rows, self._read, task))

    async def _store(self) -> None:
        rows, read, task = self._lots[0]
        self.embedded += await task
        await self._table.add(rows)
        # What is embedded by now need not be embedded again, should this run be killed.
        await release.set_version(self._parts.db, self.made, await self._table.version())
        self._lots.popleft()
        await self._beat(read, self._total, str(rows[-1]["document"]))


async def fill(
    parts: Parts,
    documents: AsyncIterator[tuple[Work, Document | str]],
    filling: Filling,
    failed: list[Failed],
) -> list[Read]:
    """Embed and store the documents of a run. Returns those that gave passages, with how many.

    The others are added to `failed`. The groups that a document itself names hold before its passages are stored.
    Raises what `Filling` raises; then nothing is under way any more.
    """
    read: list[Read] = []
    made = filling.made
    prints = "|".join((made.embedder, made.splitter, made.parser))
    try:
        async for item, result in documents:
            item.facts |= {"sha256": item.sha256, "settings": prints}
            rows: list[dict[str, Any]] = []
            if isinstance(result, str):
                failed.append((item.row, item.facts, result))
            elif not result[1]:
                failed.append((item.row, item.facts, ""))
            else:
                await _said_within(parts.db, item.row, result[0].groups)
                rows = [_row(item.row, result[0], chunk) for chunk in result[1]]
                read.append((item, result[0], len(rows)))
            await filling.take(rows)
        await filling.end()
    finally:
        await filling.stop()
    return read


async def _said_within(db: Database, row: DocumentRow, groups: tuple[str, ...] | None) -> None:
    """Let the groups that a document itself names hold, before its passages are stored."""
    said = {k: v for k, v in row.narrowed.items() if k != "file"}
    if groups is not None:
        said["file"] = list(groups)
    if said == row.narrowed:
        return
    async with db.write() as session:
        document = await as_it_is(session, row)
        await access.narrow(session, document, said)
        # Should this run not end, the next one must read the file again whatever it holds then.
        document.sha256, document.mark = "", ""
        session.add(document)
    row.narrowed, row.rule_id = document.narrowed, document.rule_id


def _row(document: DocumentRow, parsed: Parsed, chunk: Chunk) -> dict[str, Any]:
    key = f"{document.source}|{document.path}|{chunk.place.start}|{chunk.text}"
    return {
        "id": hashlib.sha256(key.encode()).hexdigest()[:20],
        "document_id": document.id,
        "document": document.path,
        "title": parsed.title,
        "text": chunk.text,
        "indexed": chunk.indexed,
        "headings": list(chunk.place.headings),
        "page": chunk.place.page,
        "sheet": chunk.place.sheet,
        "start": chunk.place.start,
        "end": chunk.place.end,
        "access": document.rule_id,
        "text_hash": hashlib.sha256(chunk.text.encode()).hexdigest()[:16],
    }


async def embed(embedder: Reader, rows: Sequence[dict[str, Any]]) -> None:
    """Give every passage, a row with the text `indexed`, its `vector` and its `codes`, in place."""
    if rows:
        for row, read in zip(rows, await embedder.read([r["indexed"] for r in rows]), strict=True):
            row["vector"], row["codes"] = read


async def _embed_new(embedder: Reader, rows: list[dict[str, Any]], earlier: Sequence[Table]) -> int:
    """Give every passage its vector: copied where its very text was embedded before. Returns how many were not."""
    for table in earlier:
        wanted = {r["text_hash"] for r in rows if "vector" not in r}
        try:
            known = await table.computed(sorted(wanted)) if wanted else {}
        except (OSError, RuntimeError, ValueError):
            # It was left by a run that was killed, and its files are not whole.
            continue
        for row in rows:
            row.update(known.get(row["indexed"], {}))
    fresh = [r for r in rows if "vector" not in r]
    await embed(embedder, fresh)
    return len(fresh)
