from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import lancedb
import pytest
from sqlmodel import col, select, update

from assistant.database.tables import DocumentRow, ReleaseRow
from assistant.errors import InputError, ReleaseError
from assistant.index import release, store
from assistant.index.store import Store
from assistant.settings import IndexSettings
from tests.index.conftest import HashEmbedder, Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
PAGES = {f"{n}.md": f"# Page {n}\n\nThe first text of page {n}." for n in range(6)}


@pytest.fixture
async def two(index: Index) -> Index:
    """An index with two releases in one table: pages changed, one left."""
    await index.sync(PAGES)
    await index.sync({"1.md": "# Page 1\n\nThe second text of page 1.", "5.md": None})
    return index


async def states(index: Index) -> dict[int, str]:
    async with index.db.read() as session:
        rows = (await session.exec(select(ReleaseRow).order_by(col(ReleaseRow.id)))).all()
    return {r.id: r.state for r in rows if r.id is not None}


async def served(index: Index) -> tuple[int | None, list[str]]:
    """Which release answers, and its texts, read from the disk."""
    row, table = await release.open_active(index.db, index.store)
    return row.id, sorted([r["text"] async for r in table.rows(["text"])])


async def row_of(index: Index, release_id: int) -> ReleaseRow:
    async with index.db.read() as session:
        row = await session.get(ReleaseRow, release_id)
    assert row is not None
    return row


def tables(index: Index) -> list[Path]:
    return sorted((index.home / "index").glob("*.lance"))


async def test_going_back_and_forth_serves_exactly_what_a_release_held(two: Index) -> None:
    newest, texts = await served(two)
    assert newest == 2
    assert "# Page 1" not in "".join(texts)
    await release.activate(two.db, two.store, 1, "ada")
    back, before = await served(two)
    assert (back, len(before), "The second text" in "".join(before)) == (1, 6, False)
    assert await states(two) == {1: "ready", 2: "retired"}
    await release.activate(two.db, two.store, 2, "ada")
    assert await served(two) == (2, texts)


async def test_only_a_kept_release_goes_live(two: Index) -> None:
    with pytest.raises(InputError, match="no kept release 99"):
        await release.activate(two.db, two.store, 99, "ada")
    assert (await served(two))[0] == 2


async def test_without_a_run_there_is_no_index_yet(index: Index) -> None:
    with pytest.raises(ReleaseError, match="no index yet"):
        await release.open_active(index.db, index.store)
    with pytest.raises(ReleaseError, match="no index yet"):
        await index.knowledge.search(asker(), "anything", 3)


def deleted(file: Path) -> None:
    file.unlink()


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def half_zeroed(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


KINDS = {
    "data": "data/*.lance",
    "manifest": "_versions/*.manifest",
    "index": "_indices/*/*tokens*",
    "postings": "_indices/*/*invert*",
    "index documents": "_indices/*/*docs*",
    "index metadata": "_indices/*/metadata*",
}
damages = pytest.mark.parametrize("damage", [deleted, emptied, cut, zeroed, half_zeroed])
kinds = pytest.mark.parametrize("kind", KINDS)


async def newest(index: Index, pattern: str, release_id: int) -> Path:
    """The last written file of a kind that a release needs and the one before it does not."""
    if pattern.startswith("_versions"):
        async with index.db.read() as session:
            row = await session.get(ReleaseRow, release_id)
        assert row is not None
        return tables(index)[0] / "_versions" / f"{2**64 - 1 - row.version}.manifest"
    files = [f for f in tables(index)[0].glob(pattern) if f.is_file()]
    return max(files, key=lambda f: f.stat().st_mtime_ns)


@damages
@kinds
async def test_damage_is_found_and_the_release_before_it_serves(
    two: Index, kind: str, damage: Callable[[Path], None]
) -> None:
    await release.activate(two.db, two.store, 1, "ada")
    before = await served(two)
    await release.activate(two.db, two.store, 2, "ada")
    damage(await newest(two, KINDS[kind], 2))
    assert await served(two) == before
    assert await states(two) == {1: "ready", 2: "damaged"}
    assert await two.found("text of page 1")
    report = await two.sync()
    assert (report.release, report.documents) == (3, 5)
    texts = [p.text for p in (await two.knowledge.search(asker(), "page 1", 10)).passages]
    assert any("second text" in t for t in texts)


@damages
async def test_damage_to_what_was_deleted_is_found(index: Index, damage: Callable[[Path], None]) -> None:
    # Few of many go, so that they are only marked as deleted when files are joined.
    await index.sync({f"{n}.md": f"# Page {n}\n\nText of page {n}." for n in range(40)})
    await index.sync({"1.md": None})
    files = list(tables(index)[0].glob("_deletions/*"))
    assert files
    damage(max(files, key=lambda f: f.stat().st_mtime_ns))
    number, texts = await served(index)
    assert (number, len(texts)) == (1, 40)


@pytest.mark.parametrize("damage", [cut, zeroed])
@pytest.mark.parametrize("kind", ["data", "manifest", "index"])
async def test_a_single_damaged_release_is_a_clear_error_and_the_next_run_builds_anew(
    index: Index, kind: str, damage: Callable[[Path], None]
) -> None:
    await index.sync(PAGES)
    _, texts = await served(index)
    damage(await newest(index, KINDS[kind], 1))
    with pytest.raises(ReleaseError, match=r"No release is whole.*assistant index sync"):
        await release.open_active(index.db, index.store)
    report = await index.sync()
    assert (report.release, report.passages, report.embedded) == (2, 6, 6)
    assert await served(index) == (2, texts)


async def test_a_run_never_builds_on_damage_that_nobody_has_met_yet(index: Index) -> None:
    await index.sync(PAGES)
    zeroed(await newest(index, KINDS["manifest"], 1))
    report = await index.sync({"new.md": "# New\n\nNews."})
    assert (report.documents, report.passages) == (7, 7)


async def test_a_damaged_mark_of_a_release_costs_a_new_table_but_no_embedding(two: Index) -> None:
    zeroed(max(tables(two)[0].glob("_refs/tags/*.json"), key=lambda f: f.stat().st_mtime_ns))
    before = await served(two)
    spent = two.embedder.embedded
    report = await two.sync({"new.md": "# New\n\nNews."})
    assert (before[0], report.release, report.documents, two.embedder.embedded - spent) == (2, 3, 6, 1)
    assert len(tables(two)) == 2


async def test_losing_the_whole_folder_is_a_clear_error_and_repaired_by_a_run(two: Index) -> None:
    shutil.rmtree(two.home / "index")
    with pytest.raises(ReleaseError, match="No release is whole"):
        await release.open_active(two.db, two.store)
    assert (await two.sync()).documents == 5


async def test_an_index_that_was_away_for_a_while_is_kept_as_it_was_and_nothing_is_embedded_anew(two: Index) -> None:
    before, there, away = await served(two), two.home / "index", two.home / "away"
    there.rename(away)
    with pytest.raises(ReleaseError, match="No release is whole"):
        await release.open_active(two.db, Store(str(there)))
    assert await states(two) == {1: "damaged", 2: "damaged"}
    shutil.rmtree(there, ignore_errors=True)
    away.rename(there)
    assert await served(two) == before
    assert await states(two) == {1: "damaged", 2: "ready"}
    spent = two.embedder.embedded
    assert (await two.sync({"new.md": "# New\n\nNews."})).release == 3
    assert two.embedder.embedded - spent == 1
    assert await states(two) == {1: "retired", 2: "retired", 3: "ready"}


async def test_an_index_that_cannot_be_opened_is_not_taken_for_a_damaged_one(two: Index) -> None:
    before, there, away = await served(two), two.home / "index", two.home / "away"
    there.rename(away)
    there.write_text("no folder")
    with pytest.raises(ReleaseError, match=r"The index .* cannot be opened: Not a directory\."):
        await release.open_active(two.db, Store(str(there)))
    with pytest.raises(ReleaseError, match=r"cannot be opened: Not a directory\."):
        await two.sync({"new.md": "# New\n\nNews."})
    there.unlink()
    away.rename(there)
    assert await served(two) == before
    assert await states(two) == {1: "retired", 2: "ready"}


async def test_a_release_of_an_older_version_is_called_one_and_made_anew(index: Index) -> None:
    await index.sync(PAGES)
    table = await (await lancedb.connect_async(index.store.uri)).open_table((await row_of(index, 1)).table_name)
    await table.drop_columns(["codes"])
    async with index.db.write() as session:
        await session.exec(update(ReleaseRow).values(version=await table.version()))
    with pytest.raises(ReleaseError, match="No release is whole"):
        await release.open_active(index.db, index.store)
    assert "is of an older version of assistant" in (await row_of(index, 1)).note
    assert (await index.sync()).release == 2


async def test_a_release_before_the_active_one_is_preferred_to_one_after_it(two: Index) -> None:
    await two.sync({"2.md": "# Page 2\n\nThe third text."})
    await release.activate(two.db, two.store, 2, "ada")
    async with two.db.write() as session:
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == 2).values(content_hash="other"))
    assert (await served(two))[0] == 1


async def test_old_releases_are_swept_and_the_kept_ones_stay_readable(index: Index) -> None:
    for n in range(6):
        await index.sync({**PAGES, "0.md": f"# Page 0\n\nText number {n}."})
    assert await states(index) == dict(enumerate(["dropped"] * 3 + ["retired"] * 2 + ["ready"], 1))
    async with index.db.read() as session:
        rows = (await session.exec(select(ReleaseRow).where(col(ReleaseRow.id) > 3))).all()
    for row in rows:
        table = await release.whole(index.store, row)
        assert any(f"number {(row.id or 0) - 1}." in r["text"] for r in [r async for r in table.rows(["text"])])
    table = await index.store.open(tables(index)[0].stem)
    assert set(await table._table.tags.list()) == {"release-4", "release-5", "release-6"}


async def test_the_active_release_is_kept_however_old_it_is(index: Index) -> None:
    await index.sync(PAGES)
    for n in range(4):
        await index.sync({"0.md": f"# Page 0\n\nText number {n}."})
    await release.activate(index.db, index.store, 3, "ada")
    await release.sweep(index.db, index.store, 1)
    assert await states(index) == {1: "dropped", 2: "dropped", 3: "ready", 4: "dropped", 5: "retired"}
    assert (await served(index))[0] == 3


async def test_tables_that_no_release_needs_are_dropped(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "SPARED", timedelta(0))
    await index.sync(PAGES)
    await index.store.create("passages_of_a_killed_run", 64)
    index.embedder = HashEmbedder("hash-2")
    for n in range(3):
        await index.sync({"0.md": f"# Page 0\n\nText number {n}."})
    assert len(tables(index)) == 1
    assert (await served(index))[0] == 4


async def test_a_table_that_a_question_may_still_read_is_spared(index: Index) -> None:
    index.settings = IndexSettings(keep_releases=1)
    await index.sync(PAGES)
    _, table = await release.open_active(index.db, index.store)
    index.embedder = HashEmbedder("hash-2")
    assert (await index.sync()).embedded == 6
    assert len([r async for r in table.rows(["text"])]) == 6


async def test_versions_are_forgotten_only_before_the_oldest_kept_release(
    two: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the releases were older than what is spared: LanceDB refuses to forget anything when a tag is in the way.
    monkeypatch.setattr(store, "SPARED", timedelta(0))
    table = await two.store.open(tables(two)[0].stem)
    await table.compact()
    monkeypatch.setattr(store, "timedelta", lambda **_: timedelta(0))
    await table.keep_only({"release-2": (await row_of(two, 2)).version})
    await table.compact()
    async with two.db.read() as session:
        rows = {r.id: r for r in (await session.exec(select(ReleaseRow))).all()}
    await release.whole(two.store, rows[2])
    with pytest.raises(ReleaseError):
        await release.whole(two.store, rows[1])


async def test_a_release_without_a_tag_gets_it_back(two: Index) -> None:
    table = await two.store.open(tables(two)[0].stem)
    await table.keep_only({"release-1": (await row_of(two, 1)).version})
    await release.sweep(two.db, two.store, 3)
    assert set(await table._table.tags.list()) == {"release-1", "release-2"}


async def test_a_damaged_old_table_does_not_fail_a_run(index: Index) -> None:
    await index.sync(PAGES)
    old = tables(index)[0]
    index.embedder = HashEmbedder("hash-2")
    await index.sync()
    shutil.rmtree(old / "_versions")
    assert (await index.sync({"0.md": "# Page 0\n\nMore."})).release == 3


async def test_a_reader_keeps_its_release_while_the_next_one_goes_live(two: Index) -> None:
    reader = Store(str(two.home / "index"))
    _, table = await release.open_active(two.db, reader)
    before = sorted([r["text"] async for r in table.rows(["text"])])
    await two.sync({"0.md": "# Page 0\n\nMore.", "2.md": None})
    assert sorted([r["text"] async for r in table.rows(["text"])]) == before


async def test_the_history_of_a_document_says_what_each_kept_release_made_of_it(index: Index) -> None:
    await index.sync(PAGES)
    await index.sync({"1.md": "# Page 1\n\nThe second text of page 1.", "5.md": None, "new.md": "# New\n\nFresh."})
    await index.sync({"5.md": PAGES["5.md"], "new.md": None})
    async with index.db.read() as session:
        ids = {d.path: d.id or 0 for d in (await session.exec(select(DocumentRow))).all()}

    async def became(path: str) -> list[str]:
        return [h["became"] for h in await release.history(index.db, index.store, ids[path])]

    assert await became("0.md") == ["same", "same", "oldest"]
    assert await became("1.md") == ["same", "changed", "oldest"]
    assert await became("5.md") == ["added", "removed", "oldest"]
    assert await became("new.md") == ["removed", "added", "absent"]
    told = await release.history(index.db, index.store, ids["0.md"])
    assert [(h["release"], h["passages"]) for h in told] == [(3, 1), (2, 1), (1, 1)]


async def test_a_release_that_cannot_be_read_is_unknown_in_the_history_and_hides_no_other(two: Index) -> None:
    async with two.db.write() as session:
        await session.exec(update(ReleaseRow).where(col(ReleaseRow.id) == 1).values(table_name="gone"))
    told = await release.history(two.db, two.store, 1)
    assert [h["became"] for h in told] == ["oldest", "unknown"]
