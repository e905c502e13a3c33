"""Retrieval on judged collections in the BEIR layout, through the code that indexes and searches for people."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import RR, R, nDCG

from assistant.domain import Progress
from assistant.errors import InputError
from assistant.index.filling import embed
from assistant.index.page import Page
from assistant.index.rerank import Reader
from assistant.index.scoring import Recipe, Stages, stages
from assistant.index.split import split
from assistant.index.store import Store, Table
from assistant.index.vector_store import PassageVectorStore
from assistant.settings import IndexSettings

MEASURES = {"ndcg@10": nDCG @ 10, "recall@5": R @ 5, "recall@10": R @ 10, "recall@100": R @ 100, "mrr@10": RR @ 10}
_RULE = 1
_WINDOW = 256


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - named in the error
                if line.strip():
                    record = json.loads(line)
                    if "_id" not in record or "text" not in record:
                        raise ValueError("a record needs _id and text")
                    yield record
    except (OSError, ValueError, TypeError) as error:
        where = f"{path}" if isinstance(error, OSError) else f"{path}:{number}"
        raise InputError(f"{where}: not readable as JSON lines.", "Give a folder in the BEIR layout.") from error


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    qrels: defaultdict[str, dict[str, int]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                qrels[row["query-id"]][row["corpus-id"]] = int(float(row["score"]))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not readable as qrels.", "Give query-id, corpus-id and score, by tabs.") from error
    return dict(qrels)


Texts = Sequence[tuple[str, float]]


@dataclass
class Collection:
    """A judged collection, indexed into a release of its own."""

    table: Table
    reader: Reader
    documents: int
    qrels: dict[str, dict[str, int]]
    queries: dict[str, dict[str, Any]]

    async def run(
        self,
        texts_of: Callable[[dict[str, Any]], tuple[Texts, Texts]],
        recipe: Recipe,
        progress: Progress | None = None,
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Scores of documents for every judged query, by kind of search; `texts_of` says what is searched for it,
        and what aside (see `scoring.stages`)."""
        runs: dict[str, dict[str, dict[str, float]]] = {"text": {}, "vector": {}, "hybrid": {}}
        for done, (key, query) in enumerate(self.queries.items()):
            if progress:
                progress(done, len(self.queries), "searching")
            for name, scores in (await _search(self.table, self.reader, *texts_of(query), recipe)).items():
                runs[name][key] = {d: s for d, s in scores.items() if d != key}
        return runs

    async def search(self, texts: Sequence[tuple[str, float]], recipe: Recipe) -> Stages:
        """One search with all its stages."""
        return await stages(PassageVectorStore(self.table, [_RULE]), self.reader, texts, recipe)

    def figures(self, run: dict[str, dict[str, float]], measures: Mapping[str, Any] = MEASURES) -> dict[str, float]:
        """The measures of one kind of search."""
        found = ir_measures.calc_aggregate(list(measures.values()), self.qrels, run)
        return {k: round(found[m], 4) for k, m in measures.items()}


@asynccontextmanager
async def collection(
    folder: Path, split_name: str, reader: Reader, settings: IndexSettings, progress: Progress | None = None
) -> AsyncIterator[Collection]:
    """A folder in the BEIR layout, indexed by the code that indexes for people, and thrown away at the end."""
    qrels = _judgements(folder / "qrels" / f"{split_name}.tsv")
    queries = {str(q["_id"]): q for q in _lines(folder / "queries.jsonl") if str(q["_id"]) in qrels}
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(scratch)
        dimension = reader.dimension or len((await reader.embed(["dimension"]))[0])
        table = await store.create("corpus", dimension)
        documents = await _fill(table, folder, reader, settings, progress)
        yield Collection(table, reader, documents, qrels, queries)


async def evaluate(
    folder: Path, split_name: str, reader: Reader, settings: IndexSettings, progress: Progress | None = None
) -> dict[str, Any]:
    """nDCG, recall and MRR of text, vector and hybrid search over a collection."""
    async with collection(folder, split_name, reader, settings, progress) as judged:
        runs = await judged.run(lambda query: ([(str(query["text"]), 1.0)], ()), Recipe(), progress)
        return {
            "documents": judged.documents,
            "queries": len(judged.queries),
            **{name: judged.figures(run) for name, run in runs.items()},
        }


async def _fill(
    table: Table, folder: Path, embedder: Reader, settings: IndexSettings, progress: Progress | None
) -> int:
    rows: list[dict[str, Any]] = []
    documents = 0
    for number, record in enumerate(_lines(folder / "corpus.jsonl")):
        page = Page()
        for paragraph in str(record.get("text") or "").split("\n\n"):
            page.add(paragraph)
        parsed = page.done("text/plain", str(record.get("title") or ""))
        if not parsed.blocks and parsed.title:
            page.add(parsed.title)
            parsed = page.done("text/plain", "")
        documents = number + 1
        for chunk in split(parsed, settings.passage_words, settings.overlap_words):
            rows.append(
                {
                    "id": f"{record['_id']}\n{chunk.place.start}",
                    "document_id": number,
                    "document": str(record["_id"]),
                    "title": parsed.title,
                    "text": chunk.text,
                    "indexed": chunk.indexed,
                    "headings": [],
                    "page": None,
                    "sheet": None,
                    "start": chunk.place.start,
                    "end": chunk.place.end,
                    "access": _RULE,
                    "text_hash": "",
                }
            )
        if len(rows) >= _WINDOW:
            await _flush(table, embedder, rows)
            if progress:
                progress(documents, 0, "indexing")
    await _flush(table, embedder, rows)
    await table.build_indexes()
    return documents


async def _flush(table: Table, embedder: Reader, rows: list[dict[str, Any]]) -> None:
    await embed(embedder, rows)
    await table.add(rows)
    rows.clear()


async def _search(
    table: Table, reader: Reader, texts: Texts, aside: Texts, recipe: Recipe
) -> dict[str, dict[str, float]]:
    """Scores of documents by each kind of search; a document's is its best passage's."""
    found = await stages(PassageVectorStore(table, [_RULE]), reader, texts, recipe, aside)
    by_kind = {"text": found.text, "vector": found.vector, "hybrid": found.final}
    return {name: _by_document(scores) for name, scores in by_kind.items()}


def _by_document(scores: Mapping[str, float]) -> dict[str, float]:
    best: dict[str, float] = {}
    for key, score in scores.items():
        document = key.split("\n", 1)[0]
        best[document] = max(score, best.get(document, score))
    return best
