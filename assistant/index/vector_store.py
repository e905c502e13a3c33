"""A release of passages as LlamaIndex sees it. Its import takes seconds, and not all that read a table need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from assistant.index.store import METADATA, Table


class PassageVectorStore(BasePydanticVectorStore):  # type: ignore[misc]
    """A release as LlamaIndex sees it. LlamaIndex's own store for LanceDB joins filters as text: this one cannot.

    Reading only: passages are written by a run. `rules` are the access rules of the person who asks, `documents` those
    that the question restricts itself to.
    """

    stores_text: bool = True
    flat_metadata: bool = True
    rules: list[int]
    documents: list[int] | None = None
    _table: Table = PrivateAttr()

    def __init__(self, table: Table, rules: Sequence[int], documents: Iterable[int] | None = None) -> None:
        super().__init__(rules=list(rules), documents=None if documents is None else sorted(documents))
        self._table = table

    @classmethod
    def class_name(cls) -> str:
        return "PassageVectorStore"

    @property
    def client(self) -> Any:
        return self._table

    def add(self, nodes: list[BaseNode], **kwargs: Any) -> list[str]:
        raise NotImplementedError("passages are written by an indexing run")

    def delete(self, ref_doc_id: str, **kwargs: Any) -> None:
        raise NotImplementedError("documents leave by an indexing run")

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        raise NotImplementedError("a synchronous search would block the event loop: use aquery")

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Ids and scores, without the nodes: BM25 for TEXT_SEARCH, cosine similarity otherwise.

        Both sides are asked for far more passages than are shown, and only those shown are read: see `aget_nodes`.
        """
        if query.mode is VectorStoreQueryMode.TEXT_SEARCH:
            found = await self._table.by_text(query.query_str or "", self.rules, query.similarity_top_k, self.documents)
        else:
            (found,) = await self.near([query.query_embedding or []], query.similarity_top_k)
        return VectorStoreQueryResult(ids=list(found), similarities=list(found.values()))

    async def near(self, vectors: Sequence[Sequence[float]], limit: int) -> list[dict[str, float]]:
        """What `aquery` gives for each of these embeddings, scores by id, in one look."""
        return await self._table.by_vectors(vectors, self.rules, limit, self.documents)

    async def codes(self, ids: Sequence[str]) -> dict[str, bytes]:
        """What `rerank.scores` reads of these passages."""
        return await self._table.codes(ids)

    async def aget_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[BaseNode]:
        """The passages with these ids, in their order."""
        rows = {r["id"]: r for r in await self._table.passages(node_ids or [])}
        return [node_of(rows[i]) for i in node_ids or [] if i in rows]


def node_of(row: dict[str, Any]) -> TextNode:
    """A stored row as a LlamaIndex node; the metadata carries all of a `Passage` but its scores."""
    metadata = {name: row[name] for name in METADATA if name not in {"id", "text"}}
    hidden = list(metadata)
    node = TextNode(id_=row["id"], text=row["text"], metadata=metadata)
    node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = hidden
    return node
