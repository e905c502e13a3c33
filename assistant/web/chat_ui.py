"""Chainlit's callbacks. Each finds out who asks, hands over to the parts, and shows what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import chainlit as cl
from chainlit.config import config
from chainlit.context import context, init_ws_context
from chainlit.utils import wrap_user_function

from assistant.texts import pick
from assistant.web import house, signin
from assistant.web.asking import ask, language_of
from assistant.web.data_layer import DataLayer
from assistant.web.following import Follower
from assistant.web.sessions import present
from assistant.web.starters import starters_for

# A task without a reference may be collected while it runs.
_following: set[asyncio.Task[None]] = set()


def _data_layer() -> DataLayer:
    return DataLayer()


async def on_message(message: cl.Message) -> None:
    """A question: begin its turn and show it. The turn goes on if this socket goes away."""
    await ask(context.session, message.id, message.content)


async def on_chat_resume(thread: dict[str, Any]) -> None:
    """A thread is opened again; if its answer is still being written, go on showing it."""
    turn = house.turns().running(thread["id"])
    if turn is None:
        if any(step["streaming"] for step in thread["steps"]):
            # It became whole after Chainlit read the thread, which it draws once this has returned.
            thread.update(await _data_layer().get_thread(thread["id"]) or {})
        return
    session = context.session

    async def go_on() -> None:
        # Chainlit draws the stored thread after this callback has returned.
        await asyncio.sleep(0.2)
        init_ws_context(session)
        await context.emitter.task_start()
        await Follower(session, turn.answer_id, language_of(session)).follow(turn)
        await context.emitter.task_end()

    task = asyncio.create_task(go_on())
    _following.add(task)
    task.add_done_callback(_following.discard)


async def on_chat_start() -> None:
    """Nothing is said before somebody asks; the page greets with its starters."""


async def set_starters(user: Any, language: str | None) -> list[cl.Starter]:
    """Questions that the documents answer for this person."""
    asker = present().asker
    if asker is None:
        return []
    questions = await starters_for(house.parts().db, house.parts().settings, asker, pick(language or "", "en"))
    return [cl.Starter(label=q, message=q) for q in questions]


async def oauth(provider: str, token: str, claims: dict[str, Any], user: Any) -> Any:
    """Single sign-on: the account of the person whom the issuer names."""
    from chainlit.oauth_providers import get_oauth_provider

    return await get_oauth_provider(provider).account(claims)


async def _password(username: str, password: str) -> None:
    """Only says that there is a password form: our own route signs people in."""


def register() -> None:
    """Hand the callbacks to Chainlit. Not by its decorators where they would wrap a step of their own around ours."""
    settings = house.parts().settings
    config.code.data_layer = _data_layer
    config.code.on_message = wrap_user_function(on_message)
    config.code.on_chat_resume = on_chat_resume
    config.code.on_chat_start = on_chat_start
    config.code.set_starters = wrap_user_function(set_starters)
    # Chainlit asks for a login only where it finds one of these.
    config.code.password_auth_callback = _password if settings.web.password_login else None
    config.code.header_auth_callback = signin.by_header if settings.web.trusted_header else None
    config.code.oauth_callback = oauth if settings.web.oidc.issuer else None
    config.ui.default_theme = "system"  # its file allows light and dark only, its page all three


register()
