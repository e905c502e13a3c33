from __future__ import annotations

import pytest

from assistant.index import compact, filling, release
from tests.index.conftest import Index

pytestmark = pytest.mark.usefixtures("in_process")
PAGES = {f"{n}.md": f"# Page {n}\n\nThe text of page {n}." for n in range(60)}


def files(index: Index) -> int:
    return len(list((index.home / "index").glob("*.lance/data/*.lance")))


@pytest.mark.parametrize(("megabytes", "joined"), [(4_096, True), (1, False)])
async def test_files_are_joined_within_bounded_memory_or_left_as_they_are(
    index: Index, monkeypatch: pytest.MonkeyPatch, megabytes: int, joined: bool
) -> None:
    monkeypatch.setattr(filling, "EMBEDDED_TOGETHER", 20)
    monkeypatch.setattr(compact, "INLINE", 0)
    monkeypatch.setattr(compact, "MEGABYTES", megabytes)
    report = await index.sync(PAGES)
    row, table = await release.open_active(index.db, index.store)
    assert (report.release, row.passages) == (1, 60)
    stats = await table._table.stats()
    assert (stats["fragment_stats"]["num_fragments"] == 1) == joined
    assert len(await index.found("text of a page", k=100)) == 60
