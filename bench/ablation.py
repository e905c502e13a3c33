"""Each stage of retrieval on and off, quality beside milliseconds: `make bench-ablation DATA=folder`.

`DATA` holds `qa.jsonl` and `files/`; without it the demo's questions and documents are taken. A follow-up is searched
with the turn before it, which was answered once, with every stage on. Milliseconds are the median of a whole search on
this machine; read them as ratios.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assistant.chat.rewrite import fused
from assistant.commands import evaluation
from assistant.domain import Case, Level
from assistant.index.scoring import Recipe
from assistant.memory.threads import PastTurn
from assistant.ops import cases as case_files
from assistant.settings import PROJECT, load
from bench import company

WHOLE = Recipe()
ROWS = {
    "all": (WHOLE, True),
    "without late interaction": (replace(WHOLE, late_weight=0.0, reranked=0), True),
    "without vectors": (replace(WHOLE, vector_share=0.0), True),
    "without text": (replace(WHOLE, vector_share=1.0), True),
    "text alone": (replace(WHOLE, vector_share=0.0, late_weight=0.0, reranked=0), True),
    "vectors alone": (replace(WHOLE, vector_share=1.0, late_weight=0.0, reranked=0), True),
    "any number of passages of a document": (replace(WHOLE, of_one_document=99), True),
    "passages as they were cut": (replace(WHOLE, join_tokens=0), True),
    "without the thread": (WHOLE, False),
}


async def main() -> None:
    case_file, documents = company.named()
    settings, cases = load(PROJECT / "assistant.toml"), case_files.read(case_file)
    rows = []
    async with evaluation.trial(settings, documents) as tried:
        knowledge = tried.parts.knowledge
        threads = {c.id: await _thread(tried, c, settings.chat.weight_before) for c in cases if c.doc}
        for name, (recipe, with_thread) in ROWS.items():
            knowledge.recipe = recipe
            hits: dict[str, list[tuple[bool, bool]]] = {}
            taken = []
            for case in (c for c in cases if c.doc):
                before = threads[case.id] if with_thread else ()
                asker, began = await tried.asker(case), time.monotonic()
                found = await knowledge.search(asker, case.turns[-1], settings.chat.passages, before)
                taken.append((time.monotonic() - began) * 1000)
                documents, expected = list(dict.fromkeys(p.document for p in found.passages)), {case.doc, *case.also}
                hit = bool(expected & set(documents[:1])), bool(expected & set(documents[:5]))
                hits.setdefault(case.kind, []).append(hit)
            rows.append({"stage": name, **_figures(hits), "ms_p50": round(statistics.median(taken), 1)})
    print(json.dumps({"rows": rows}))  # noqa: T201 - the bench's result


async def _thread(tried: evaluation.Trial, case: Case, weight: float) -> Sequence[tuple[str, float]]:
    """What a follow-up is searched with beside itself: the question before it and the answer that it got."""
    if len(case.turns) == 1:
        return ()
    answer = await tried.ask(case.model_copy(update={"turns": case.turns[:-1]}))
    asked_back = answer.receipt.decision.level is Level.ASKED
    window = [PastTurn(case.turns[-2], answer.text, "complete", asked_back=asked_back)]
    return fused(case.turns[-1], window, weight).before


def _figures(hits: dict[str, list[tuple[bool, bool]]]) -> dict[str, Any]:
    return {
        kind: {"hit@1": round(statistics.mean(a for a, _ in h), 3), "hit@5": round(statistics.mean(b for _, b in h), 3)}
        for kind, h in sorted(hits.items())
    }


if __name__ == "__main__":
    asyncio.run(main())
