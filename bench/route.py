"""What is answered without a search: `make bench-route DATA=folder`.

`DATA` holds `queries.jsonl`, a turn a line with its `text` and whether it `needs_knowledge`. Printed are the share of
the turns that need it and went unsearched, with their texts, and of the others how many did, by kind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from assistant.chat.recall import wanted
from assistant.chat.route import talk


def main() -> None:
    folder = os.environ.get("DATA")
    if not folder:
        sys.exit("Name labelled turns: make bench-route DATA=folder")
    lines = (Path(folder) / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [json.loads(line) for line in lines]
    began = time.perf_counter()
    found = [("note" if wanted(t["text"]) else None) or (said.kind if (said := talk(t["text"])) else "") for t in turns]
    micros = (time.perf_counter() - began) / len(turns) * 1e6
    needed = [(t["text"], kind) for t, kind in zip(turns, found, strict=True) if t["needs_knowledge"]]
    others = [kind for t, kind in zip(turns, found, strict=True) if not t["needs_knowledge"]]
    unsearched = [text for text, kind in needed if kind]
    print(  # noqa: T201 - the bench's result
        json.dumps(
            {
                "turns": len(turns),
                "need_knowledge": len(needed),
                "unsearched": len(unsearched),
                "unsearched_share": round(len(unsearched) / len(needed), 4),
                "unsearched_texts": unsearched,
                "need_none": len(others),
                "spared_a_search": sum(map(bool, others)),
                "spared_by_kind": dict(Counter(kind for kind in others if kind).most_common()),
                "microseconds_a_turn": round(micros),
            }
        )
    )


if __name__ == "__main__":
    main()
