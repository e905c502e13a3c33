"""Serves an ASGI app on a free loopback port, inside the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

import uvicorn

# The faults that a fake makes on purpose would fill the report with tracebacks.
logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The base address of `app` while it is served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


class Fake(Protocol):
    """What stands in for a server: its app, and the address that it is told."""

    app: Any
    base: str


F = TypeVar("F", bound=Fake)


@contextlib.asynccontextmanager
async def standing_in(fake: F) -> AsyncIterator[F]:
    """The fake while it is served, at the `base` that it then knows."""
    async with serving(fake.app) as fake.base:
        yield fake
