"""What streams of models keep when their deltas are joined."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from assistant.chat import pace
from assistant.chat.deltas import JoinedDeltas, joined

texts = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12)


def event(content: str | None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    body = {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(body).encode()


def content(events: Sequence[bytes]) -> str:
    return "".join(json.loads(e[6:])["choices"][0]["delta"].get("content") or "" for e in events)


class Reads(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Answers with these bytes, one read after the other."""

    def __init__(self, reads: Sequence[bytes], **headers: str) -> None:
        self.reads, self.given = reads, 0
        self.headers = {"content-type": "text/event-stream"} | {k.replace("_", "-"): v for k, v in headers.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=self.headers, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for read in self.reads:
            self.given += 1
            yield read

    async def aclose(self) -> None:
        return None


@pytest.fixture(autouse=True)
def no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.chat.pace.FRAME_S", 0)
    monkeypatch.setattr("assistant.chat.pace.LONGEST_FRAME_S", 0)


@given(texts)
def test_neighbours_that_only_go_on_with_the_text_become_one(said: list[str]) -> None:
    events = [*map(event, said), event(None, "stop"), b"data: [DONE]"]
    out = joined(events)
    assert out[1:] == events[-2:]
    assert content(out[:1]) == "".join(said)


@pytest.mark.parametrize(
    "other",
    [
        event("b", "stop"),
        event("b", usage={"total_tokens": 1}),
        event("b").replace(b'"index": 0', b'"index": 1'),
        event("b").replace(b'"model": "m"', b'"model": "other"'),
        event("b").replace(b'"content"', b'"reasoning_content": "why", "content"'),
        event("b").replace(b'"content"', b'"tool_calls": [{"index": 0}], "content"'),
        event("b").replace(b'"finish_reason": null', b'"finish_reason": null, "logprobs": {"content": []}'),
        event("b").replace(b"data: ", b"event: error\ndata: "),
        event("b")[:-1],
        b": keep-alive",
        b'data: {"error": {"message": "overloaded"}}',
        b"data: [1]",
    ],
)
def test_an_event_that_says_anything_else_stays_byte_for_byte_and_in_its_place(other: bytes) -> None:
    assert joined([event("a"), other, event("c")]) == [event("a"), other, event("c")]


@given(texts, st.lists(st.integers(1, 400), max_size=8), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
async def test_wherever_the_bytes_are_cut_the_client_reads_the_same_answer(
    said: list[str], cuts: list[int], between: bytes
) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    last = b'data: {"id": "x", "choices": [], "usage": ' + json.dumps(usage).encode() + b"}"
    whole = b"".join(e + between for e in [*map(event, said), event(None, "length"), last, b"data: [DONE]"])
    places = sorted({0, len(whole), *(c % len(whole) for c in cuts)})
    reads = [whole[a:b] for a, b in itertools.pairwise(places)]
    async with httpx.AsyncClient(transport=JoinedDeltas(Reads(reads))) as http:
        client = AsyncOpenAI(base_url="http://model.test", api_key="none", http_client=http, max_retries=0)
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "q"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    choices = [c.choices[0] for c in chunks if c.choices]
    assert "".join(c.delta.content or "" for c in choices) == "".join(said)
    assert choices[-1].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 3


async def test_the_first_word_waits_for_no_other() -> None:
    source = Reads([event("a") + b"\n\n", event("b") + b"\n\n"])
    async with httpx.AsyncClient(transport=JoinedDeltas(source)) as http, http.stream("POST", "http://m.test") as reply:
        parts = aiter(reply.aiter_bytes())
        assert content([(await anext(parts)).strip()]) == "a"
        assert source.given == 1


async def test_others_give_way_while_our_part_of_the_first_word_is_done_and_not_while_the_provider_thinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    class Thinks(Reads):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for read in self.reads:
                told.append("thinks")
                yield read

    monkeypatch.setattr(pace.here, "leave", lambda: told.append("leave"))
    monkeypatch.setattr(pace.here, "come_back", lambda: told.append("come back"))
    source = Thinks([b": soon\n\n", event("", None) + b"\n\n", event("a") + b"\n\n", event("b") + b"\n\n"])
    async with httpx.AsyncClient(transport=JoinedDeltas(source)) as http:
        await http.get("http://m.test")
    assert told == ["leave", "thinks", "thinks", "thinks", "come back", "leave", "thinks", "leave", "come back"]
    told.clear()
    async with httpx.AsyncClient(transport=JoinedDeltas(Reads([b"{}"], content_type="application/json"))) as http:
        await http.get("http://m.test")
    assert told == ["leave", "come back"]


@pytest.mark.parametrize("headers", [{"content_type": "application/json"}, {"content_encoding": "gzip"}])
async def test_what_is_no_plain_stream_of_events_is_not_touched(headers: dict[str, str]) -> None:
    source = Reads([event("a") + b"\n\n" + event("b") + b"\n\n"], **headers)
    async with httpx.AsyncClient(transport=JoinedDeltas(source)) as http, http.stream("POST", "http://m.test") as reply:
        assert reply.stream is source or [part async for part in reply.aiter_raw()] == source.reads
