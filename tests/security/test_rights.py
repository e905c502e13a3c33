"""Nobody sees what they may not, through any door, whatever changes. `make bench-rights` is the long form."""

from __future__ import annotations

import asyncio
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.rights import HOSTILE, world


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_no_door_shows_a_document_outside_the_rights_of_the_day(rng: random.Random) -> None:
    async def live() -> list[str]:
        async with world(rng, documents=12, people=5) as made:
            for _ in range(4):
                for _ in range(8):
                    await made.case()
                await made.change()
            return made.leaks

    assert asyncio.run(live()) == []


def test_the_check_sees_a_door_that_forgets_to_ask() -> None:
    async def live() -> list[str]:
        async with world(random.Random(1), documents=12, people=5) as made:
            # Rules of which the installation knows nothing: now what it shows must count as a leak.
            made.rules = {name: {"nobody"} for name in made.names}
            for _ in range(40):
                await made.case()
            return made.leaks

    told = " ".join(asyncio.run(live()))
    for door in ("search shows", "a citation opens", "the original of", "documents are counted"):
        assert door in told


def test_hostile_ids_and_groups_bring_no_row_that_is_not_theirs() -> None:
    async def live() -> int:
        async with world(random.Random(2), documents=12, people=5) as made:
            return sum([await made.hostile(value) for value in HOSTILE[::8]])

    assert asyncio.run(live()) == 0
