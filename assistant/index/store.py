"""The one door to LanceDB: tables of passages at versions."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import lancedb
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.expr import col, lit
from lancedb.index import FTS, Bitmap

from assistant.errors import ReleaseError

log = logging.getLogger(__name__)
# An index over the rules pays from here on; below, a scan is as fast.
INDEX_RULES_FROM = 5_000
TOUCHED_AT_ONCE = 500
# Versions that no release needs stay this long, for whoever still reads one.
SPARED = timedelta(hours=1)
_NEVER = timedelta(days=36_500)
# Passages of a release that stay in memory once they were read: at most about 25 MB.
KEPT_ROWS = 2_000
_MANIFEST_END = b"LANC"
# LanceDB's column for which of several vectors a row was found by.
_COUNTED = ["word", "access", "times"]
_WHICH = "query_index"
# What a model made of a passage: copied where the same text comes again.
COMPUTED = ("vector", "codes")
METADATA = [
    "id",
    "document_id",
    "document",
    "title",
    "text",
    "headings",
    "page",
    "sheet",
    "start",
    "end",
    "access",
    "text_hash",
]


def schema(dimension: int) -> pa.Schema:
    """A passage as it is stored. `indexed` is what full text search reads: title and headings before the text.

    `codes` are its word pieces for `rerank.scores`.
    """
    return pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("document_id", pa.int64()),
            pa.field("document", pa.string()),
            pa.field("title", pa.string()),
            pa.field("text", pa.string()),
            pa.field("indexed", pa.string()),
            pa.field("headings", pa.list_(pa.string())),
            pa.field("page", pa.int32()),
            pa.field("sheet", pa.string()),
            pa.field("start", pa.int64()),
            pa.field("end", pa.int64()),
            pa.field("access", pa.int32()),
            pa.field("text_hash", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
            pa.field("codes", pa.binary()),
        ]
    )


@dataclass(frozen=True)
class Contents:
    """What a table holds at a version, order-free: see `Table.contents`."""

    passages: int
    documents: int
    content_hash: str
    vectors_hash: str


class Store:
    """All tables under one address. Opened lazily, one connection for each event loop."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection: Any = None

    async def _connect(self) -> Any:
        if self._connection is None:
            self._connection = await lancedb.connect_async(self.uri)
        return self._connection

    async def create(self, name: str, dimension: int) -> Table:
        connection = await self._connect()
        return Table(name, await connection.create_table(name, schema=schema(dimension), mode="overwrite"))

    async def open(self, name: str, version: int | None = None) -> Table:
        """A table, read-only at a version if one is given. Raises `ReleaseError` when it cannot be opened."""
        try:
            try:
                table = await (await self._connect()).open_table(name)
            except Exception:
                if not await asyncio.to_thread(self._set_aside, name, version or 0):
                    raise
                table = await (await self._connect()).open_table(name)
            if version is not None:
                await table.checkout(version)
        except Exception as error:
            raise ReleaseError(
                f"The index table {name} cannot be opened ({type(error).__name__}).", "Run `assistant doctor`."
            ) from error
        return Table(name, table, fixed=version is not None)

    def _set_aside(self, name: str, version: int) -> bool:
        """Rename cut-off manifests of versions after this one: a broken newest one keeps LanceDB from all the others.

        Only on a disk of this machine, where a power loss leaves them; whole ones end with a mark.
        """
        moved = False
        for file in Path(self.uri, f"{name}.lance", "_versions").glob("*.manifest"):
            # A file is named by its version, counted down from the largest number there is.
            number = int(file.stem) if file.stem.isdecimal() else 0
            number = 2**64 - 1 - number if number > 2**63 else number
            if number > version and not file.read_bytes().endswith(_MANIFEST_END):
                log.error("Version %s of the index table %s is cut off; it is set aside.", number, name)
                file.rename(file.with_suffix(".damaged"))
                moved = True
        return moved

    async def names(self) -> list[str]:
        """The tables that are there. Raises `ReleaseError` when that cannot be seen."""
        try:
            if "://" not in self.uri:
                # LanceDB calls a folder that it may not enter an invalid value.
                with suppress(FileNotFoundError):
                    await asyncio.to_thread(os.listdir, self.uri)
            return list((await (await self._connect()).list_tables()).tables)
        except Exception as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise ReleaseError(
                f"The index {self.uri} cannot be opened: {why}.", "Check that address, and that assistant may read it."
            ) from error

    async def drop(self, name: str) -> None:
        await (await self._connect()).drop_table(name, ignore_missing=True)


K = TypeVar("K", str, int)


class _Kept(Generic[K]):
    """What was read lately, by id: the same passages answer most questions."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[K, Any] = OrderedDict()

    async def of(self, ids: Sequence[K], read: Callable[[Sequence[K]], Awaitable[dict[K, Any]]]) -> dict[K, Any]:
        """The items with these ids; those not kept are read."""
        found = {i: self._items[i] for i in ids if i in self._items}
        if missing := [i for i in ids if i not in found]:
            found |= await read(missing)
        self._items |= found
        for i in found:
            self._items.move_to_end(i)
        while len(self._items) > self._size:
            self._items.popitem(last=False)
        return found


class Table:
    """One table of passages. A table opened at a version (`fixed`) never changes under its reader."""

    def __init__(self, name: str, table: Any, *, fixed: bool = False) -> None:
        self.name = name
        self._table = table
        size = KEPT_ROWS if fixed else 0
        self._rows, self._codes = _Kept[str](size), _Kept[str](size)
        self._documents = _Kept[int](size // 50)

    async def version(self) -> int:
        return int(await self._table.version())

    async def add(self, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            await self._table.add(pa.Table.from_pylist(list(rows), schema=await self._table.schema()))

    async def remove_documents(self, documents: Sequence[int]) -> None:
        for at in range(0, len(documents), TOUCHED_AT_ONCE):
            await self._table.delete(col("document_id").isin(list(documents[at : at + TOUCHED_AT_ONCE])))

    async def set_access(self, document: int, rule: int) -> None:
        await self._table.update({"access": rule}, where=col("document_id") == lit(document))

    async def restore(self, version: int) -> None:
        """Make the newest version equal to an older one: what a killed run left behind is gone."""
        await self._table.checkout(version)
        await self._table.restore()

    async def build_indexes(self) -> None:
        """Full text (stemmed, without stop words) over what is indexed; over the rules when there are many rows."""
        config = FTS(with_position=False, stem=True, remove_stop_words=True, ascii_folding=True, lower_case=True)
        await self._table.create_index("indexed", config=config, replace=True)
        if await self._table.count_rows() >= INDEX_RULES_FROM:
            await self._table.create_index("access", config=Bitmap(), replace=True)

    async def keep_only(self, versions: Mapping[str, int]) -> None:
        """Keep these versions, each under its name, from being forgotten, and no other."""
        tags = set(await self._table.tags.list())
        for name in tags - set(versions):
            await self._table.tags.delete(name)
        for name in set(versions) - tags:
            await self._table.tags.create(name, versions[name])

    async def is_writable(self) -> bool:
        """Whether what LanceDB reads before it writes can be read; a release can be whole without it."""
        try:
            await self._table.tags.list()
        except (OSError, RuntimeError, ValueError):
            return False
        return True

    async def is_complete(self) -> bool:
        """Whether it has every column that is searched; one that an older version made may not."""
        return set(schema(1).names) <= set((await self._table.schema()).names)

    async def count(self) -> int:
        return int(await self._table.count_rows())

    async def refresh(self) -> None:
        """See what another process wrote."""
        await self._table.checkout_latest()

    async def join(self) -> None:
        """Join small files into large ones. What is read does not change."""
        await self._table.optimize(cleanup_older_than=_NEVER)

    async def forget_older(self) -> None:
        """Forget all versions but the newest: only while nobody reads the table."""
        await self._table.optimize(cleanup_older_than=timedelta(milliseconds=1))

    async def compact(self) -> None:
        """Forget the versions before the oldest that is tagged, once nobody can be reading them.

        LanceDB forgets nothing, and raises, when a tagged version is old enough to go.
        """
        tagged = {t["version"] for t in (await self._table.tags.list()).values()}
        moments = [v["timestamp"] for v in await self._table.list_versions() if v["version"] in tagged]
        oldest = min(moments, default=datetime.now(UTC))
        since = datetime.now(UTC) - (oldest if oldest.tzinfo else oldest.astimezone(UTC))
        await self._table.optimize(cleanup_older_than=max(SPARED, since + timedelta(minutes=1)))

    async def searchable(self) -> None:
        """Ask the full text index for something, which opens all its files; raises whatever LanceDB meets."""
        for row in await self._table.query().select(["indexed", "access"]).limit(1).to_list():
            await self.by_text(row["indexed"][:200], [row["access"]], 1)

    async def rows(self, columns: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        async for batch in self._batches(columns):
            for row in batch.to_pylist():
                yield row

    async def words(self) -> pa.Table:
        """Each word of the passages as it is written, under which rule and how often: `word`, `access`, `times`."""
        parts = [await asyncio.to_thread(_counted, b) async for b in self._batches(["indexed", "access"])]
        return _summed(pa.concat_tables(parts), "times", "sum") if parts else pa.table({c: [] for c in _COUNTED})

    async def _batches(self, columns: Sequence[str]) -> AsyncIterator[pa.RecordBatch]:
        async for batch in await self._table.query().select(list(columns)).to_batches(max_batch_length=2_000):
            yield batch

    async def contents(self) -> Contents:
        """Counts and hashes over every row, read back: what LanceDB does not notice missing, this does.

        The content hash is the sum of the rows' hashes, so it does not depend on their order; vectors have one of their
        own, for they differ in the last digits between runs.
        """
        total = vectors = count = 0
        documents: set[int] = set()
        async for batch in self._batches(["id", "document_id", "text", "indexed", "access", "codes", "vector"]):
            rows, floats = batch.drop_columns(["vector"]).to_pylist(), batch["vector"]
            count += len(rows)
            documents.update(row["document_id"] for row in rows)
            keys = (f"{row['id']}|{row['access']}|{row['indexed']}|{row['text']}" for row in rows)
            total += sum(_number(key.encode()) for key in keys)
            raw = floats.flatten().to_numpy().reshape(len(rows), -1)
            vectors += sum(_number(v.tobytes() + row["codes"]) for v, row in zip(raw, rows, strict=True))
            await asyncio.sleep(0)
        return Contents(count, len(documents), f"{total % 2**128:032x}", f"{vectors % 2**128:032x}")

    async def by_text(
        self, text: str, rules: Sequence[int], limit: int, documents: Sequence[int] | None = None
    ) -> dict[str, float]:
        """BM25 of the best passages by id, best first, among those that these rules admit, of these documents only."""
        if not text.strip() or not rules:
            return {}
        query = self._table.query().nearest_to_text(_words(text), columns="indexed")
        return _scores(
            await query.where(_admitted(rules, documents)).select(["id", "_score"]).limit(limit).to_arrow(), "_score"
        )

    async def by_vectors(
        self,
        vectors: Sequence[Sequence[float]],
        rules: Sequence[int],
        limit: int,
        documents: Sequence[int] | None = None,
    ) -> list[dict[str, float]]:
        """For each vector the cosine similarity of the nearest passages by id, of those that `by_text` would search.

        One query for all of them: reading the vectors is what costs, and three take hardly longer than one.
        """
        if not vectors:
            return []
        if not rules:
            return [{} for _ in vectors]
        many = len(vectors) > 1
        query = self._table.query().nearest_to([list(v) for v in vectors]).distance_type("cosine")
        columns = ["id", "_distance", *([_WHICH] if many else [])]
        rows = await query.where(_admitted(rules, documents)).select(columns).limit(limit).to_arrow()
        which = rows[_WHICH].to_numpy() if many else None
        each = [rows if which is None else rows.filter(pa.array(which == i)) for i in range(len(vectors))]
        return [{key: 1.0 - distance for key, distance in _scores(found, "_distance").items()} for found in each]

    async def passages(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these passages, in no order; nobody changes them, for others read the same."""

        async def read(missing: Sequence[str]) -> dict[str, Any]:
            # LanceDB raises on what is no valid text; no passage has such an id.
            query = self._table.query().where(col("id").isin([i for i in missing if _is_text(i)]))
            return {row["id"]: row for row in await query.select(METADATA).to_list()}

        return list((await self._rows.of(ids, read)).values())

    async def codes(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The codes of these passages."""

        async def read(missing: Sequence[str]) -> dict[str, Any]:
            query = self._table.query().where(col("id").isin(list(missing)))
            return _scores(await query.select(["id", "codes"]).to_arrow(), "codes")

        return await self._codes.of(ids, read)

    async def computed(self, text_hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What was computed of passages with these text hashes, by their `indexed` text; damaged vectors left out."""
        found: dict[str, dict[str, Any]] = {}
        for at in range(0, len(text_hashes), TOUCHED_AT_ONCE):
            query = self._table.query().where(col("text_hash").isin(list(text_hashes[at : at + TOUCHED_AT_ONCE])))
            for row in await query.select(["indexed", *COMPUTED]).to_list():
                # Embedders give unit vectors; a file that lost its bytes does not.
                if abs(sum(v * v for v in row["vector"]) - 1) < 0.01:
                    found[row["indexed"]] = {name: row[name] for name in COMPUTED}
        return found

    async def documents(self) -> dict[int, tuple[str, str]]:
        """The path of every document with a hash over its passages."""
        paths: dict[int, str] = {}
        totals: Counter[int] = Counter()
        async for row in self.rows(["document_id", "document", "indexed", "start"]):
            paths[row["document_id"]] = row["document"]
            totals[row["document_id"]] += _number(f"{row['start']}|{row['indexed']}".encode())
        return {i: (path, f"{totals[i] % 2**128:032x}") for i, path in paths.items()}

    async def of_document(self, document: int) -> list[dict[str, Any]]:
        """All passages of a document, in their order."""
        query = self._table.query().where(col("document_id") == lit(document))
        return sorted(await query.select(METADATA).to_list(), key=lambda r: r["start"])

    async def of_documents(self, documents: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """All passages of each of these documents, in their order; nobody changes them, for others read the same."""

        async def read(missing: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
            query = self._table.query().where(col("document_id").isin(list(missing)))
            found: dict[int, list[dict[str, Any]]] = {i: [] for i in missing}
            for row in await query.select(METADATA).to_list():
                found[row["document_id"]].append(row)
            return {i: sorted(rows, key=lambda r: r["start"]) for i, rows in found.items()}

        return await self._documents.of(documents, read)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:16])


def _counted(batch: pa.RecordBatch) -> pa.Table:
    """The words of three letters and more; in Arrow, which does not hold up who is being answered meanwhile."""
    words = pc.split_pattern_regex(batch["indexed"], r"[^\p{L}]+")
    rules = pc.take(batch["access"], pc.list_parent_indices(words))
    each = pa.table({"word": pc.list_flatten(words), "access": rules})
    return _summed(each.filter(pc.greater_equal(pc.utf8_length(each["word"]), 3)), "word", "count")


def _summed(counted: pa.Table, column: str, how: str) -> pa.Table:
    return counted.group_by(["word", "access"]).aggregate([(column, how)]).rename_columns(_COUNTED)


def _scores(found: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(found["id"].to_pylist(), found[column].to_pylist(), strict=True))


def _admitted(rules: Sequence[int], documents: Sequence[int] | None) -> Any:
    admitted = col("access").isin(list(rules))
    return admitted if documents is None else admitted & col("document_id").isin(list(documents))


def _words(text: str) -> str:
    """The query without what the full text parser may take for its own."""
    return "".join(c if c.isalnum() or c in "'’" else " " for c in text)
