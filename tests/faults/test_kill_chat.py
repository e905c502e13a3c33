"""kill -9 in the middle of answers; the long form is `make bench-kill-chat RUNS=200`."""

from __future__ import annotations

import pytest

from bench.kill_chat import kill


@pytest.mark.timeout(400)
async def test_a_killed_server_loses_no_question_and_marks_every_cut_answer() -> None:
    found = await kill(2, seed=7)
    assert found["problems"] == []
    assert found["messages"] > 0
    assert found["lost"] == 0
    assert found["cut"] == found["marked"]
