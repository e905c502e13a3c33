"""What misspelt words cost, and what reading them as they were meant gives back: `make bench-spelling`.

In the last turn of each case so many words, of five letters or more, get one typing mistake: a letter missing, added,
wrong, or swapped with the next (drawn with `SEED`). Asked with the step `spelling` off and on. `changed`: questions of
which a word was read otherwise; without a mistake none should be. `DATA` holds `qa.jsonl` and `files/`; without it the
demo's questions and documents are taken. `TYPOS=0,1,2`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from dataclasses import replace
from typing import Any

from assistant.commands import evaluation
from assistant.domain import Answer, Case
from assistant.index.sentences import STOP
from assistant.ops import cases as case_files
from assistant.ops.evaluate import answers
from assistant.settings import PROJECT, load
from bench import company

_WORD = re.compile(r"[A-Za-zÄÖÜäöüß]{5,}")
_TYPED = "etaoinshrdlu"


def mistyped(word: str, rng: random.Random) -> str:
    """The word with one mistake behind its first letter."""
    at, other = rng.randrange(1, len(word) - 1), rng.choice(_TYPED)
    return rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + other + word[at:],
            word[:at] + other + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        ]
    )


def misspelt(text: str, typos: int, rng: random.Random) -> str:
    """The question with that many of its words mistyped, or with all where it has fewer."""
    words = [w for w in _WORD.finditer(text) if w.group().lower() not in STOP]
    for found in sorted(rng.sample(words, min(typos, len(words))), key=lambda w: -w.start()):
        text = text[: found.start()] + mistyped(found.group(), rng) + text[found.end() :]
    return text


async def main() -> None:
    case_file, documents = company.named()
    settings, cases = load(PROJECT / "assistant.toml"), case_files.read(case_file)
    rows = []
    async with evaluation.trial(settings, documents) as tried:
        services = tried.parts.services
        assert services is not None
        for typos in map(int, os.environ.get("TYPOS", "0,1,2").split(",")):
            rng = random.Random(int(os.environ.get("SEED", "7")))
            asked = [c.model_copy(update={"turns": [*c.turns[:-1], misspelt(c.turns[-1], typos, rng)]}) for c in cases]
            for on in (False, True):
                steps = settings.chat.steps.model_copy(update={"spelling": on})
                chat = services.settings.chat.model_copy(update={"steps": steps})
                own = services.settings.model_copy(update={"chat": chat})
                tried.parts.services = replace(services, settings=own)
                rows.append({"typos": typos, "spelling": on, **await _asked(tried, asked)})
    print(json.dumps({"rows": rows}))  # noqa: T201 - the bench's result


async def _asked(tried: evaluation.Trial, cases: list[Case]) -> dict[str, Any]:
    changed = 0

    async def ask(case: Case) -> Answer:
        nonlocal changed
        answer = await tried.ask(case)
        changed += any(s.name == "spelling" and s.note[0] != "0" for s in answer.receipt.steps)
        return answer

    found = await answers(cases, ask, tried.resolves)
    return {"changed": changed, **found["kinds"]}


if __name__ == "__main__":
    asyncio.run(main())
