"""Shows a running turn on one socket, from its start, whoever began it and however often the socket was away."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Protocol

from chainlit.utils import utc_now

from assistant.domain import Delta, Event, Final, Restart, Stage
from assistant.errors import AssistantError
from assistant.texts import reason, say
from assistant.web.citations import linked
from assistant.web.data_layer import ASSISTANT, run_of

log = logging.getLogger(__name__)


class Turn(Protocol):
    """What is followed: `assistant.chat.turns.RunningTurn`."""

    answer_id: str
    question: str

    def events(self) -> AsyncIterator[Event]: ...

    def stop(self) -> None: ...


class Follower:
    """One answer as it grows on one person's screen."""

    def __init__(self, session: Any, answer_id: str, language: str) -> None:
        self._session = session
        self._language = language
        self._text = ""
        self._shown = ""
        self._started = False
        self._socket = session.socket_id
        self._answer_id = answer_id

    async def follow(self, turn: Turn) -> None:
        """Show every event until the turn is over. A failure of the turn is said in words."""
        try:
            async for event in turn.events():
                await self._show(event)
        except AssistantError as error:
            self._text += ("\n\n" if self._text else "") + reason(self._language, str(error))
            await self._whole(say_done=True)
        except Exception as error:  # noqa: BLE001 - the edge: the person reads a sentence, the log the type
            log.warning("a turn could not be shown: %s", type(error).__name__)
            self._text += ("\n\n" if self._text else "") + say(self._language, "chat.failed")
            await self._whole(say_done=True)

    async def _show(self, event: Event) -> None:
        if isinstance(event, Stage):
            if not self._started:
                await self._whole()  # an empty answer, so that there is a place to say what is being done
            await self._tell({"stage": event.name, "text": say(self._language, f"web.stage_{event.name}")})
        elif isinstance(event, Delta):
            self._text += event.text
            await self._grow()
        elif isinstance(event, Restart):
            self._text = f"*{event.reason}*\n\n"
            await self._whole()
        elif isinstance(event, Final):
            self._text = event.answer.text
            outcome = event.answer.receipt.outcome
            if outcome in {"stopped", "interrupted"}:
                self._text += ("\n\n" if self._text else "") + f"*{say(self._language, f'chat.{outcome}')}*"
            await self._whole(say_done=True)

    async def _grow(self) -> None:
        whole = linked(self._text)
        reconnected = self._session.socket_id != self._socket
        if not self._started or reconnected or not whole.startswith(self._shown):
            # Tokens sent while the socket was away are lost: say everything again.
            await self._whole()
            return
        if new := whole[len(self._shown) :]:
            await self._emit(
                "stream_token", {"id": self._answer_id, "token": new, "isSequence": False, "isInput": False}
            )
            self._shown = whole

    async def _whole(self, *, say_done: bool = False) -> None:
        self._socket = self._session.socket_id
        self._shown = linked(self._text)
        step = self._step(streaming=not say_done)
        if not self._started:
            self._started = True
            await self._emit("stream_start", step)
        elif not say_done:
            await self._emit(
                "stream_token", {"id": self._answer_id, "token": self._shown, "isSequence": True, "isInput": False}
            )
        if say_done:
            await self._emit("update_message", step)
            await self._tell({"done": True})

    def _step(self, *, streaming: bool) -> dict[str, Any]:
        at = utc_now()
        return {
            "id": self._answer_id,
            "threadId": self._session.thread_id,
            "parentId": run_of(self._answer_id),
            "name": ASSISTANT,
            "type": "assistant_message",
            "input": "",
            "output": self._shown,
            "createdAt": at,
            "start": at,
            "end": at,
            "streaming": streaming,
            "isError": False,
            "waitForAnswer": False,
            "metadata": {},
        }

    async def _tell(self, news: dict[str, Any]) -> None:
        """To `public/assistant.js`, which draws what Chainlit cannot."""
        await self._emit("window_message", {"assistant": self._answer_id, "thread": self._session.thread_id, **news})

    async def _emit(self, event: str, data: Any) -> None:
        await self._session.emit(event, data)


async def open_run(session: Any, answer_id: str, question_id: str) -> dict[str, Any]:
    """The run that Chainlit groups an answer under; the rating buttons hang on it."""
    at = utc_now()
    run = {
        "id": run_of(answer_id),
        "threadId": session.thread_id,
        "parentId": question_id,
        "name": "on_message",
        "type": "run",
        "input": "",
        "output": "",
        "createdAt": at,
        "start": at,
        "end": None,
        "streaming": False,
        "isError": False,
        "metadata": {},
    }
    await session.emit("new_message", run)
    return run


async def close_run(session: Any, run: dict[str, Any]) -> None:
    await session.emit("update_message", {**run, "end": utc_now()})
