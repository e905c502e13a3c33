"""Answers given again: `make bench-cache`.

Every question of the cases is asked, then asked again in other words of the same meaning (made by rule), then by
somebody with other rights, then after a new release. Counted are hits, their time, and hits that may not be; and among
all questions that expect different documents, pairs that the similarity would take for the same. `DATA=case file`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant import bootstrap
from assistant.chat import cache
from assistant.commands import indexing
from assistant.domain import Answer, Asker
from assistant.memory import people
from assistant.ops import cases
from assistant.settings import Settings, load

ASKED_AS = "ottilie.marsh@larkfeld.example"
OTHER = "jannik.thoben@larkfeld.example"
QUESTIONS = int(os.environ.get("QUESTIONS", "60"))


def variants(question: str) -> list[str]:
    """The same question as another person would type it."""
    bare = question.rstrip("?!. ")
    lower = bare[0].lower() + bare[1:]
    return [
        bare.upper(),
        f"  {lower}  ",
        f"Please tell me: {lower}?",
        re.sub(r"\bI\b", "we", re.sub(r"\bmy\b", "our", bare)) + "?",
        f"{bare}, please?",
    ]


async def asked(parts: bootstrap.Parts, who: Asker, question: str) -> tuple[Answer, float]:
    began = time.perf_counter()
    answer = await parts.answer(who, question)
    return answer, (time.perf_counter() - began) * 1000


async def measure(settings: Settings, file: Path) -> dict[str, Any]:
    single = [c for c in cases.read(file) if c.doc and len(c.turns) == 1 and not c.asked_as][:QUESTIONS]
    counts = dict.fromkeys(("kept", "variants", "hits", "wrong_hits", "across_rights", "across_release"), 0)
    times, first_times = [], []
    await indexing.sync(settings, [], "bench")
    async with bootstrap.parts(settings) as parts:
        ada = people.asker_of(await _person(parts, ASKED_AS))
        other = people.asker_of(await _person(parts, OTHER))
        assert parts.services is not None
        kept = []
        for case in single:
            answer, ms = await asked(parts, ada, case.turns[0])
            first_times.append(ms)
            if answer.receipt.cache == "hit":
                counts["wrong_hits"] += _sources(answer) != {case.doc} and case.doc not in _sources(answer)
                continue
            again, _ = await asked(parts, ada, case.turns[0])
            if again.receipt.cache == "hit":
                kept.append((case, answer))
        counts["kept"] = len(kept)
        for case, first in kept:
            for question in variants(case.turns[0]):
                again, ms = await asked(parts, ada, question)
                counts["variants"] += 1
                if again.receipt.cache == "hit":
                    counts["hits"] += 1
                    times.append(ms)
                    counts["wrong_hits"] += _sources(again) != _sources(first)
            answer, _ = await asked(parts, other, case.turns[0])
            counts["across_rights"] += answer.receipt.cache == "hit"
        vectors = {c.id: await parts.knowledge.vector(c.turns[0]) for c in single}
        first_cache = parts.services.cache
    changed = settings.data / "more"
    changed.mkdir()
    (changed / "new.md").write_text("# New\n\nA document that makes a new release.\n")
    source = settings.sources[0].model_copy(update={"name": "more", "path": changed})
    later = settings.model_copy(update={"sources": [*settings.sources, source]})
    await indexing.sync(later, [], "bench")
    async with bootstrap.parts(later) as parts:
        assert parts.services is not None
        parts.services = replace(parts.services, cache=first_cache)
        for case, _ in kept:
            answer, _ = await asked(parts, ada, case.turns[0])
            counts["across_release"] += answer.receipt.cache == "hit"
    pairs = [
        (sum(x * y for x, y in zip(vectors[a.id], vectors[b.id], strict=True)), a.turns[0], b.turns[0])
        for i, a in enumerate(single)
        for b in single[i + 1 :]
        if a.doc != b.doc and cache._numbers(a.turns[0]) == cache._numbers(b.turns[0])
    ]
    nearest = max(pairs, default=(0.0, "", ""))
    return {
        "questions": len(single),
        **counts,
        "hit_share": round(counts["hits"] / max(1, counts["variants"]), 3),
        "cached_ms_p50": _at(times, 50),
        "cached_ms_p95": _at(times, 95),
        "first_ms_p50": _at(first_times, 50),
        "similarity": cache.SIMILAR,
        "different_pairs": len(pairs),
        "taken_for_the_same": sum(p[0] >= cache.SIMILAR for p in pairs),
        "nearest_different": round(nearest[0], 3),
    }


def _sources(answer: Answer) -> set[str]:
    return {p.document for p in answer.receipt.passages if p.cited}


def _at(values: list[float], share: int) -> float:
    ranked = sorted(values) or [0.0]
    return round(ranked[max(0, -(-len(ranked) * share // 100) - 1)], 1)


async def _person(parts: bootstrap.Parts, email: str) -> Any:
    return await people.by_email(parts.db, email) or await people.add(parts.db, email)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = load()
        chat = base.chat.model_copy(update={"questions_per_minute": 10_000, "cache_minutes": 60})
        settings = base.model_copy(update={"data": Path(folder), "chat": chat})
        file = Path(os.environ.get("DATA") or base.cases or "")
        sys.stdout.write(json.dumps(asyncio.run(measure(settings, file))) + "\n")


if __name__ == "__main__":
    main()
