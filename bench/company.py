"""The company that a bench asks about: the demo, or the one in `DATA`."""

from __future__ import annotations

import os
from pathlib import Path

from assistant.settings import PROJECT

DEMO = PROJECT / "data/demo/questions.jsonl"


def named() -> tuple[Path, Path | None]:
    """Its case file and the folder of its documents: `qa.jsonl` and `files/` of `DATA`, else the demo's (None)."""
    folder = Path(os.environ["DATA"]) if os.environ.get("DATA") else None
    return (folder / "qa.jsonl", folder / "files") if folder else (DEMO, None)
