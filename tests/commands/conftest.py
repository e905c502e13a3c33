"""An installation of two sources, whose embedder is only a hash, and which reads files where the test runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistant import bootstrap
from assistant.commands import indexing
from assistant.index import filling
from assistant.settings import Settings, Source
from tests.index.conftest import HashEmbedder, InThisProcess, put


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    embedder = HashEmbedder()
    monkeypatch.setattr(bootstrap, "own_embedder", lambda *_, **__: embedder)
    monkeypatch.setattr(filling, "Workers", InThisProcess)
    put(tmp_path, {"one/a.md": "# A\n\nHoliday.", "two/b.md": "# B\n\nTravel."})
    sources = [
        Source(name="one", path=tmp_path / "one", schedule="0 5 * * *"), Source(name="two", path=tmp_path / "two")
    ]  # fmt: skip
    return Settings(data=tmp_path / "data", sources=sources)


async def sync(settings: Settings, *only: str) -> dict[str, Any]:
    return await indexing.sync(settings, [], "test", only=only)
