"""Chainlit's data layer over `memory/`. Every method finds out who asks and reaches only what is theirs.

The chat engine itself stores question and answer (`memory/threads.py`), so what Chainlit sends to be stored is a
repetition of it, and is not written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from chainlit.context import context
from chainlit.data.base import BaseDataLayer
from chainlit.data.utils import queue_until_user_message
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User

from assistant.database.tables import FeedbackRow, Message, Person, Thread
from assistant.domain import Asker
from assistant.errors import NotFoundError
from assistant.memory import feedback as ratings
from assistant.memory import people, threads
from assistant.texts import say
from assistant.web import house
from assistant.web.citations import linked
from assistant.web.sessions import present
from assistant.web.today import texts_today

# Chainlit calls these before there is a thread; its decorator keeps the call until there is one.
queued = cast(Callable[[Callable[..., Any]], Callable[..., Any]], queue_until_user_message())
RUN = "run-"
ASSISTANT = "Assistant"
MAX_PAGE = 50
# How long the sidebar waits for a new thread to be stored before it is asked for its list.
THREAD_WAIT_S = 3.0


def run_of(answer_id: str) -> str:
    """The id of the run that Chainlit wants around an answer; its ratings arrive under it."""
    return f"{RUN}{answer_id}"


def answer_of(step_id: str) -> str:
    return step_id.removeprefix(RUN)


async def current_asker() -> Asker:
    """Who asks, with today's groups. Raises `NotFoundError` when nobody has signed in."""
    who = present().person.id if present().person else _socket_user()  # type: ignore[union-attr]
    person = await people.by_id(house.parts().db, who) if who else None
    if person is None or not person.active:
        raise NotFoundError("Nobody is signed in.", "Sign in again.")
    return people.asker_of(person)


def _socket_user() -> str:
    try:
        user = context.session.user
    except Exception:  # noqa: BLE001 - Chainlit raises its own type when there is no socket
        return ""
    return str(user.identifier) if user else ""


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _user(person: Person) -> PersistedUser:
    groups = {"admin": True} if people.asker_of(person).is_admin else {}
    return PersistedUser(
        id=person.id,
        identifier=person.id,
        display_name=person.name or person.email,
        createdAt=_moment(person.created_at),
        metadata=groups,
    )


class DataLayer(BaseDataLayer):  # type: ignore[misc]
    """Threads, messages and ratings as Chainlit asks for them."""

    # People

    async def get_user(self, identifier: str) -> PersistedUser | None:
        seen = present().person
        if seen is not None and seen.id == identifier:
            return _user(seen)  # the shield has just looked them up
        person = await people.by_id(house.parts().db, identifier)
        return _user(person) if person and person.active else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """Accounts are made by admins and by single sign-on, never by a token."""
        return await self.get_user(user.identifier)

    # Ratings

    async def upsert_feedback(self, feedback: Feedback) -> str:
        asker = await current_asker()
        return await ratings.rate(
            house.parts().db, asker, answer_of(feedback.forId), int(feedback.value), feedback.comment or ""
        )

    async def delete_feedback(self, feedback_id: str) -> bool:
        await ratings.withdraw(house.parts().db, await current_asker(), feedback_id)
        return True

    # Elements: sources and receipts are drawn from the stored receipt, so there are none.

    @queued
    async def create_element(self, element: Any) -> None:
        """Nothing is kept."""

    async def get_element(self, thread_id: str, element_id: str) -> None:
        return None

    @queued
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Nothing was kept."""

    # Messages: the engine has stored them, in one transaction with what they rest on.

    @queued
    async def create_step(self, step_dict: Any) -> None:
        """Nothing to do."""

    @queued
    async def update_step(self, step_dict: Any) -> None:
        """Nothing to do."""

    @queued
    async def delete_step(self, step_id: str) -> None:
        """A single message is never deleted, only a whole thread."""

    async def get_favorite_steps(self, user_id: str) -> list[Any]:
        return []

    # Threads

    async def get_thread_author(self, thread_id: str) -> str:
        """The asker, or nobody: a thread of somebody else reads like one that does not exist."""
        try:
            return (await threads.of(house.parts().db, await current_asker(), thread_id)).person_id
        except NotFoundError:
            return ""

    async def delete_thread(self, thread_id: str) -> None:
        """Hide it at once; on the page of one's own it can be brought back for a while."""
        await delete_talk(await current_asker(), thread_id)

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[Any]:
        asker = await current_asker()
        first = max(1, min(pagination.first, MAX_PAGE))
        found = await threads.list_of(
            house.parts().db,
            asker,
            first=first + 1,
            before=from_cursor(pagination.cursor),
            search=(filters.search or "").strip()[:200],
        )
        page = found[:first]
        return PaginatedResponse(
            pageInfo=PageInfo(
                hasNextPage=len(found) > first,
                startCursor=cursor_of(page[0]) if page else None,
                endCursor=cursor_of(page[-1]) if page else None,
            ),
            data=[_thread(t, asker, []) for t in page],
        )

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """A thread whole, its answers under today's rights."""
        try:
            asker = await current_asker()
            opened = await threads.reopen(house.parts().db, asker, thread_id)
        except NotFoundError:
            return None
        texts, _ = await texts_today(house.parts().db, asker, opened, present().language)
        steps: list[dict[str, Any]] = []
        for message in opened.messages:
            if message.role == "user":
                steps.append(_step(message, thread_id, "user_message", asker.name or asker.email, None))
                continue
            step = _step(message, thread_id, "assistant_message", ASSISTANT, run_of(message.id))
            step["output"] = linked(texts[message.id] + mark(message, present().language))
            step["streaming"] = message.state == "streaming"
            steps.append(_run(message, thread_id, opened.ratings.get(message.id)))
            steps.append(step)
        return _thread(opened.thread, asker, steps)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Rename. At the first message Chainlit comes here too, at once with the engine that stores the thread: it
        must not be made twice, nor without its owner, so this only waits until it is there."""
        asker = await current_asker()
        if user_id is not None:
            await _stored(thread_id)
        elif name is not None:
            await threads.rename(house.parts().db, asker, thread_id, name)

    async def build_debug_url(self) -> str:
        return ""

    async def close(self) -> None:
        """The database is closed by whoever opened it."""


async def _stored(thread_id: str) -> None:
    for _ in range(int(THREAD_WAIT_S / 0.02)):
        if await threads.author(house.parts().db, thread_id) is not None:
            return
        await asyncio.sleep(0.02)


async def delete_talk(asker: Asker, thread_id: str) -> None:
    """Delete one's own thread; an answer that is being written ends first."""
    await threads.of(house.parts().db, asker, thread_id)
    if turn := house.turns().running(thread_id):
        turn.stop()
        await turn.wait()
    await threads.delete(house.parts().db, asker, thread_id)


def cursor_of(thread: Thread) -> str:
    return f"{thread.updated_at.astimezone(UTC).isoformat()}|{thread.id}"


def from_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    moment, _, thread_id = (cursor or "").partition("|")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, thread_id) if at.tzinfo is not None else None


def mark(message: Message, language: str) -> str:
    """What a person reads under an answer that is not whole."""
    if message.state not in {"interrupted", "stopped"}:
        return ""
    return ("\n\n" if message.text else "") + f"*{say(language, f'chat.{message.state}')}*"


def _thread(thread: Thread, asker: Asker, steps: list[dict[str, Any]]) -> Any:
    return {
        "id": thread.id,
        "createdAt": _moment(thread.updated_at),  # the sidebar sorts into days by it
        "name": thread.title,
        "userId": asker.person_id,
        "userIdentifier": asker.person_id,
        "tags": [],
        "metadata": {},
        "steps": steps,
        "elements": [],
    }


def _step(message: Message, thread_id: str, kind: str, name: str, parent: str | None) -> dict[str, Any]:
    at = _moment(message.created_at)
    return {
        "id": message.id,
        "threadId": thread_id,
        "parentId": parent,
        "name": name,
        "type": kind,
        "input": "",
        "output": message.text,
        "createdAt": at,
        "start": at,
        "end": at,
        "streaming": False,
        "isError": False,
        "waitForAnswer": False,
        "metadata": {},
        "tags": [],
    }


def _run(message: Message, thread_id: str, rating: FeedbackRow | None) -> dict[str, Any]:
    step = _step(message, thread_id, "run", "on_message", message.parent_id)
    step["id"], step["output"] = run_of(message.id), ""
    if rating is not None:
        step["feedback"] = {
            "id": rating.id,
            "forId": step["id"],
            "value": rating.value,
            "comment": rating.comment or None,
        }
    return step
