"""Turns that run beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from assistant.chat import pace
from assistant.chat.turns import RunningTurn
from assistant.domain import Delta, Event, Stage

SEARCH, WORD = Stage(name="search"), Delta(text="Yes.")


class Scripted:
    """An engine that says these events, each after so many seconds."""

    def __init__(self, *events: tuple[float, Event]) -> None:
        self.events = events

    async def turn(self, *_: str) -> AsyncIterator[Event]:
        for seconds, event in self.events:
            await asyncio.sleep(seconds)
            yield event


def begun(*events: tuple[float, Event]) -> RunningTurn:
    engine: Any = Scripted(*events)
    return RunningTurn(engine, "How many days?", "question", "answer", "")


async def test_other_answers_are_held_until_a_turn_speaks() -> None:
    turn = begun((0, SEARCH), (0.2, WORD), (0.2, WORD))
    held = asyncio.create_task(pace.here.give_way())
    await asyncio.sleep(0.1)
    assert not held.done()
    said = aiter(turn.events())
    assert [await anext(said), await anext(said)] == [SEARCH, WORD]
    await asyncio.wait_for(held, 0.1)
    await turn.wait()
