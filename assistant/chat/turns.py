"""Turns that are running in this process. A turn outlives the socket that asked for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from assistant.chat import pace
from assistant.chat.engine import KnowledgeChatEngine
from assistant.chat.services import Services
from assistant.domain import Asker, Delta, Event, Final
from assistant.errors import AssistantError

log = logging.getLogger(__name__)
SHUTDOWN_S = 3.0


class RunningTurn:
    """One turn in a task of its own; anybody may follow its events, from the start, as often as they like."""

    def __init__(
        self,
        engine: KnowledgeChatEngine,
        question: str,
        question_id: str,
        answer_id: str,
        beside: str,
    ) -> None:
        self.answer_id = answer_id
        self.question = question
        self._engine = engine
        self._events: list[Event] = []
        self._changed = asyncio.Condition()
        self._over = False
        self._error: Exception | None = None
        self._task = asyncio.create_task(self._run(question, question_id, beside), name=f"turn {answer_id}")

    async def _run(self, question: str, question_id: str, beside: str) -> None:
        pace.here.begin(self.answer_id)
        try:
            try:
                async for event in self._engine.turn(question, question_id, self.answer_id, beside):
                    await self._put(event)
            except asyncio.CancelledError:
                if (answer := await self._engine.ended()) is not None:
                    await self._put(Final(answer=answer))
        except Exception as error:  # noqa: BLE001 - handed to whoever follows the turn
            self._error = error
        finally:
            pace.here.end(self.answer_id)
            self._over = True
            async with self._changed:
                self._changed.notify_all()

    async def _put(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, Delta):
            pace.here.speak(self.answer_id)
        async with self._changed:
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[Event]:
        """Every event from the start; texts that come close together are joined. Raises what ended the turn early."""
        at = 0
        while True:
            async with self._changed:
                while len(self._events) == at and not self._over:
                    await self._changed.wait()
            fresh = self._events[at:]
            at += len(fresh)
            for event in _joined(fresh):
                yield event
            if self._over and at == len(self._events):
                if self._error is not None:
                    raise self._error
                return
            if any(isinstance(e, Delta) for e in fresh):
                await pace.here.frame()

    def stop(self, *, interrupted: bool = False) -> None:
        """End it now; what was shown is kept and marked."""
        if self._task.cancelling():
            return  # a second stop would interrupt the storing of what the first one left
        self._engine.cancelled_as = "interrupted" if interrupted else "stopped"
        self._task.cancel()

    async def wait(self) -> None:
        await asyncio.wait([self._task])


def _joined(events: list[Event]) -> list[Event]:
    out: list[Event] = []
    for event in events:
        if isinstance(event, Delta) and out and isinstance(out[-1], Delta):
            out[-1] = Delta(text=out[-1].text + event.text)
        else:
            out.append(event)
    return out


class Turns:
    """Starts turns and finds those that still run."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[str, RunningTurn] = {}
        self._closed = False
        self._afterwards: set[asyncio.Task[None]] = set()

    def start(
        self,
        asker: Asker,
        thread_id: str,
        question_id: str,
        answer_id: str,
        text: str,
        language: str = "en",
        beside: str = "",
    ) -> RunningTurn:
        """Begin a turn; it goes on whether or not anybody follows it.

        A question `beside` another is a new version of it; one that is stored already is answered once more.
        """
        engine = KnowledgeChatEngine(self._services, asker, thread_id, language)
        turn = RunningTurn(engine, text, question_id, answer_id, beside)
        self._running[thread_id] = turn
        turn._task.add_done_callback(lambda _: self._forget(thread_id, turn))
        return turn

    def _forget(self, thread_id: str, turn: RunningTurn) -> None:
        if self._running.get(thread_id) is turn:
            del self._running[thread_id]
        if turn._error is not None:
            log.warning("turn %s ended early: %s", turn.answer_id, type(turn._error).__name__)
        elif not self._closed:
            # Nobody waits for it: the answer is there.
            task = asyncio.create_task(self._after(turn), name=f"after {turn.answer_id}")
            self._afterwards.add(task)
            task.add_done_callback(self._afterwards.discard)

    async def _after(self, turn: RunningTurn) -> None:
        await pace.here.give_way()
        try:
            await turn._engine.afterwards()
        except AssistantError as error:
            log.info("no summary after turn %s: %s", turn.answer_id, type(error).__name__)

    def running(self, thread_id: str) -> RunningTurn | None:
        """The turn of a thread that is under way. The caller has checked whose thread it is."""
        return self._running.get(thread_id)

    async def close(self) -> None:
        """End what runs; each answer is stored as interrupted."""
        self._closed = True
        self._services.growing.close()
        for task in self._afterwards:
            task.cancel()
        turns = list(self._running.values())
        for turn in turns:
            turn.stop(interrupted=True)
        if turns:
            await asyncio.wait([asyncio.create_task(t.wait()) for t in turns], timeout=SHUTDOWN_S)
