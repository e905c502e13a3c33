"""What a team writes in an afternoon: Chainlit over a LlamaIndex chat engine, nothing kept, no sign-in, no rating.

Served by `chainlit run bench/plain.py`; `MODEL` is the address of the model server. Passages of the demo's documents in
LlamaIndex's own store in memory, with the product's embedder.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import chainlit as cl
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI
from pydantic import PrivateAttr

from assistant.index.embed import MiniLM
from assistant.index.parse import parse
from assistant.index.split import split
from assistant.settings import PROJECT


class Local(BaseEmbedding):  # type: ignore[misc]
    """The product's embedder as LlamaIndex calls one."""

    _model: MiniLM = PrivateAttr(default_factory=lambda: MiniLM(PROJECT / "data/models"))

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._model.embed_now([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._model.embed([query]))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.embed_now([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed_now(texts)


def nodes() -> list[TextNode]:
    files = sorted((PROJECT / "data/demo/documents").rglob("*.md"))
    return [
        TextNode(text=chunk.text) for file in files for chunk in split(parse(file.name, file.read_bytes()), 180, 30)
    ]


index = VectorStoreIndex(nodes(), embed_model=Local())
model = OpenAI(model="gpt-4o-mini", api_base=os.environ["MODEL"] + "/v1", api_key="none", timeout=60)


@cl.on_chat_start
async def start() -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=4000)
    engine = index.as_chat_engine(chat_mode="context", llm=model, similarity_top_k=8, memory=memory)
    cl.user_session.set("engine", engine)


@cl.on_message
async def answer(message: cl.Message) -> None:
    engine: Any = cl.user_session.get("engine")
    out = cl.Message(content="")
    reply = await engine.astream_chat(message.content)
    async for token in reply.async_response_gen():
        await out.stream_token(token)
    await out.update()
    await asyncio.sleep(0)
