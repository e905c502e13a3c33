"""How passages get their order: text and vectors asked apart, fused by score, the best ones read word by word."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from assistant.index import rerank
from assistant.index.vector_store import PassageVectorStore


@dataclass(frozen=True)
class Recipe:
    """What counts how much. The defaults are measured (docs/decisions/0004-late-interaction.md, `make bench-ablation`).

    `depth`: passages scored on each side; over short lists the fused order is worse (SciFact dev .726 over 100, .732
    over 500). `reranked`: how many of the best are read word by word. `of_one_document`: passages of one document among
    those shown, for the next document tells more than a third passage of the same one. `newest_first`: see `dates`.
    `named`: what it counts at most that a passage holds a number or code of the question, where few do: late
    interaction sees pieces of it only.
    `late_before`: what the answer before counts beside a follow-up when passages are read word by word.
    `join_tokens`: how long a passage may grow by its neighbours (see `joining`); 0 leaves all as they were cut.
    """

    depth: int = 2_000
    vector_share: float = 0.55
    reranked: int = 30
    late_weight: float = 2.2
    named: float = 0.2
    of_one_document: int = 2
    newest_first: bool = True
    join_tokens: int = 1_000
    late_before: float = 0.5


# A longer question is embedded in pieces of this many words: on 200-word scenarios (tau2_banking dev) hybrid nDCG@10 is
# .456 so, .428 with one vector.
PIECE_WORDS = 40
WHOLE_WORDS = 60
PIECES = 12
# Enough of an answer to say what it was about (mtragun_mini nDCG@10 .915 with 300 and with 600).
LEANING_CHARS = 300
# A number or a code that names one thing: a room, a ticket, a part.
_NAMES = re.compile(r"(?=[^\W_]*\d)[^\W_]{3,}")


@dataclass(frozen=True)
class Stages:
    """What each step of a search gave, scores by passage id; `ms` is how long it took.

    `text` is BM25 and `vector` cosine similarity for the question itself, `fused` the normalised sum over it and its
    thread, `late` the late interaction of the best with the question alone, `final` what orders the list.
    """

    text: Mapping[str, float]
    vector: Mapping[str, float]
    fused: Mapping[str, float]
    late: Mapping[str, float]
    final: Mapping[str, float]
    ms: Mapping[str, float]

    def order(self) -> list[str]:
        """The ids, best first."""
        return sorted(self.final, key=lambda i: (-self.final[i], i))


async def stages(
    store: PassageVectorStore,
    reader: rerank.Reader,
    texts: Sequence[tuple[str, float]],
    recipe: Recipe,
    aside: Sequence[tuple[str, float]] = (),
    *,
    comparable: bool = True,
) -> Stages:
    """Search for the first of `texts`; the others are of its thread, and add their scores with their weights.

    Those of `aside` do that alone: the question is not read together with them.
    Where the store's vectors are of another model (`comparable` is false) the text alone is searched.
    """
    ms: dict[str, float] = {}
    clock = time.monotonic()

    def lap(name: str) -> None:
        nonlocal clock
        ms[name] = round((time.monotonic() - clock) * 1000, 2)
        clock = time.monotonic()

    # The question before names what is asked about: both are one question. The answer before only leans on the order.
    question, *said = " ".join(t for t, _ in reversed(texts[:2])), *(t for t, _ in texts[2:])
    reading = {t: asyncio.create_task(reader.asked(t)) for t in (question, *said)}
    texts = [*texts, *aside]

    async def search(text: str) -> dict[str, float]:
        found = await store.aquery(
            VectorStoreQuery(query_str=text, mode=VectorStoreQueryMode.TEXT_SEARCH, similarity_top_k=recipe.depth)
        )
        return dict(zip(found.ids or (), found.similarities or (), strict=True))

    async def near() -> list[dict[str, float]]:
        if not comparable:
            return [{} for _ in texts]
        # The vector of what is read word by word comes with its words.
        if comes := [reading[t] for t, _ in texts if t in reading]:
            await asyncio.wait(comes)
        vectors = await _vectors(reader, [t for t, _ in texts])
        lap("embed")
        flat = iter(await store.near([v for vs in vectors for v in vs], recipe.depth))
        return [of_pieces([next(flat) for _ in vs]) if vs else {} for vs in vectors]

    by_text, by_vector, words, holding = await asyncio.gather(
        asyncio.gather(*(search(t) for t, _ in texts)),
        near(),
        asyncio.gather(*reading.values()),
        search(" ".join(_NAMES.findall(texts[0][0]))),
    )
    lap("search")
    fused = fuse(
        pair
        for (_, weight), text, vector in zip(texts, by_text, by_vector, strict=True)
        for pair in (
            (normalised(text, 0.0), weight * (1 - recipe.vector_share)),
            (normalised(vector), weight * recipe.vector_share),
        )
    )
    lap("fuse")
    best = sorted(fused, key=lambda i: (-fused[i], i))[: recipe.reranked]
    codes = await store.codes(best)
    late, *leaning = (rerank.scores(w, codes) for w in words)
    share = recipe.late_before / (1 + recipe.late_before * len(leaning))
    read = fuse([(late, 1 - share * len(leaning)), *((scores, share) for scores in leaning)])
    named = normalised(holding, 0.0) if len(holding) <= recipe.reranked else {}
    final = {
        i: value + recipe.late_weight * read.get(i, 0.0) + recipe.named * named.get(i, 0.0)
        for i, value in fused.items()
    }
    lap("rerank")
    return Stages(by_text[0], by_vector[0], fused, late, final, ms)


async def _vectors(reader: rerank.Reader, texts: Sequence[str]) -> list[list[list[float]]]:
    """The vectors of each text's pieces, from one call."""
    parts = [pieces(t) for t in texts]
    flat = iter(await reader.embed([p for ps in parts for p in ps])) if parts else iter(())
    return [[next(flat) for _ in ps] for ps in parts]


def normalised(scores: Mapping[str, float], floor: float | None = None) -> dict[str, float]:
    """Scores brought to 0..1. `floor` is what counts as nothing (0 for BM25), else the least of the list.

    A list of one value, or of equal ones, is all 1: a lone exact hit must count.
    """
    if not scores:
        return {}
    low = min(scores.values()) if floor is None else floor
    high = max(scores.values())
    if high <= low:
        return dict.fromkeys(scores, 1.0)
    return {k: (v - low) / (high - low) for k, v in scores.items()}


def fuse(lists: Iterable[tuple[Mapping[str, float], float]]) -> dict[str, float]:
    """The weighted sum of normalised lists, over all that stand in any of them."""
    total: Counter[str] = Counter()
    for scores, weight in lists:
        for key, value in scores.items():
            total[key] += weight * value  # type: ignore[assignment]
    return dict(total)


def leaning(answer: str) -> str:
    """What of an answer the search for the next question of its thread leans on."""
    return answer[:LEANING_CHARS]


def pieces(text: str) -> list[str]:
    """What of a question is embedded together."""
    words = text.split()
    if len(words) <= WHOLE_WORDS:
        return [text]
    return [" ".join(words[at : at + PIECE_WORDS]) for at in range(0, len(words), PIECE_WORDS)][:PIECES]


def of_pieces(lists: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """One score for each passage from those of a question's pieces: half their mean, half the best.

    A passage that a piece's list does not reach counts there as its last one.
    """
    if len(lists) == 1:
        return dict(lists[0])
    floors = [min(scores.values(), default=0.0) for scores in lists]
    out = {}
    for key in set().union(*lists):
        values = [scores.get(key, floor) for scores, floor in zip(lists, floors, strict=True)]
        out[key] = (sum(values) / len(values) + max(values)) / 2
    return out
