"""What is declined, rightly and wrongly: `make bench-decline DATA=folder`.

`DATA` holds `qa.jsonl` and `files/`; without it the demo's questions and documents are taken. `FOREIGN` is a case file
of another company, whose questions must be declined; with `DATA` the demo's. The shares come from ten-fold
cross-validation at `WRONG=0.1` of the answerable ones declined.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from assistant.commands import evaluation
from assistant.settings import PROJECT, load
from bench import company


async def main() -> None:
    cases, documents = company.named()
    foreign = Path(os.environ["FOREIGN"]) if os.environ.get("FOREIGN") else (company.DEMO if documents else None)
    found = await evaluation.calibrate(
        load(PROJECT / "assistant.toml"), cases, documents, foreign, float(os.environ.get("WRONG", "0.1"))
    )
    print(json.dumps(found))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
