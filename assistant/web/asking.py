"""A question from a socket, new or edited: its turn begins and is shown there."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import chainlit as cl

from assistant.domain import Asker
from assistant.errors import AssistantError, NotFoundError
from assistant.texts import pick, reason, say
from assistant.web import house
from assistant.web.following import Follower, close_run, open_run
from assistant.web.sessions import present

log = logging.getLogger(__name__)


def language_of(session: Any) -> str:
    """The language that the person behind a socket chose, else that of the browser."""
    person = present().person
    if person is not None and person.language:
        return person.language
    accepted = (session.environ or {}).get("HTTP_ACCEPT_LANGUAGE", "")
    return pick(accepted, house.parts().settings.chat.language)


def _asker() -> Asker:
    """Who asks, with today's groups: the socket's handler has just looked. Raises `NotFoundError` when it is nobody."""
    if (asker := present().asker) is None:
        raise NotFoundError("Nobody is signed in.", "Sign in again.")
    return asker


async def ask(session: Any, question_id: str, text: str, *, edits: str = "") -> None:
    """Begin a turn and follow it; it goes on if the socket goes away.

    `edits` names the question on the screen that this one takes the place of; stored, it stands beside it.
    """
    language, answer_id = language_of(session), str(uuid4())
    run = await open_run(session, answer_id, edits or question_id)
    try:
        if house.turns().running(session.thread_id) is not None:
            raise AssistantError(say(language, "web.still_answering"))
        turn = house.turns().start(_asker(), session.thread_id, question_id, answer_id, text, language, edits)
        await Follower(session, answer_id, language).follow(turn)
    except AssistantError as error:
        await cl.Message(content=reason(language, str(error)), parent_id=run["id"]).send()
    except Exception as error:  # noqa: BLE001 - the edge: never the text of an exception to a person
        log.error("a question failed: %s", type(error).__name__)
        await cl.Message(content=say(language, "web.broken"), parent_id=run["id"]).send()
    finally:
        await close_run(session, run)
