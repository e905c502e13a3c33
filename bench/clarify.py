"""Which questions get a question back: `make bench-clarify DATA=folder`.

`DATA` is a judged collection in the BEIR layout whose queries carry `answerability` and a `context` of turns. Printed
are, for each label, the queries and how many of them are asked back, by the rule that works without a model.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from assistant.chat import clarify
from assistant.chat.rewrite import fused
from assistant.domain import Passage, Place
from assistant.index.embed import embedder_from
from assistant.index.evaluate import collection
from assistant.index.scoring import Recipe
from assistant.settings import load
from bench.followups import window


async def main() -> None:
    folder = os.environ.get("DATA")
    if not folder:
        sys.exit("Name a judged collection: make bench-clarify DATA=folder")
    settings = load()
    reader = embedder_from(settings)
    lines = (Path(folder) / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries, asked, examples = Counter[str](), Counter[str](), []
    async with collection(Path(folder), os.environ.get("SPLIT", "dev"), reader, settings.index) as judged:
        for query in map(json.loads, lines):
            search = fused(query["text"], window(query), settings.chat.weight_before)
            found = await judged.search([(search.text, 1.0), *search.before], Recipe())
            best, shown = found.order()[: settings.chat.passages * 5], Counter[str]()
            passages = []
            rows = {r["id"]: r for r in await judged.table.passages(best)}
            for row in (rows[i] for i in best if i in rows):
                shown[row["document"]] += 1
                if shown[row["document"]] <= Recipe().of_one_document:
                    passages.append(_passage(row))
            fit = {i: late + found.vector.get(i, 0.0) for i, late in found.late.items()}
            said = [text for text, _ in search.before]
            labels = clarify.things(search.text, said, passages[: settings.chat.passages], fit)
            label = ", ".join(query["answerability"]).lower()
            queries[label] += 1
            asked[label] += bool(labels)
            if labels:
                examples.append([label, search.text, [m.label for m in labels]])
    rows = {label: {"queries": n, "asked_back": asked[label]} for label, n in sorted(queries.items())}
    print(json.dumps({"labels": rows, "asked": examples}, ensure_ascii=False))  # noqa: T201 - the bench's result


def _passage(row: dict[str, Any]) -> Passage:
    place = Place(headings=tuple(row["headings"] or ()))
    return Passage(
        id=row["id"],
        document_id=row["document_id"],
        document=row["document"],
        title=row["title"],
        text=row["text"],
        place=place,
        access=1,
        text_hash="",
    )


if __name__ == "__main__":
    asyncio.run(main())
