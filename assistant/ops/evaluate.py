"""Runs case files through the very pipeline that answers people, and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from assistant.domain import Answer, Case, Progress
from assistant.ops.cases import holds


class Ask(Protocol):
    """Answers the turns of one case in a new thread, as the person the case names; returns the last answer."""

    async def __call__(self, case: Case) -> Answer: ...


# Whether a citation's passage can be opened, with the very text it quotes.
Resolves = Callable[[Case, Answer], Awaitable[list[bool]]]


async def answers(
    cases: Sequence[Case], ask: Ask, resolves: Resolves, progress: Progress | None = None
) -> dict[str, Any]:
    """Figures for each kind of case, and the single results.

    `hit@k`: share of answerable cases with an expected document among the first k documents, in the order of the
    passages that were retrieved, before any decision. `facts`: share of answerable cases whose answer contains an
    accepted string. `citations_resolve`: share of all citations that open; null where there are none. `declined`:
    share of cases it declined.
    """
    results: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for done, case in enumerate(cases):
        if progress:
            progress(done, len(cases), case.id)
        answer = await ask(case)
        expected = {d for d in [case.doc, *case.also] if d}
        documents = list(dict.fromkeys(p.document for p in answer.receipt.passages))
        results[case.kind].append(
            {
                "id": case.id,
                "answerable": bool(expected),
                "hit@1": bool(expected & set(documents[:1])),
                "hit@5": bool(expected & set(documents[:5])),
                "facts": not answer.abstained and holds(answer.text, case.answer_contains),
                "citations": await resolves(case, answer),
                "declined": answer.abstained,
                "score": answer.receipt.decision.score,
            }
        )
    return {
        "kinds": {kind: _figures(rows) for kind, rows in sorted(results.items())},
        "cases": {row["id"]: row for rows in results.values() for row in rows},
    }


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    answerable = [r for r in rows if r["answerable"]]
    citations = [c for r in rows for c in r["citations"]]
    return {
        "cases": len(rows),
        **{key: _share([r[key] for r in answerable]) for key in ("hit@1", "hit@5", "facts")},
        "citations_resolve": _share(citations),
        "declined": _share([r["declined"] for r in rows]),
    }


def _share(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
