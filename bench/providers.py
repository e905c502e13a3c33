"""Providers that fail, one row a fault: `make bench-providers TURNS=6`.

Real turns over a small index, a primary that has the fault and a fallback that works, and the same faults with no
fallback but the built-in model. `shown_part_as_whole` counts turns whose last screen is neither a whole answer nor
marked; `calls_to_primary` are all calls of the row's turns within one breaker time; the delay is that of the turns
after the first, beyond the same turn with no primary at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assistant.domain import Answer, Asker, Delta, Final, Restart
from assistant.settings import Deployment, ModelSettings
from bench.office import Office, office
from bench.processes import free_port
from tests.fakes.openai import ANSWER, FakeOpenAI
from tests.fakes.serve import serving
from tests.fakes.wire import CutShort

TURNS = int(os.environ.get("TURNS", "6"))
QUESTION = "How many unused days may be carried over?"
DOCUMENTS = {"leave.md": "# Leave\n\nTen unused days may be carried over. They lapse on 31 March.\n"}
LIMITS = {"first_token_s": 1.0, "gap_s": 0.5, "turn_s": 8.0}
PLACES = 10
PLAIN = (
    "429", "429bare", "500", "401", "400", "404", "hang", "slow", "stall", "cut", "garbage", "badjson", "nochoices",
    "nofinish", "keepalive", "length", "too_long", "refused",
)  # fmt: skip


class Faults:
    """The servers that fail and where they are."""

    def __init__(self, http: FakeOpenAI, wire: CutShort, bases: dict[str, str]) -> None:
        self.http, self.wire, self.bases = http, wire, bases

    def __iter__(self) -> Iterator[tuple[str, str, float]]:
        """Name of the fault, model that has it, and the place of a cut."""
        for mode in PLAIN:
            yield mode, mode, 0.5
        for framing in ("chunked", "unchunked"):
            for place in range(PLACES):
                yield f"{framing} cut at {place + 1} of {PLACES}", framing, (place + 0.7) / PLACES

    def deployment(self, model: str) -> Deployment:
        where = "refused" if model == "refused" else "wire" if model.endswith("chunked") else "http"
        return Deployment(name=model, tier="strong", model=f"openai/{model}", api_base=self.bases[where])

    def calls(self, model: str) -> int:
        return (self.wire if model.endswith("chunked") else self.http).calls[model]

    def forget(self) -> None:
        self.wire.calls.clear()
        self.http.calls.clear()


async def screen(services: Any, asker: Asker) -> tuple[str, Answer, float]:
    """What stands on the screen at the end of a turn, its answer and its seconds."""
    from uuid import uuid4

    from assistant.chat.engine import KnowledgeChatEngine

    text, began = "", time.monotonic()
    engine = KnowledgeChatEngine(services, asker, str(uuid4()))
    async for event in engine.turn(QUESTION, str(uuid4()), str(uuid4())):
        if isinstance(event, Restart):
            text = ""
        elif isinstance(event, Delta):
            text += event.text
        elif isinstance(event, Final):
            return text, event.answer, time.monotonic() - began
    raise AssertionError("a turn ends with Final")


def judge(text: str, answer: Answer) -> str:
    """`whole`, `marked`, or `part`: less than an answer with nothing that says so."""
    quoted = "Ten unused days may be carried over" in text.replace("*", "")
    if text == answer.text and answer.receipt.outcome == "complete" and (ANSWER in text or quoted):
        return "whole"
    marked = answer.receipt.outcome in {"failed", "interrupted"} or "reached its limit of length" in text
    return "marked" if marked and answer.text else "part"


async def one(place: Office, faults: Faults, name: str, model: str, *, fallback: bool, base_s: float) -> dict[str, Any]:
    deployments = [faults.deployment(model), *([faults.deployment("ok")] if fallback else [])]
    services = place.services(ModelSettings(deployments=deployments, **LIMITS))
    faults.forget()
    kinds, seconds = [], []
    for turn in range(TURNS):
        text, answer, took = await screen(services, place.asker)
        kinds.append(judge(text, answer))
        if turn:
            seconds.append(took)
    return {
        "fault": name,
        "fallback": fallback,
        "turns": TURNS,
        "whole": kinds.count("whole"),
        "marked": kinds.count("marked"),
        "shown_part_as_whole": kinds.count("part"),
        "calls_to_primary": faults.calls(model),
        "added_ms_p50": round((statistics.median(seconds) - base_s) * 1000),
    }


async def main() -> None:
    http, wire = FakeOpenAI(), CutShort()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            office(Path(folder), DOCUMENTS) as place,
            serving(http.app) as base,
            wire.serving() as raw,
        ):
            bases = {"http": f"{base}/v1", "wire": raw, "refused": f"http://127.0.0.1:{free_port()}/v1"}
            faults = Faults(http, wire, bases)
            healthy = place.services(ModelSettings(deployments=[faults.deployment("ok")]))
            await screen(healthy, place.asker)
            base_s = statistics.median([(await screen(healthy, place.asker))[2] for _ in range(5)])
            rows = []
            for name, model, share in faults:
                wire.share = share
                for fallback in (True, False):
                    rows.append(await one(place, faults, name, model, fallback=fallback, base_s=base_s))
    print(json.dumps({"rows": rows}))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
