"""Chainlit's socket events behind our checks. Replaces its handlers once, at the start."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from chainlit import socket as chainlit_socket
from chainlit.auth import get_jwt_secret
from chainlit.context import init_ws_context
from chainlit.message import ErrorMessage
from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_sid

from assistant.texts import say
from assistant.web import house
from assistant.web.asking import ask
from assistant.web.sessions import enter, person_of, present
from assistant.web.surface import EVENTS, Gate

MAX_FRAME = 200_000
_chainlit = dict(sio.handlers["/"])


class QuietError(ErrorMessage):  # type: ignore[misc]
    """What a person reads when something of ours broke: never the text of the exception."""

    def __init__(self, content: str, **kwargs: Any) -> None:
        super().__init__(content=say(present().language, "web.broken"), **kwargs)


def guard_sockets() -> None:
    """Put our handlers in place of Chainlit's and close what we do not offer."""
    sio.eio.max_http_buffer_size = MAX_FRAME
    for event, gate in EVENTS.items():
        if gate is Gate.CLOSED:
            sio.on(event, _closed)
    sio.on("connect", _connect)
    sio.on("connection_successful", _connection_successful)
    sio.on("stop", _stop)
    sio.on("client_message", _client_message)
    sio.on("edit_message", _edit_message)
    chainlit_socket.ErrorMessage = QuietError


async def _closed(sid: str, *_: Any) -> None:
    """An event of a feature that is switched off."""


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) <= 36 and bool(UUID(value))
    except ValueError:
        return False


async def _connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
    """Ids come from the browser: they must be ids before anything is looked up by them."""
    if not isinstance(auth, dict) or present().person is None:
        raise ConnectionRefusedError("authentication failed")
    thread = auth.get("threadId") or None
    if not _is_id(auth.get("sessionId")) or (thread is not None and not _is_id(thread)):
        raise ConnectionRefusedError("authorization failed")
    asked = {
        "sessionId": auth["sessionId"],
        "threadId": thread,
        "clientType": "webapp",
        "userEnv": None,
        "chatProfile": None,
    }
    held = WebsocketSession.get_by_id(auth["sessionId"])
    own = held is not None and held.user is not None and held.user.identifier == present().person.id  # type: ignore[union-attr]
    if held is not None and own and thread is not None and not held.has_first_interaction:
        # The page opens its socket twice while it loads. Where the first got this far, Chainlit would take the second
        # for a return to what is shown already, and a reopened thread would stay empty.
        await held.delete()
    return await _chainlit["connect"](sid, environ, asked)


async def _connection_successful(sid: str, *_: Any) -> None:
    """Chainlit opens the talk that the page asks for. Where there is none, what is asked now begins a new one."""
    await _chainlit["connection_successful"](sid)
    session = WebsocketSession.get(sid)
    if session is not None and session.thread_id_to_resume and not session.has_first_interaction:
        session.thread_id, session.thread_id_to_resume = str(uuid4()), None


async def _message_in(sid: str, payload: Any) -> dict[str, Any] | None:
    """What a person wrote. The session may have been ended, or the account closed, since the socket was opened."""
    if WebsocketSession.get(sid) is None:
        return None
    message = payload.get("message") if isinstance(payload, dict) else None
    if not await _still_counts(sid):
        text = message.get("output") if isinstance(message, dict) else None
        await _let_go(sid, text if isinstance(text, str) else "")
        return None
    if not isinstance(message, dict) or not _is_id(message.get("id")) or not isinstance(message.get("output"), str):
        return None
    return message


async def _edit_message(sid: str, payload: Any) -> None:
    """A question edited on the screen. Chainlit would delete all that follows it; here the new one stands beside it."""
    message = await _message_in(sid, payload)
    session = WebsocketSession.get(sid)
    if message is None or session is None:
        return

    async def answer() -> None:
        emitter = init_ws_context(session).emitter
        await emitter.task_start()
        try:
            await ask(session, str(uuid4()), message["output"], edits=message["id"])
        finally:
            await emitter.task_end()

    session.current_task = asyncio.create_task(answer())


async def _client_message(sid: str, payload: Any) -> None:
    """A question."""
    message = await _message_in(sid, payload)
    if message is None:
        return
    asked = {
        "id": message["id"],
        "name": "user",
        "type": "user_message",
        "output": message["output"],
        "createdAt": str(message.get("createdAt", ""))[:40],
    }
    await _chainlit["client_message"](sid, {"message": asked, "fileReferences": None})


async def _still_counts(sid: str) -> bool:
    session = WebsocketSession.get(sid)
    if session is None or session.user is None or not session.token:
        return False
    person = await person_of(house.parts().db, session.token, get_jwt_secret() or "")
    if person is None or person.id != session.user.identifier:
        return False
    # Groups may have changed since the socket was opened.
    enter(replace(present(), person=person))
    return True


async def _stop(sid: str) -> None:
    """End the turn; what was shown is kept, marked, and finished by whoever follows it."""
    session = WebsocketSession.get(sid)
    person = present().person
    if session is None or person is None:
        return
    turn = house.turns().running(session.thread_id)
    if turn is not None and session.user is not None and session.user.identifier == person.id:
        turn.stop()


async def _let_go(sid: str, unsent: str = "") -> None:
    """Close a socket whose session is over, and tell its page so, which would show a question that nobody answers."""
    await sio.emit("window_message", {"assistant": "", "over": True, "unsent": unsent}, to=sid)
    await sio.disconnect(sid)


async def hang_up(person_id: str) -> None:
    """Close every socket of a person: they signed out, or were let out."""
    open_sockets = [sid for sid, s in list(ws_sessions_sid.items()) if s.user and s.user.identifier == person_id]
    for sid in open_sockets:
        if session := WebsocketSession.get(sid):
            session.to_clear = True
        await _let_go(sid)
