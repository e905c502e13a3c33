"""A local server that speaks the rerank protocol of Cohere and Jina: a text scores by the question's words in it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


class FakeReranker:
    """Keeps every request. `mode` is how it fails: refuse, stall, garbage, short."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.mode = ""
        self.app = Starlette(routes=[Route("/v1/rerank", self._rerank, methods=["POST"])])

    async def _rerank(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        if self.mode == "refuse":
            return JSONResponse({"detail": "overloaded"}, status_code=503)
        if self.mode == "garbage":
            return Response("<html>", media_type="text/html")
        if self.mode == "stall":
            await asyncio.sleep(30)
        asked = words(body["query"])
        texts = [d if isinstance(d, str) else d["text"] for d in body["documents"]]
        scored = [
            {"index": n, "relevance_score": len(asked & words(t)) / (1 + len(asked))} for n, t in enumerate(texts)
        ]
        best = sorted(scored, key=lambda r: -r["relevance_score"])
        return JSONResponse(
            {
                "id": "r1",
                "model": body["model"],
                "results": best[1:] if self.mode == "short" else best,
                "usage": {"total_tokens": 7},
            }
        )
