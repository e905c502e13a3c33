"""kill -9 in the middle of long work; the long form is `make bench-kill-work RUNS=20`."""

from __future__ import annotations

import random

import pytest

from assistant.memory.work import TRIES
from bench.kill_chat import Watcher
from bench.kill_work import killed_on_the_way, killed_whenever_begun, office


@pytest.mark.timeout(500)
async def test_killed_work_goes_on_where_it_was_and_what_kills_its_server_is_given_up() -> None:
    async with office() as place:
        watcher = Watcher(place.base, "bench0@example.test")
        found = await killed_on_the_way(place, watcher, 2, random.Random(3))
        view = found["view"]
        assert found["state"] == "done"
        assert view["state"] == "complete"
        assert view["text"].count("**[") == found["total"] > 3
        # What was kept when the server died is not paid for again.
        assert view["read"] <= found["total"] - found["left"]
        bad = await killed_whenever_begun(place, watcher)
        assert bad["state"] == "failed"
        assert bad["starts"] == TRIES
        assert bad["view"]["state"] == "failed"
        assert "could not be done" in bad["view"]["text"]
