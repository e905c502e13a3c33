"""A search as one table: each passage's way through the stages, and what hides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.index.explain import Explanation, Hidden, Hit

# In the order of the search; the last is what the person is shown.
STAGES = ("text", "vector", "fused", "after_rights", "reranked")


@dataclass(frozen=True)
class Place:
    """Where a passage stands at a stage, from 1, and the score that put it there."""

    rank: int
    score: float


@dataclass(frozen=True)
class Journey:
    """One passage; `places` has None where it is not among the first."""

    hit: Hit
    places: tuple[Place | None, ...]
    hidden: Hidden | None


def journeys(told: Explanation) -> list[Journey]:
    """Every passage that any stage lists: those shown first, then as far as each came."""
    at = {
        stage: {hit.passage: Place(n, hit.score) for n, hit in enumerate(told.stages.get(stage, ()), 1)}
        for stage in STAGES
    }
    hits = {hit.passage: hit for stage in STAGES for hit in told.stages.get(stage, ())}
    hidden = {h.document: h for h in told.hidden}
    found = [
        Journey(hit, tuple(at[stage].get(passage) for stage in STAGES), hidden.get(hit.document))
        for passage, hit in hits.items()
    ]

    def order(journey: Journey) -> list[int]:
        shown, rights, fused, vector, text = reversed([p.rank if p else 1_000 for p in journey.places])
        return [shown, min(rights, fused), vector, text]

    return sorted(found, key=order)
