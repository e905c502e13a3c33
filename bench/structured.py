"""Structured replies that are broken: `make bench-json`, `DATA=llm_faults.jsonl` or its folder.

Each row is what a model replied, every time it was asked, and goes through the product's own `ask`: a server that
speaks the provider's protocol, the reader, the question once more. `recovered` were read right from the first reply;
`accepted` counts the hopeless that were taken for an answer; `asked_again` those among the cut-off ones that were asked
for once more, exactly once, and whose second, whole reply was then taken.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_index.core.llms import ChatMessage
from pydantic import BaseModel, ConfigDict

from assistant.chat.models import Call, Models
from assistant.chat.structured import ask
from assistant.errors import ModelError
from assistant.settings import Deployment, ModelSettings, Settings
from tests.fakes.openai import FakeOpenAI
from tests.fakes.serve import serving

VALUES: list[dict[str, Any]] = [
    {"question": "How many days may interns carry over?", "standalone": False},
    {"verdicts": [{"n": 1, "supported": True, "why": 'it says "ten days"'}], "sure": 0.9},
    {"title": "Zeiten für München", "tags": ["Büro", "Öffnung"], "note": None},
    {"steps": [{"tool": "search", "k": 6}, {"tool": "open", "k": -1}], "text": "one\ntwo: {three}"},
]
MENDED: dict[str, Callable[[str], str]] = {
    "as it is": lambda s: s,
    "prose around": lambda s: f"Sure, here you are:\n{s}\nAnything else?",
    "fence": lambda s: f"```json\n{s}\n```",
    "thoughts": lambda s: f"<think>maybe {{this}}</think>{s}",
    "trailing comma": lambda s: f"{s[:-1]},}}",
    "byte order mark": lambda s: f"\ufeff{s}",
    "comment": lambda s: s.replace("{", "{ // a note\n", 1),
    "python": lambda s: repr(json.loads(s)),
    "no last bracket": lambda s: s[:-1],
    "encoded twice": json.dumps,
    "another object behind": lambda s: f'{s}\n{{"other": 1}}',
}
CUT: dict[str, Callable[[str], str]] = {
    "cut in a key": lambda s: s[:4],
    "cut in a value": lambda s: s[: s.index(":") + 4],
    "cut before a value": lambda s: s[: s.index(":") + 1],
}
HOPELESS = [
    "", "   ", "I cannot help with that.", "[1, 2]", "null", '"text"', "42", "{}", "[" * 9_000, '{"a":' * 9_000,
    "<html><body>502 Bad Gateway</body></html>", '{"sure": NaN}', '{"sure": Infinity}', '{"a": [1, -Infinity]}',
]  # fmt: skip


class Anything(BaseModel):
    """Any object: what is judged is the reader, not a schema."""

    model_config = ConfigDict(extra="allow")


def own_rows() -> list[dict[str, Any]]:
    """Rows like those of a `DATA=` file, made of our own replies."""
    rows = []
    for value in VALUES:
        text = json.dumps(value, ensure_ascii=False)
        rows += [{"raw": spoil(text), "expected": value, "policy": "repair"} for spoil in MENDED.values()]
        rows += [{"raw": spoil(text), "expected": None, "policy": "must_retry_or_partial"} for spoil in CUT.values()]
    return rows + [{"raw": raw, "expected": None, "policy": "must_fail_cleanly"} for raw in HOPELESS]


def read(data: str) -> list[dict[str, Any]]:
    if not data:
        return own_rows()
    path = Path(data)
    file = path / "llm_faults.jsonl" if path.is_dir() else path
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


class Replies:
    """Asks through the product; the fake model says `first`, then `later` for ever."""

    def __init__(self, fake: FakeOpenAI, base: str) -> None:
        self._fake = fake
        deployment = Deployment(name="fake", tier="small", model="openai/fake", api_base=base)
        self._models = Models(Settings(models=ModelSettings(deployments=[deployment], breaker_s=0.001)))

    async def ask(self, first: str, later: str) -> tuple[dict[str, Any] | None, int]:
        """The object that was accepted, or None, and how often the model was asked."""
        replies = iter([first])
        self._fake.obey = lambda _: next(replies, later)
        self._fake.calls.clear()
        call = Call("bench", time.monotonic() + 30)
        try:
            found = await ask(self._models, "small", [ChatMessage(role="user", content="x")], Anything, call)
        except ModelError:
            return None, self._fake.calls["fake"]
        return found.model_extra, self._fake.calls["fake"]


async def main() -> None:
    rows = read(os.environ.get("DATA", ""))
    counts = dict.fromkeys(("repairable", "recovered", "hopeless", "accepted", "cut", "asked_again"), 0)
    failed = []
    fake = FakeOpenAI()
    async with serving(fake.app) as base:
        replies = Replies(fake, f"{base}/v1")
        for row in rows:
            found, times = await replies.ask(row["raw"], row["raw"])
            if row["policy"] in {"repair", "first_object"}:
                counts["repairable"] += 1
                good = found == row["expected"] and times == 1
                counts["recovered"] += good
            else:
                counts["hopeless"] += 1
                good = found is None
                counts["accepted"] += not good
            if row["policy"] == "must_retry_or_partial":
                counts["cut"] += 1
                whole, asked = await replies.ask(row["raw"], '{"whole": true}')
                again = times == 2 and asked == 2 and whole == {"whole": True}
                counts["asked_again"] += again
                good = good and again
            if not good:
                failed.append(row.get("id") or row["raw"][:60])
    print(json.dumps({**counts, "failed": failed}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
