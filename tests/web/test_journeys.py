"""A search is one table: where each passage stands at each stage, and what hides it."""

from __future__ import annotations

from assistant.index.explain import Explanation, Hidden, Hit
from assistant.web.admin.journeys import Place, journeys


def hit(name: str, score: float) -> Hit:
    return Hit(passage=name, document=f"{name}.md", title=name, place="", score=score)


def test_what_is_shown_comes_first_then_what_came_furthest() -> None:
    told = Explanation(
        person="p",
        groups=(),
        question="q",
        searched="q",
        release=1,
        stages={
            "text": (hit("secret", 9), hit("late", 3)),
            "vector": (hit("only vector", 0.4),),
            "fused": (hit("secret", 1), hit("late", 0.5)),
            "after_rights": (hit("late", 1), hit("second", 0.2)),
            "reranked": (hit("second", 2), hit("late", 1.5)),
        },
        hidden=(Hidden(document="secret.md", title="secret", score=1, rule="share:**", reason="it may not"),),
        signals={},
    )
    rows = journeys(told)
    assert [r.hit.passage for r in rows] == ["second", "late", "secret", "only vector"]
    assert rows[1].places == (Place(2, 3), None, Place(2, 0.5), Place(1, 1), Place(2, 1.5))
    assert [bool(r.hidden) for r in rows] == [False, False, True, False]
