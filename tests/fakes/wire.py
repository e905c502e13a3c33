"""A model server on a bare socket, for what a web server will not do: end a stream in the middle of a byte's sense."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator

from tests.fakes.openai import ANSWER, chunk, event


class CutShort:
    """Streams a whole answer's bytes up to `share` of them, then closes. The model's name says how it is framed.

    `chunked`: HTTP chunks, without the last one. `unchunked`: the end of the connection is the end of the body.
    """

    def __init__(self) -> None:
        self.share = 0.5
        self.calls: Counter[str] = Counter()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            model = json.loads(await reader.readexactly(length))["model"]
            self.calls[model] += 1
            chunked = model == "chunked"
            framing = "transfer-encoding: chunked" if chunked else "connection: close"
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n\r\n".encode())
            whole = "".join(event(chunk(model, word + " ")) for word in ANSWER.split()).encode()
            body = whole[: int(len(whole) * self.share)]
            for at in range(0, len(body), 200):
                piece = body[at : at + 200]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The base address while it is served."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
