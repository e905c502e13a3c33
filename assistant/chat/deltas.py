"""Deltas of a model's stream that come close together become one before anything parses them.

LiteLLM and the OpenAI client take half a millisecond of the event loop for each chunk, and as much again goes into
showing it. So a stream is read once a frame, and the events that one read brings are joined where they differ by their
text alone (server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx

from assistant.chat import pace

_BETWEEN = re.compile(rb"\r?\n\r?\n")
_DATA = re.compile(rb"data: ?(\{.*\})", re.DOTALL)


class JoinedDeltas(httpx.AsyncBaseTransport):
    """Requests as `inner` makes them; what comes back as an event stream has its deltas joined."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pace.here.leave()
        response = await self._inner.handle_async_request(request)
        headers = response.headers
        if headers.get("content-type", "").startswith("text/event-stream") and "content-encoding" not in headers:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _Joined(response.stream)
        else:
            pace.here.come_back()
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Joined(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest, speaking = b"", False
        async for data in self._inner:
            *events, rest = _BETWEEN.split(rest + data)
            bodies = joined(events)
            if not speaking and any(_text(body) for body in map(_read, bodies)):
                speaking = True
                pace.here.come_back()
            if bodies:
                yield b"".join(body + b"\n\n" for body in bodies)
            # Before the first word nothing waits.
            if speaking:
                # What was said may be held back yet, or be for us alone: the turn waits for its provider again.
                pace.here.leave()
                await pace.here.frame()
        pace.here.come_back()
        if rest:
            yield rest

    async def aclose(self) -> None:
        await self._inner.aclose()


def joined(events: list[bytes]) -> list[bytes]:
    """The events of one read, neighbours that only go on with the text made one; all else stays byte for byte."""
    out: list[bytes | dict[str, Any]] = []
    last: dict[str, Any] | None = None
    for event in events:
        body = _read(event)
        if last is not None and body is not None and _whose(last) == _whose(body):
            last["choices"][0]["delta"]["content"] += _text(body)
            out[-1] = last
        else:
            out.append(event)
            last = body
    return [e if isinstance(e, bytes) else b"data: " + json.dumps(e).encode() for e in out]


def _read(event: bytes) -> dict[str, Any] | None:
    """The body of an event that holds more text of one choice and nothing else."""
    match = _DATA.fullmatch(event)
    if match is None:
        return None
    try:
        body = json.loads(match[1])
    except ValueError:
        return None
    return body if _text(body) else None


def _text(body: Any) -> str:
    match body:
        case {"choices": [{"delta": {"content": str(text), **delta}, **choice}], **top}:
            beside = [*(v for k, v in delta.items() if k != "role"), *(v for k, v in choice.items() if k != "index")]
            return "" if any(beside) or top.get("usage") else text
    return ""


def _whose(body: dict[str, Any]) -> tuple[Any, Any]:
    return body["choices"][0].get("index"), body.get("model")
