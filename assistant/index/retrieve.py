"""Search: text and vectors asked apart, fused by score, within the asker's rights before and after."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import DocumentRow, ReleaseRow, SourceRow
from assistant.domain import Asker, Attempt, Nearest, Passage, Place, Scores, now
from assistant.errors import ModelError, NotFoundError, ParseError, ReleaseError
from assistant.index import access, dates, duplicates, filters, joining, release, rerank
from assistant.index.crossencoder import Reranked, Reranker
from assistant.index.scoring import Recipe, Stages, stages
from assistant.index.sources.folder import inside
from assistant.index.sources.opening import opened, remembered
from assistant.index.spelling import Spelled, Words
from assistant.index.store import Store, Table
from assistant.index.vector_store import PassageVectorStore, node_of

SURROUNDING_CHARS = 700
ORIGINAL_BYTES = 200_000_000
# How long a question waits for the words of a release that was opened a moment ago.
WORDS_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A release as questions hold it."""

    row: ReleaseRow
    table: Table


@dataclass(frozen=True)
class Today:
    """The release that answers a question, and the rules that admit who asks it."""

    opened: Opened
    rules: tuple[int, ...]


@dataclass
class ThreadQuery(QueryBundle):  # type: ignore[misc]
    """A question, and earlier texts of its thread whose scores are added with a weight each."""

    before: tuple[tuple[str, float], ...] = ()
    # The same where the question stands alone: they only help to put passages in order.
    aside: tuple[tuple[str, float], ...] = ()
    # The documents that alone are searched; None: all.
    within: frozenset[int] | None = None
    today: Today | None = None


@dataclass(frozen=True)
class Found:
    """What a search found. `signals` tell how well it fits; `ms` how long each part took."""

    passages: tuple[Passage, ...]
    release_id: int
    signals: dict[str, float] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    ms: dict[str, float] = field(default_factory=dict)
    nearest: tuple[Nearest, ...] = ()
    # Until when each document was valid that no longer is.
    expired: Mapping[int, datetime] = field(default_factory=dict)
    # What was done to the order, with its time, for the receipt.
    notes: tuple[str, ...] = ()
    # When each document is of, where that is known, and the passages whose place a newer one takes, with that one.
    dates: Mapping[int, datetime] = field(default_factory=dict)
    older: Mapping[str, str] = field(default_factory=dict)
    # How well a passage fits the question, whatever else was found: late interaction and cosine, 0 to about 1.8.
    fit: Mapping[str, float] = field(default_factory=dict)
    # How the release's words are compared, on which it depends what the signals mean.
    word_codes: rerank.WordCodes = "model"


@dataclass(frozen=True)
class Shown:
    """A passage among what stands around it, for a person."""

    passage: Passage
    before: str
    after: str
    title: str
    place: str
    link: str
    owner: str
    modified: datetime | None


@dataclass(frozen=True)
class Original:
    """A document's own file; where it is none of this machine, its bytes under the name that `path` tells."""

    path: Path
    title: str
    media_type: str
    data: bytes | None = None


def passage_of(row: Mapping[str, Any], scores: Scores | None = None) -> Passage:
    """A stored row as a passage."""
    return Passage(
        id=row["id"],
        document_id=row["document_id"],
        document=row["document"],
        title=row["title"],
        text=row["text"],
        place=Place(
            headings=tuple(row["headings"] or ()),
            page=row["page"],
            sheet=row["sheet"],
            start=row["start"],
            end=row["end"],
        ),
        access=row["access"],
        text_hash=row["text_hash"],
        scores=scores or Scores(),
    )


def _row(passage: Passage) -> dict[str, Any]:
    """A passage as its table holds it."""
    flat = passage.model_dump(include={"id", "document_id", "document", "title", "text", "access", "text_hash"})
    return flat | passage.place.model_dump()


class Knowledge:
    """The documents as people may search them. A question holds one release from its start to its end.

    `embedder_of` makes the embedder of a release that was built with another one than `embedder`, or says None.
    """

    def __init__(
        self,
        db: Database,
        store: Store,
        embedder: rerank.Reader,
        embedder_of: Callable[[ReleaseRow], rerank.Reader | None] | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._embedder = embedder
        self._embedder_of = embedder_of
        self.recipe = Recipe()
        self.reranker: Reranker | None = None
        self._opened: Opened | None = None
        self._opening = asyncio.Lock()
        self._words: tuple[Opened, asyncio.Task[Words | None]] | None = None

    async def release(self) -> Opened:
        """The active release, opened when it changed. Raises `ReleaseError` when there is none."""
        return await self._open_row(await self._db.reading(release.active))

    async def today(self, asker: Asker) -> Today:
        """What a question of this person is searched in, in one look. Raises `ReleaseError` when there is none."""

        async def work(session: AsyncSession) -> tuple[ReleaseRow | None, list[int]]:
            return await release.active(session), await self._rules(session, asker)

        row, rules = await self._db.reading(work)
        return Today(await self._open_row(row), tuple(rules))

    async def _open_row(self, row: ReleaseRow | None) -> Opened:
        if row is None:
            raise ReleaseError("There is no index yet.", "Run `assistant index sync`.")
        held = self._opened
        if held is not None and held.row.id == row.id:
            return held
        async with self._opening:
            if self._opened is None or self._opened.row.id != row.id:
                self._opened = Opened(*await release.open_active(self._db, self._store))
                if self._words is not None:
                    self.read_words(self._opened)
            return self._opened

    async def _open(self) -> Opened:
        return Opened(*await release.open_active(self._db, self._store))

    def _beside(self, held: Opened) -> Knowledge | None:
        """The way to search a release that another embedder made: while the model changes, and after going back."""
        if self._embedder_of is None or held.row.embedder == self._embedder.fingerprint:
            return None
        embedder = self._embedder_of(held.row)
        return self.as_here(Pinned(self._db, self._store, embedder, held)) if embedder is not None else None

    def other_embedder(self, row: ReleaseRow) -> Literal["", "known", "gone"]:
        """Whether a release was made with another embedder: one that is known searches it, else its text alone does."""
        if row.embedder == self._embedder.fingerprint:
            return ""
        return "known" if self._embedder_of is not None and self._embedder_of(row) is not None else "gone"

    def as_here(self, other: PinnedKind) -> PinnedKind:
        """The other one, searching as this one does."""
        other.recipe, other.reranker = self.recipe, self.reranker
        return other

    async def pinned(self, kind: type[PinnedKind]) -> PinnedKind:
        """The release that answers now, for another kind of reader."""
        held = await self.release()
        embedder = self._embedder_of(held.row) if self._embedder_of else None
        return self.as_here(kind(self._db, self._store, embedder or self._embedder, held))

    async def _rules(self, session: AsyncSession, asker: Asker) -> list[int]:
        return await access.rules_of(session, asker)

    async def _readable(
        self, session: AsyncSession, rules: Sequence[int], documents: Iterable[int]
    ) -> dict[int, DocumentRow]:
        return await access.allowed(session, rules, documents)

    def _watch(self, found: Stages) -> None:
        """Told of the stages of a search; for whoever explains one."""

    @property
    def store(self) -> Store:
        """Where the releases are."""
        return self._store

    async def readable(self, asker: Asker, documents: Iterable[int]) -> set[int]:
        """Those of the documents that the asker may read today."""
        ids = set(documents)
        return set(await self._db.reading(lambda session: access.readable(session, asker, ids)))

    async def vector(self, question: str) -> tuple[float, ...]:
        """The question as it is compared with others."""
        return tuple((await self._embedder.embed([question]))[0])

    def read_ahead(self, question: str) -> asyncio.Task[Any]:
        """Begin to read a question word by word: its search finds that done. Only the local model does it."""
        task = asyncio.create_task(self._embedder.asked(question))
        # Whoever searches meets the same error, if there is one.
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
        return task

    def read_words(self, held: Opened) -> asyncio.Task[Words | None]:
        """Begin to read the words of a release, for `spelled`; done once for each."""
        if self._words is None or self._words[0] is not held:
            self._words = held, asyncio.create_task(_words_of(held))
        return self._words[1]

    async def words(self) -> Words | None:
        """The words of the active release; None while they are being read, which nobody waits for long, or cannot be.

        Raises `ReleaseError` without an index.
        """
        reading = self.read_words(self._opened or await self.release())
        await asyncio.wait([reading], timeout=WORDS_S)
        return reading.result() if reading.done() else None

    async def spelled(self, asker: Asker, question: str, language: str, right: Container[str] = ()) -> Spelled:
        """The question with its misspelt words read as words of documents that the asker may read; none of `right`.

        As it is typed where the words of the release are not read yet. Raises `ReleaseError` without an index.
        """
        words = await self.words()
        if words is None or not words.strange(question, language, right):
            return Spelled(question)
        return words.spelled(question, language, (await self.today(asker)).rules, right)

    def retriever(self, asker: Asker, k: int) -> HybridRetriever:
        """LlamaIndex's retriever for one person."""
        return HybridRetriever(self, asker, k)

    async def filtered(self, asker: Asker, question: str) -> filters.Filter | None:
        """What a question restricts its search to, by words that name documents which the asker may read."""
        if not filters.may_filter(question):
            return None

        async def work(session: AsyncSession) -> Any:
            return await filters.known(session, await self._rules(session, asker))

        return filters.find(question, await self._db.reading(work), now())

    async def search(
        self,
        asker: Asker,
        query: str,
        k: int,
        before: Sequence[tuple[str, float]] = (),
        within: frozenset[int] | None = None,
        today: Today | None = None,
        *,
        aside: Sequence[tuple[str, float]] = (),
        words_will_do: bool = False,
    ) -> Found:
        """The best `k` passages that the asker may read, of the documents `within` only.

        `today` is what it is searched in, where the caller has looked. With `words_will_do` the text alone is searched
        where the embedding model does not answer. Raises `ReleaseError` without an index, `ModelError`.
        """
        today = today or await self.today(asker)
        opened, rules = today.opened, today.rules
        if (beside := self._beside(opened)) is not None:
            return await beside.search(asker, query, k, before, within, today, aside=aside, words_will_do=words_will_do)
        store = PassageVectorStore(opened.table, rules, within)
        texts = [(query, 1.0), *_said(before)]
        found, notes = await self._stages(store, texts, _said(aside), opened.row.embedder, words_will_do=words_will_do)
        self._watch(found)
        began = time.monotonic()
        best = found.order()[: k * 5 + 30]
        rows = {r["id"]: r for r in await opened.table.passages(best)}
        documents = await self._db.reading(
            lambda session: self._readable(session, rules, [r["document_id"] for r in rows.values()])
        )
        shown: Counter[int] = Counter()
        kept: list[str] = []
        best = [i for i in best if i in rows and rows[i]["document_id"] in documents]
        reranked = await self._reranked(query, [rows[i] for i in best], found)
        best.sort(key=lambda i: (-reranked.final[i], i))
        readable = {i: rows[i]["document_id"] for i in best}
        texts_of = {i: rows[i]["text"] for i in readable}
        for i in duplicates.once(list(readable), texts_of, readable, documents):
            document = readable[i]
            if shown[document] < self.recipe.of_one_document:
                shown[document] += 1
                kept.append(i)
        moment = now()
        fit = {i: late + found.vector.get(i, 0.0) for i, late in found.late.items()}
        notes += filter(None, [reranked.note])
        older: Mapping[str, str] = {}
        if self.recipe.newest_first:
            began_dates = time.monotonic()
            by_age = dates.ordered(kept, reranked.final, fit, texts_of, readable, documents, query, moment)
            kept, older = by_age.passages, by_age.older
            notes.append(f"dates {_since(began_dates)} ms: {by_age.moved} newer or valid moved up")
        # How well the best fit: see `decide.Calibration`.
        signals = {
            "late": max((found.late[i] for i in kept[:k] if i in found.late), default=0.0),
            "vector": max((round(found.vector.get(i, 0.0), 4) for i in kept[:k]), default=0.0),
        }
        scored = {
            i: Scores(
                text=round(found.text.get(i, 0.0), 4),
                vector=round(found.vector.get(i, 0.0), 4),
                fused=round(found.final[i], 4),
                reranked=round(reranked.given[i], 4) if i in reranked.given else None,
            )
            for i in kept
        }
        if self.recipe.join_tokens:
            began_joining = time.monotonic()
            whole = await self._joined(opened.table, kept, k, {i: rows[i] for i in readable}, fit, rules)
            if whole.into:
                scored |= {whole.into[i]: scored[i] for i in reversed(kept) if i in whole.into}
                fit |= {j: max(fit.get(i, 0.0) for i in whole.into if whole.into[i] == j) for j in whole.rows}
                older = {whole.into.get(i, i): whole.into.get(j, j) for i, j in older.items()}
                kept, rows = whole.passages, {**rows, **whole.rows}
            notes.append(f"join {_since(began_joining)} ms: {len(whole.rows)} passages grown")
        passages = tuple(passage_of(rows[i], scored[i]) for i in kept[:k])
        ms = {**found.ms, "read": _since(began)}
        nearest = _nearest(passages, documents)
        assert opened.row.id is not None
        expired = {i: d.valid_until for i, d in documents.items() if d.valid_until and d.valid_until < moment}
        return Found(
            passages,
            opened.row.id,
            signals,
            (self._embedding(ms.get("embed", 0.0)), *([reranked.attempt] if reranked.attempt else [])),
            ms,
            nearest,
            expired,
            notes=tuple(notes),
            dates=_dates(documents),
            older=older,
            fit=fit,
            word_codes=self._embedder.word_codes,
        )

    async def _stages(
        self,
        store: PassageVectorStore,
        texts: Sequence[tuple[str, float]],
        aside: Sequence[tuple[str, float]],
        made_by: str,
        *,
        words_will_do: bool,
    ) -> tuple[Stages, list[str]]:
        """The stages of a search in a release that `made_by` embedded, and what is to be said of it."""
        # Vectors of another embedder cannot be compared: a release rolled back to is searched by its text alone.
        comparable = made_by == self._embedder.fingerprint
        try:
            return await stages(store, self._embedder, texts, self.recipe, aside, comparable=comparable), []
        except ModelError:
            if not words_will_do:
                raise
        found = await stages(store, self._embedder, texts, self.recipe, aside, comparable=False)
        return found, ["the embedding model did not answer: searched by words alone"]

    async def _reranked(self, query: str, best: Sequence[joining.Row], found: Stages) -> Reranked:
        """The best passages as a cross-encoder orders them, where there is one."""
        if self.reranker is None:
            return Reranked(found.final, {}, None, "")
        read = best[: self.reranker.candidates]
        texts = {r["id"]: "\n".join([r["title"], *(r["headings"] or ()), r["text"]]) for r in read}
        return await self.reranker.order(query, texts, found.final)

    async def _joined(
        self,
        table: Table,
        kept: Sequence[str],
        k: int,
        rows: Mapping[str, joining.Row],
        fit: Mapping[str, float],
        rules: Sequence[int],
    ) -> joining.Joined:
        """The passages, those among the best `k` grown by their neighbours within the rules of the asker."""
        wanted = joining.plan(kept[:k], rows, fit)
        read = await table.of_documents(sorted(wanted)) if wanted else {}
        allowed = set(rules)
        documents = {i: [r for r in of if r["access"] in allowed] for i, of in read.items()}
        return joining.joined(kept, rows, documents, fit, self.recipe.join_tokens)

    def _embedding(self, ms: float) -> Attempt:
        """The ledger's row for the question's own embedding."""
        name = self._embedder.fingerprint
        provider = "local" if name.startswith("minilm") else "litellm"
        return Attempt(
            feature="embed_query",
            kind="embedding",
            provider=provider,
            model_asked=name,
            model_served=name,
            ms=round(ms),
        )

    async def passage(self, asker: Asker, passage_id: str, release_id: int | None = None) -> Shown:
        """A passage in its surroundings. Raises `NotFoundError` when it is gone or not the asker's to read."""
        table = await self._table_of(release_id)
        rows = await joining.read(table, [passage_id])
        if not rows and release_id is not None:
            table = await self._table_of(None)
            rows = await joining.read(table, [passage_id])
        if not rows:
            raise _gone()
        passage = passage_of(rows[0])
        document = await self._allowed(asker, passage.document_id)
        around = await table.of_document(passage.document_id)
        before = _joined([r for r in around if r["start"] < passage.place.start], passage.place.start, 0)
        after = _joined([r for r in around if r["end"] > passage.place.end], 2**60, passage.place.end)
        return Shown(
            passage=passage,
            before=before[-SURROUNDING_CHARS:],
            after=after[:SURROUNDING_CHARS],
            title=passage.title,
            place=passage.place.label(),
            link=document.link or f"/documents/{document.id}",
            owner=document.owner,
            modified=document.modified,
        )

    async def whole(self, asker: Asker, document_id: int) -> tuple[int, tuple[Passage, ...]]:
        """All passages of a document in their order, and the release they are of.

        Raises `NotFoundError` when it is gone or not the asker's to read, `ReleaseError` without an index.
        """
        held = await self.release()
        async with self._db.read() as session:
            rules = await access.rules_of(session, asker)
            if not await access.allowed(session, rules, [document_id]):
                raise _gone()
        # Where the release still carries an older rule, the narrower of the two counts, as in the search.
        rows = [r for r in await held.table.of_document(document_id) if r["access"] in set(rules)]
        if not rows:
            raise _gone()
        assert held.row.id is not None
        return held.row.id, tuple(passage_of(r) for r in rows)

    async def original(self, asker: Asker, document_id: int) -> Original:
        """The file of a document. Raises `NotFoundError` when it is gone or not the asker's to read."""
        document = await self._allowed(asker, document_id)
        async with self._db.read() as session:
            source = await session.get(SourceRow, document.source)
        if source is None:
            raise _gone()
        try:
            if source.kind != "folder":
                known = remembered(source.name, source.location, "", source.settings)
                origin = opened(known, source.location)
                file = await asyncio.to_thread(origin.read, document.path, ORIGINAL_BYTES)
                return Original(Path(file.name), document.title, document.media_type, file.data)
            path = inside(Path(source.location), document.path)
        except ParseError as error:
            raise _gone() from error
        if not path.is_file():
            raise _gone()
        return Original(path, document.title, document.media_type)

    async def _allowed(self, asker: Asker, document_id: int) -> DocumentRow:
        found = await self._db.reading(lambda session: access.readable(session, asker, [document_id]))
        if document_id not in found:
            raise _gone()
        return found[document_id]

    async def _table_of(self, release_id: int | None) -> Table:
        opened = await self.release()
        if release_id is None or release_id == opened.row.id:
            return opened.table
        async with self._db.read() as session:
            row = (await session.exec(select(ReleaseRow).where(ReleaseRow.id == release_id))).first()
        if row is None or row.state not in release.KEPT_STATES:
            return opened.table
        try:
            return await self._store.open(row.table_name, row.version)
        except ReleaseError:
            return opened.table


class Pinned(Knowledge):
    """One release, with its own embedder, whichever is active."""

    def __init__(self, db: Database, store: Store, embedder: rerank.Reader, held: Opened) -> None:
        super().__init__(db, store, embedder)
        self._held = held

    async def _open_row(self, row: ReleaseRow | None) -> Opened:
        return self._held


PinnedKind = TypeVar("PinnedKind", bound=Pinned)


class HybridRetriever(BaseRetriever):  # type: ignore[misc]
    """LlamaIndex's face of `Knowledge.search`, for one person."""

    def __init__(self, knowledge: Knowledge, asker: Asker, k: int) -> None:
        super().__init__()
        self._knowledge, self._asker, self._k = knowledge, asker, k
        self._found: Found | None = None

    @property
    def found(self) -> Found:
        """What the last retrieval found, with its signals."""
        assert self._found is not None
        return self._found

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = query_bundle if isinstance(query_bundle, ThreadQuery) else ThreadQuery(query_bundle.query_str)
        self._found = await self._knowledge.search(
            self._asker,
            asked.query_str,
            self._k,
            asked.before,
            asked.within,
            asked.today,
            aside=asked.aside,
            words_will_do=True,
        )
        return [NodeWithScore(node=node_of(_row(p)), score=p.scores.fused) for p in self._found.passages]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        raise NotImplementedError("a synchronous search would block the event loop: use aretrieve")


def _gone() -> NotFoundError:
    return NotFoundError("This is not available to you.", "It may have been removed, or your rights have changed.")


async def _words_of(held: Opened) -> Words | None:
    try:
        counted = await held.table.words()
    except (OSError, RuntimeError, ValueError) as error:
        log.warning("the words of release %s cannot be read: %s", held.row.id, type(error).__name__)
        return None
    columns = (counted[name].to_pylist() for name in counted.column_names)
    return await asyncio.to_thread(Words, zip(*columns, strict=True)) if len(counted) else None


def _said(texts: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(text, weight) for text, weight in texts if text.strip() and weight > 0]


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)


def _joined(rows: Sequence[Mapping[str, Any]], until: int, since: int) -> str:
    """The text of neighbouring passages between two offsets, without what they share."""
    out, at = "", since
    for row in rows:
        start, end = max(row["start"], at), min(row["end"], until)
        if end > start:
            gap = "\n\n" if out and row["start"] > at else ""
            out += gap + row["text"][start - row["start"] : end - row["start"]]
            at = end
    return out


def _dates(documents: Mapping[int, DocumentRow]) -> dict[int, datetime]:
    found = {i: dates.dated(d.title, d.path, d.modified) for i, d in documents.items()}
    return {i: date for i, date in found.items() if date is not None}


def _nearest(passages: Sequence[Passage], documents: Mapping[int, DocumentRow]) -> tuple[Nearest, ...]:
    first: dict[int, Passage] = {}
    for passage in passages:
        first.setdefault(passage.document_id, passage)
    return tuple(
        Nearest(document_id=i, document=p.document, title=p.title, owner=documents[i].owner) for i, p in first.items()
    )
