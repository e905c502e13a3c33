"""The physical floor: a proxy that passes a model's stream through and does nothing else. `PORT UPSTREAM`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

client = httpx.AsyncClient(
    base_url=sys.argv[2] if len(sys.argv) > 2 else "", timeout=120, limits=httpx.Limits(max_connections=1000)
)


async def chat(request: Request) -> StreamingResponse:
    body = await request.body()

    async def stream() -> AsyncIterator[bytes]:
        headers = {"content-type": "application/json"}
        async with client.stream("POST", "/v1/chat/completions", content=body, headers=headers) as response:
            async for piece in response.aiter_raw():
                yield piece

    return StreamingResponse(stream(), media_type="text/event-stream")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
