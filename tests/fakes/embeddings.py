"""A local server that speaks the OpenAI embeddings protocol: words become places in a vector, each model its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import re
import struct
from collections import Counter
from functools import lru_cache
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

WIDTH = 96


def vector(model: str, text: str) -> list[float]:
    out = [0.0] * WIDTH
    for word in re.findall(r"\w+", text.lower()) or [""]:
        place, sign = _place(model, word)
        out[place] += sign
    length = math.sqrt(sum(v * v for v in out))
    return [v / length for v in out] if length else [1.0] + [0.0] * (WIDTH - 1)


@lru_cache(maxsize=100_000)
def _place(model: str, word: str) -> tuple[int, float]:
    digest = hashlib.sha256(f"{model}|{word}".encode()).digest()
    return digest[0] % WIDTH, 1.0 if digest[1] % 2 else -1.0


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


class FakeEmbeddings:
    """Counts the texts that each model was asked for, and how vectors were asked for.

    `down`, and the next calls that are to fail, are answered with 503.
    `packs`: `yes` gives them in base64 where asked, `no` as numbers all the same, `refuses` answers that with 400.
    """

    def __init__(self, packs: Literal["yes", "no", "refuses"] = "yes") -> None:
        self.packs = packs
        self.texts: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.down, self.fails, self.takes_s, self.calls = False, 0, 0.0, 0
        self.app = Starlette(routes=[Route("/v1/embeddings", self._embed, methods=["POST"])])

    async def _embed(self, request: Request) -> JSONResponse:
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        self.fails -= (failing := self.fails > 0)
        if self.down or failing:
            return JSONResponse({"error": {"message": "overloaded"}}, status_code=503)
        body = await request.json()
        model, texts = body["model"], body["input"]
        texts = [texts] if isinstance(texts, str) else texts
        wanted = body.get("encoding_format", "float")
        self.formats[wanted] += 1
        if wanted == "base64" and self.packs == "refuses":
            return JSONResponse({"error": {"message": "unknown field: encoding_format"}}, status_code=400)
        self.texts[model] += len(texts)
        packed = wanted == "base64" and self.packs == "yes"
        data = [
            {"object": "embedding", "index": i, "embedding": _packed(v) if packed else v}
            for i, v in enumerate(vector(model, t) for t in texts)
        ]
        usage = {"prompt_tokens": sum(len(t.split()) for t in texts), "total_tokens": 0}
        return JSONResponse({"object": "list", "model": model, "data": data, "usage": usage})
