"""A local server that speaks the OpenAI embeddings protocol: words become places in a vector, each model its own."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

WIDTH = 96


def vector(model: str, text: str) -> list[float]:
    out = [0.0] * WIDTH
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(f"{model}|{word}".encode()).digest()
        out[digest[0] % WIDTH] += 1.0 if digest[1] % 2 else -1.0
    length = math.sqrt(sum(v * v for v in out))
    return [v / length for v in out] if length else [1.0] + [0.0] * (WIDTH - 1)


class FakeEmbeddings:
    """Counts the texts that each model was asked for."""

    def __init__(self) -> None:
        self.texts: Counter[str] = Counter()
        self.app = Starlette(routes=[Route("/v1/embeddings", self._embed, methods=["POST"])])

    async def _embed(self, request: Request) -> JSONResponse:
        body = await request.json()
        model, texts = body["model"], body["input"]
        texts = [texts] if isinstance(texts, str) else texts
        self.texts[model] += len(texts)
        data = [{"object": "embedding", "index": i, "embedding": vector(model, t)} for i, t in enumerate(texts)]
        usage = {"prompt_tokens": sum(len(t.split()) for t in texts), "total_tokens": 0}
        return JSONResponse({"object": "list", "model": model, "data": data, "usage": usage})
