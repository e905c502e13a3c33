"""A model server with a known delay: 300 ms to the first token, then 50 tokens a second, 60 tokens.

Speaks OpenAI's streaming protocol. The answer repeats the word `nonce-…` of the question, so that a client can tell
whether it got its own answer. `python -m bench.fake_model PORT`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

FIRST_S = 0.3
TOKENS_PER_S = float(os.environ.get("TOKENS_PER_S", "50"))
TOKENS = 60
WORDS = "the policy allows this when the lead has signed the form before payroll closes for the month".split()


async def chat(request: Request) -> StreamingResponse:
    body = await request.json()
    nonces = re.findall(r"nonce-\w+", body["messages"][-1]["content"])

    async def events() -> AsyncIterator[str]:
        began = asyncio.get_running_loop().time()
        for i in range(TOKENS):
            await asyncio.sleep(max(0.0, began + FIRST_S + i / TOKENS_PER_S - asyncio.get_running_loop().time()))
            word = f"{nonces[-1] if nonces else 'none'} [1] " if i == 0 else WORDS[i % len(WORDS)] + " "
            yield event({"content": word})
        yield event({}, "stop")
        usage = {"prompt_tokens": 800, "completion_tokens": TOKENS, "total_tokens": 800 + TOKENS}
        yield "data: " + json.dumps({**frame({}, None), "choices": [], "usage": usage}) + "\n\ndata: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


def frame(delta: dict[str, str], finish: str | None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "f", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": [choice]}


def event(delta: dict[str, str], finish: str | None = None) -> str:
    return "data: " + json.dumps(frame(delta, finish)) + "\n\n"


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    # Connections stay open as long as behind nginx: shorter, one that is taken up again may just have been closed.
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
    )
