"""A local server that speaks the OpenAI chat protocol and fails on demand: the model's name says how.

`ok`, `500`, `429` (with Retry-After), `429bare`, `401`, `400`, `404` (no such model), `too_long`, `hang`, `slow`,
`stall`, `cut` (the connection breaks mid-stream), `nofinish` (the stream ends without its end), `nochoices`, `garbage`,
`badjson` (garbage mid-stream), `keepalive` (chunks without text, for ever), `length` (ends at its limit of tokens),
`nousage`. `obey` is given to a function that reads the request's messages and writes the reply.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ANSWER = "You may carry over ten days [1]. They lapse on 31 March [1]."
STATUS = {"500": 500, "429": 429, "429bare": 429, "401": 401, "400": 400, "404": 404}


class FakeOpenAI:
    """Counts what it was asked; `reply` and `pause_s` may be changed between calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.reply = ANSWER
        self.obey: Callable[[list[dict[str, Any]]], str] | None = None
        # Which tools to call, from the request's messages: names with arguments.
        self.picks: Callable[[list[dict[str, Any]]], list[tuple[str, Any]]] = lambda _: []
        self.pause_s = 0.0
        self.cut_at = 4
        self.retry_after = "1"
        self.app = Starlette(routes=[Route("/v1/chat/completions", self._chat, methods=["POST"])])

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        mode = body["model"]
        self.calls[mode] += 1
        self.requests.append(body)
        if mode in STATUS:
            headers = {"retry-after": self.retry_after} if mode == "429" else {}
            return JSONResponse({"error": {"message": f"fake {mode}", "type": "fake"}}, STATUS[mode], headers)
        if mode == "too_long":
            message = "This model's maximum context length is 10 tokens."
            error = {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}
            return JSONResponse({"error": error}, 400)
        if mode == "hang":
            await asyncio.sleep(30)
        if mode == "garbage":
            return Response("data: {not json\n\n", media_type="text/event-stream")
        if body.get("tools") and not body.get("stream"):
            return JSONResponse(picked(mode, self.picks(body["messages"])))
        return StreamingResponse(self._stream(mode, body), media_type="text/event-stream")

    async def _stream(self, mode: str, body: dict[str, Any]) -> AsyncIterator[str]:
        pieces = re.findall(r"\s*\S+\s*", self.obey(body["messages"]) if self.obey else self.reply)
        if mode == "slow":
            await asyncio.sleep(2)
        while mode == "keepalive":
            yield event(chunk(mode, None))
            await asyncio.sleep(0.1)
        if mode == "nochoices":
            yield event({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": mode, "choices": []})
            yield "data: [DONE]\n\n"
            return
        for i, piece in enumerate(pieces):
            if i == self.cut_at:
                if mode == "cut":
                    raise ConnectionResetError
                if mode == "nofinish":
                    return
                if mode == "stall":
                    await asyncio.sleep(30)
                if mode == "badjson":
                    yield 'data: {"choices": [{"delta": {"content": \n\n'
                if mode == "length":
                    break
            yield event(chunk(mode, piece))
            await asyncio.sleep(self.pause_s)
        yield event(chunk(mode, None, finish="length" if mode == "length" else "stop"))
        if mode != "nousage" and (body.get("stream_options") or {}).get("include_usage"):
            usage = {
                "prompt_tokens": 1000,
                "completion_tokens": len(pieces),
                "total_tokens": 1000 + len(pieces),
                "prompt_tokens_details": {"cached_tokens": 400},
            }
            yield event({**chunk(mode, None), "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"


def chunk(model: str, content: str | None, finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": f"{model}-2026",
        "choices": [{"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}],
    }


def picked(model: str, calls: list[tuple[str, Any]]) -> dict[str, Any]:
    """A reply that calls tools, or says NONE."""
    wanted = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
        }
        for i, (name, given) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None if calls else "NONE", **({"tool_calls": wanted} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": f"{model}-2026",
        "choices": [choice],
        "usage": usage,
    }


def event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
