"""A killed run leaves the old release or the new one. `make bench-kill-index RUNS=200` is the long form."""

from __future__ import annotations

from bench.kill_index import measure


async def test_a_run_killed_at_any_moment_leaves_one_whole_release_and_the_next_run_ends_the_same() -> None:
    counts = await measure(6, pages=30)
    assert (counts["opened"], counts["whole"], counts["same_hash"], counts["duplicates"]) == (6, 6, 6, 0)
