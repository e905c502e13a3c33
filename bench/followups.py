"""What the thread adds to a follow-up's search: `make bench-followups DATA=folder[,folder]`.

`DATA` holds judged collections in the BEIR layout whose queries have a `context` of turns. Searched are the last turn
alone, the previous question and the last one joined (a rewriting by rule), and what the product does without a model:
the scores of the turn before added, unless the question stands alone (`fused`). `new_subject` is the same behind the
turns of another conversation: as good as `last_turn` would be best. `SPLIT=dev`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ir_measures import nDCG

from assistant.chat.rewrite import fused
from assistant.index.embed import embedder_from
from assistant.index.evaluate import collection
from assistant.index.scoring import Recipe
from assistant.memory.threads import PastTurn
from assistant.settings import load

MEASURES = {"ndcg@10": nDCG @ 10, "ndcg@5": nDCG @ 5}
Texts = tuple[Sequence[tuple[str, float]], Sequence[tuple[str, float]]]


def window(query: dict[str, Any]) -> list[PastTurn]:
    """The earlier turns of a query, as a thread keeps them."""
    turns: list[PastTurn] = []
    for said in query.get("context") or []:
        if said["role"] == "user":
            turns.append(PastTurn(said["text"], "", "complete"))
        elif turns:
            turns[-1] = PastTurn(turns[-1].question, said["text"], "complete")
    return turns


def last_turn(query: dict[str, Any]) -> Texts:
    return [(query["text"], 1.0)], ()


def joined(query: dict[str, Any]) -> Texts:
    return [(" ".join([*(t.question for t in window(query)[-1:]), query["text"]]), 1.0)], ()


def with_thread(query: dict[str, Any]) -> Texts:
    search = fused(query["text"], window(query), load().chat.weight_before)
    return [(search.text, 1.0), *search.before], search.aside


def after_another(queries: Mapping[str, dict[str, Any]]) -> Callable[[dict[str, Any]], Texts]:
    """What is searched for a query whose thread, before it, was another conversation's."""
    ids = sorted(queries, key=lambda i: hashlib.sha256(i.encode()).digest())

    def conversation(query_id: str) -> str:
        return query_id.partition("<")[0]

    def texts(query: dict[str, Any]) -> Texts:
        own, at = conversation(query["_id"]), ids.index(query["_id"])
        others = (queries[i] for i in [*ids[at:], *ids[:at]] if conversation(i) != own and window(queries[i]))
        return with_thread(query | {"context": next(others)["context"]})

    return texts


async def main() -> None:
    folders = [Path(name) for name in os.environ.get("DATA", "").split(",") if name]
    if not folders:
        sys.exit("Name judged collections with a context: make bench-followups DATA=folder")
    settings = load()
    sets = {}
    for folder in folders:
        reader = embedder_from(settings)
        async with collection(folder, os.environ.get("SPLIT", "dev"), reader, settings.index) as judged:
            searched = {
                "last_turn": last_turn,
                "rewritten": joined,
                "fused": with_thread,
                "new_subject": after_another(judged.queries),
            }
            sets[folder.name] = {
                "queries": len(judged.queries),
                "with_context": sum(bool(q.get("context")) for q in judged.queries.values()),
                **{
                    name: judged.figures((await judged.run(texts_of, Recipe()))["hybrid"], MEASURES)
                    for name, texts_of in searched.items()
                },
            }
    print(json.dumps({"sets": sets}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
