"""Who waits for a first word is served before answers that grow."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from assistant.chat import pace
from assistant.chat.pace import Pace


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_S", 0.001)
    monkeypatch.setattr(pace, "GIVE_WAY_S", 0.2)


async def waits(paced: Pace) -> bool:
    """Whether an answer that grows is held just now."""
    try:
        async with asyncio.timeout(0.05):
            await paced.give_way()
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize(("growing", "frame"), [(1, 0.05), (3, 0.05), (12, 0.2), (200, 0.5)])
async def test_all_answers_that_grow_share_the_frames_of_a_second(
    monkeypatch: pytest.MonkeyPatch, growing: int, frame: float
) -> None:
    paced, slept = Pace(), list[float]()
    for i in range(growing):
        paced.begin(str(i))
        paced.speak(str(i))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(pace, "asyncio", SimpleNamespace(sleep=sleep))
    await paced.frame()
    for i in range(growing):
        paced.end(str(i))
    await paced.frame()
    assert slept == [frame, 0.05]


async def test_an_answer_that_grows_gives_way_until_the_other_has_its_first_word() -> None:
    paced = Pace()
    paced.begin("grows")
    paced.speak("grows")
    assert not await waits(paced)
    paced.begin("asked")
    assert await waits(paced)
    paced.speak("asked")
    assert not await waits(paced)


@pytest.mark.parametrize("over", ["speak", "end"])
async def test_nobody_gives_way_to_a_turn_that_waits_for_its_provider_or_is_over(over: str) -> None:
    paced = Pace()
    paced.begin("asked")
    paced.leave()
    assert not await waits(paced)
    paced.come_back()
    assert await waits(paced)
    getattr(paced, over)("asked")
    paced.come_back()
    assert not await waits(paced)


async def test_what_a_turn_started_waits_for_its_provider_in_its_name() -> None:
    paced = Pace()

    async def turn(name: str) -> None:
        paced.begin(name)
        await asyncio.create_task(asyncio.to_thread(paced.leave))

    await asyncio.gather(turn("one"), turn("two"))
    assert not await waits(paced)


async def test_a_turn_without_a_word_waits_for_no_other() -> None:
    paced = Pace()

    async def turn(name: str) -> float:
        paced.begin(name)
        began = time.monotonic()
        await paced.frame()
        return time.monotonic() - began

    assert max(await asyncio.gather(turn("one"), turn("two"))) < 0.05


async def test_an_answer_is_held_no_longer_than_its_limit() -> None:
    paced = Pace()
    paced.begin("stuck")
    began = time.monotonic()
    await paced.give_way()
    assert 0.2 <= time.monotonic() - began < 2
