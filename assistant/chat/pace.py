"""Whoever waits for the first word of an answer goes before answers that already grow.

One event loop serves everybody. Nobody minds an answer that goes on a little later, for it comes faster than a person
reads. So growing answers are handled once a frame, share the frames of a second, and give way while a turn that has no
word yet is being worked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

# One frame on a screen for the tokens of this time, longer while many answers grow at once.
FRAME_S, FRAMES_A_SECOND, LONGEST_FRAME_S = 0.05, 60, 0.5
# How long a frame gives way at most, and how often it looks.
GIVE_WAY_S, LOOK_S = 2.0, 0.02


class Pace:
    """The turns of a process, and which of them have no word yet and wait for us, not for a provider."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._silent: set[str] = set()
        self._awaited: set[str] = set()

    def begin(self, turn: str) -> None:
        """From here on the calling task, and what it starts, is this turn."""
        _turn.set(turn)
        self._running.add(turn)
        self._silent.add(turn)
        self._awaited.add(turn)

    def speak(self, turn: str) -> None:
        """The turn has its first word."""
        self._silent.discard(turn)
        self._awaited.discard(turn)

    def end(self, turn: str) -> None:
        self._running.discard(turn)
        self.speak(turn)

    def leave(self) -> None:
        """This turn now waits for a provider."""
        self._awaited.discard(_turn.get())

    def come_back(self) -> None:
        """The provider has answered this turn."""
        if (turn := _turn.get()) in self._silent:
            self._awaited.add(turn)

    async def frame(self) -> None:
        """Wait for a frame, then give way; not a turn that has no word yet itself."""
        if _turn.get() in self._silent:
            return
        with holding.get()():
            await asyncio.sleep(min(max(FRAME_S, len(self._running) / FRAMES_A_SECOND), LONGEST_FRAME_S))
            await self.give_way()

    async def give_way(self) -> None:
        """Wait while a turn without a word is being worked at, at most `GIVE_WAY_S`."""
        until = time.monotonic() + GIVE_WAY_S
        # Not an event: that would wake all of them in one go, before whoever asks next.
        while self._awaited and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


_turn: ContextVar[str] = ContextVar("turn", default="")
# Entered for each frame by whoever counts a provider's silence: in a frame it is we who do not listen.
holding: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("holding", default=nullcontext)
# The event loop of a process is one, and so is LiteLLM's client.
here = Pace()
