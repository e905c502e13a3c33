from __future__ import annotations

import asyncio
import io
import os
import resource
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.tables import DocumentRow, RunRow, UsageRow
from assistant.domain import Attempt
from assistant.errors import BusyError, InputError, ParseError, ReleaseError
from assistant.index import access, filling, ingest, parse, release
from assistant.index.sources import folder
from assistant.index.store import Table
from assistant.settings import Source
from tests.index.conftest import HashEmbedder, Index, asker, calls_of, put

pytestmark = pytest.mark.usefixtures("in_process")
LOT = 24
HOLIDAY = "# Holiday\n\nEmployees take thirty days of holiday a year."
TRAVEL = "# Travel\n\nTrains are booked in second class."
FILES = {"holiday.md": HOLIDAY, "trips/travel.md": TRAVEL, "blank.txt": "  \n", "broken.pdf": b"no pdf at all"}


async def states(index: Index) -> dict[str, str]:
    async with index.db.read() as session:
        return {d.path: d.state for d in (await session.exec(select(DocumentRow))).all()}


async def content(index: Index) -> str:
    row, _ = await release.open_active(index.db, index.store)
    return row.content_hash


async def test_a_first_run_indexes_what_it_can_and_lists_the_rest(index: Index) -> None:
    report = await index.sync(FILES)
    assert asdict(report) == {
        "release": 1,
        "held": "",
        "documents": 2,
        "passages": 2,
        "added": 2,
        "changed": 0,
        "removed": 0,
        "renamed": 0,
        "unchanged": 0,
        "embedded": 2,
        "duplicates": 0,
        "contradictions": 0,
        "empty": ["blank.txt"],
        "failed": [{"path": "broken.pdf", "reason": "not really a pdf file"}],
        "problems": {},
        "seconds": report.seconds,
    }
    assert report.seconds > 0
    assert await index.found("days of holiday") == ["holiday.md", "trips/travel.md"]
    assert await states(index) == {
        "holiday.md": "indexed",
        "trips/travel.md": "indexed",
        "blank.txt": "empty",
        "broken.pdf": "failed",
    }


async def test_what_did_not_change_costs_no_embedding_and_makes_no_release(index: Index) -> None:
    await index.sync(FILES)
    spent = index.embedder.embedded
    report = await index.sync()
    assert (report.release, report.unchanged, report.embedded, report.added) == (1, 2, 0, 0)
    assert (report.documents, report.passages) == (2, 2)
    # What failed before is still listed, though nobody read it again.
    assert ([f["path"] for f in report.failed], report.empty) == (["broken.pdf"], ["blank.txt"])
    assert index.embedder.embedded == spent


async def test_a_change_and_a_removal_hold_when_the_run_ends(index: Index) -> None:
    await index.sync(FILES)
    changed = await index.sync({"holiday.md": HOLIDAY.replace("thirty", "forty")})
    assert (changed.release, changed.changed, changed.embedded, changed.unchanged) == (2, 1, 1, 1)
    passages = (await index.knowledge.search(asker(), "holiday", 5)).passages
    assert sum("forty" in p.text for p in passages) == 1
    assert not any("thirty" in p.text for p in passages)
    removed = await index.sync({"holiday.md": None})
    assert (removed.removed, removed.documents, removed.embedded) == (1, 1, 0)
    assert await index.found("holiday") == ["trips/travel.md"]


async def test_a_file_that_is_repaired_is_indexed_and_one_that_breaks_leaves(index: Index) -> None:
    await index.sync({**FILES, "notes.docx": b"PK\x03\x04 cut off"})
    repaired = await index.sync({"notes.docx": None, "broken.pdf": None, "broken.md": "# Now\n\nIt can be read."})
    assert (repaired.added, repaired.failed) == (1, [])
    broken = await index.sync({"holiday.md": b"%PDF-1.4 not"})
    assert [f["path"] for f in broken.failed] == ["holiday.md"]
    assert "holiday.md" not in await index.found("holiday")
    again = await index.sync({"holiday.md": HOLIDAY})
    assert (again.added, again.failed) == (1, [])


async def test_a_file_that_vanishes_or_is_locked_while_it_is_read_is_tried_again_next_time(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.sync(FILES)
    read, reads = folder.read, 0

    def second_read_fails(root: Path, path: str, limit: int) -> bytes:
        nonlocal reads
        reads += path == "late.md"
        if path == "late.md" and reads == 2:
            raise ParseError("cannot be opened: Permission denied")
        return read(root, path, limit)

    monkeypatch.setattr(folder, "read", second_read_fails)
    report = await index.sync({"late.md": "# Late\n\nSomething new."})
    assert [f["path"] for f in report.failed] == ["broken.pdf", "late.md"]
    # Nothing was learnt, so the release before it stays.
    assert report.release == 1
    report = await index.sync()
    assert (report.added, [f["path"] for f in report.failed]) == (1, ["broken.pdf"])


async def test_a_change_of_access_holds_at_once_and_costs_no_embedding(index: Index) -> None:
    await index.sync(FILES)
    index.restrict(trips=["sales"])
    async with index.db.write() as session:
        await access.realign(session, [index.source])
    assert await index.found("trains second class") == ["holiday.md"]
    spent = index.embedder.embedded
    report = await index.sync()
    assert (report.release, report.embedded, index.embedder.embedded) == (2, 0, spent)
    assert await index.found("trains second class", asker("sales")) == ["trips/travel.md", "holiday.md"]


async def test_a_change_of_access_during_a_run_is_not_put_back(index: Index) -> None:
    await index.sync(FILES)
    open_to_all = index.source

    async def narrow() -> None:
        index.restrict(trips=["sales"])
        async with index.db.write() as session:
            await access.realign(session, [index.source])

    original = Table.contents

    async def contents(self: Table) -> object:
        await narrow()
        return await original(self)

    put(index.folder, {"trips/travel.md": TRAVEL + " Or in first."})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "contents", contents)
        await ingest.sync(index.parts, [open_to_all])
    assert await index.found("trains second class") == ["holiday.md"]
    # Its passages still carry the rule they were written with; the next run brings them to the new one.
    await index.sync()
    assert "trips/travel.md" in await index.found("trains second class", asker("sales"))


async def test_documents_of_other_sources_stay_also_when_everything_is_built_anew(index: Index) -> None:
    other = index.home / "adhoc"
    put(other, {"menu.md": "# Menu\n\nSoup is served on Mondays."})
    # A folder of the command line has its path for a name, which no configured source may have.
    named = Source.model_construct(
        name=str(other), path=other, groups=["everyone"], include=["**"], exclude=[], owner="", access=[]
    )
    await index.sync({}, named)
    report = await index.sync(FILES)
    assert (report.documents, report.added) == (3, 2)
    index.embedder = HashEmbedder("hash-2")
    report = await index.sync()
    assert (report.documents, report.changed, report.embedded) == (3, 3, 3)
    assert (await index.found("soup on mondays"))[0] == "menu.md"


async def test_dropping_other_sources_takes_their_documents_along(index: Index) -> None:
    other = index.home / "old"
    put(other, {"menu.md": "# Menu\n\nSoup."})
    await index.sync({}, Source(name="old", path=other))
    put(index.folder, FILES)
    away = Source(name="away", path=index.home / "away")
    put(away.path, {"plan.md": "# Plan\n\nBuild."})
    await index.sync({}, away)
    shutil.rmtree(away.path)
    report = await ingest.sync(index.parts, [index.source, away], drop_others=True)
    assert (report.documents, report.removed, list(report.problems)) == (3, 1, ["away"])


async def test_a_second_run_is_told_who_holds_the_first(index: Index) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    embed = index.embedder.embed

    async def slow(texts: list[str]) -> list[list[float]]:
        started.set()
        await go_on.wait()
        return await embed(texts)

    index.embedder.embed = slow  # type: ignore[method-assign, assignment]
    first = asyncio.create_task(index.sync(FILES, started_by="ada@example.test"))
    await started.wait()
    with pytest.raises(BusyError, match=r"ada@example\.test"):
        await index.sync(started_by="bob@example.test")
    go_on.set()
    assert (await first).added == 2
    assert (await index.sync()).unchanged == 2


async def test_a_killed_run_frees_the_lock_and_is_shown_as_abandoned(index: Index) -> None:
    async with index.db.write() as session:
        session.add(RunRow(started_by="somebody", host="gone", pid=1))
        session.add(RunRow(started_by="somebody", host="gone", pid=1, state="done"))
    # A lock file without its owner is no lock.
    (index.home / "index.lock").write_text("")
    await index.sync(FILES)
    async with index.db.read() as session:
        runs = (await session.exec(select(RunRow).order_by(col(RunRow.id)))).all()
    assert [r.state for r in runs] == ["abandoned", "done", "done"]
    assert runs[-1].release_id == 1
    assert runs[-1].report["added"] == 2
    assert isinstance(runs[-1].finished_at, datetime)


async def test_a_run_that_fails_says_so_and_the_release_before_it_serves(index: Index) -> None:
    await index.sync(FILES)
    before = await content(index)

    def fail() -> None:
        raise RuntimeError("the embedder broke")

    with pytest.raises(RuntimeError), calls_of(HashEmbedder, "embed", fail):
        await index.sync({"new.md": "# New\n\nNews."})
    assert await content(index) == before
    async with index.db.read() as session:
        last = (await session.exec(select(RunRow).order_by(col(RunRow.id).desc()))).first()
    assert last is not None
    assert (last.state, last.message) == ("failed", "RuntimeError")
    assert (await index.sync()).added == 1


async def test_files_of_a_killed_run_that_are_gone_since_are_forgotten(index: Index) -> None:
    await index.sync(FILES)

    def fail() -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError), calls_of(HashEmbedder, "embed", fail):
        await index.sync({"brief.md": "# Brief\n\nShort-lived."})
    assert (await states(index))["brief.md"] == "pending"
    report = await index.sync({"brief.md": None})
    assert (report.release, report.removed) == (1, 0)
    assert "brief.md" not in await states(index)


async def test_what_a_killed_run_embedded_is_not_embedded_again(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "EMBEDDED_TOGETHER", LOT)
    pages = {f"{n:03}.md": f"# Page {n}\n\nThe text of page {n}." for n in range(2 * LOT + 5)}
    calls = 0

    def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError), calls_of(HashEmbedder, "embed", fail):
        await index.sync(pages)
    # The first run of all, and one upon a release: each goes on where the one before it stopped.
    assert (await index.sync()).embedded == 5
    calls = 0
    with pytest.raises(RuntimeError), calls_of(HashEmbedder, "embed", fail):
        await index.sync({name: text + " More." for name, text in pages.items()})
    report = await index.sync()
    # Lots are embedded side by side: of the two that were not stored one may have been done.
    assert 5 <= report.embedded <= len(pages) - LOT
    assert report.changed == len(pages)
    assert len(set(await index.found("more text", k=100))) == len(pages)


async def test_a_renamed_document_keeps_its_identity_and_costs_no_embedding(index: Index) -> None:
    first = await index.sync(FILES)
    (before,) = (await index.knowledge.search(asker(), "days of holiday", 1)).passages
    report = await index.sync({"holiday.md": None, "leave/holiday.md": HOLIDAY})
    assert (report.renamed, report.added, report.changed, report.removed, report.embedded) == (1, 0, 0, 0, 0)
    (after,) = (await index.knowledge.search(asker(), "days of holiday", 1)).passages
    assert (after.document, after.document_id) == ("leave/holiday.md", before.document_id)
    assert first.release
    shown = await index.knowledge.passage(asker(), before.id, first.release)
    assert shown.passage.text == before.text, "an answer from before the move still opens what it cites"
    original = (await index.knowledge.original(asker(), before.document_id)).path
    assert original is not None
    assert original.read_text() == HOLIDAY
    assert (await index.sync()).release == report.release
    there = await index.sync({"leave/holiday.md": None, "holiday.md": HOLIDAY})
    assert (there.renamed, there.added) == (1, 0), "and back"


async def test_a_document_that_moves_falls_under_the_rule_of_its_new_place(index: Index) -> None:
    index.restrict(board=["board"])
    await index.sync(FILES)
    assert "holiday.md" in await index.found("days of holiday")
    assert (await index.sync({"holiday.md": None, "board/holiday.md": HOLIDAY})).renamed == 1
    assert "board/holiday.md" not in await index.found("days of holiday", asker())
    assert "board/holiday.md" in await index.found("days of holiday", asker("board"))
    assert (await index.sync({"board/holiday.md": None, "open.md": HOLIDAY})).renamed == 1
    assert "open.md" in await index.found("days of holiday", asker())


async def test_a_copy_and_a_file_of_the_same_size_are_new_documents(index: Index) -> None:
    await index.sync(FILES)
    other = HOLIDAY.replace("a", "e")
    assert len(other.encode()) == len(HOLIDAY.encode())
    copied = await index.sync({"copy.md": HOLIDAY})
    assert (copied.renamed, copied.added) == (0, 1)
    replaced = await index.sync({"holiday.md": None, "other.md": other})
    assert (replaced.renamed, replaced.added, replaced.removed) == (0, 1, 1)


async def test_of_several_files_that_move_each_keeps_its_own_number(index: Index) -> None:
    await index.sync({"a/x.md": HOLIDAY, "a/y.md": HOLIDAY, "a/z.md": "# Trip\n\nTrains."})
    numbers = await index.numbers()
    moved = {"a/x.md": None, "a/y.md": None, "a/z.md": None}
    report = await index.sync({**moved, "b/y.md": HOLIDAY, "b/x.md": HOLIDAY, "b/z.md": "# Trip\n\nTrains."})
    assert (report.renamed, report.added, report.removed) == (3, 0, 0)
    assert await index.numbers() == {path.replace("a/", "b/"): number for path, number in numbers.items()}


async def test_a_source_that_suddenly_has_no_files_keeps_its_documents_until_an_admin_agrees(index: Index) -> None:
    pages = {f"{n}.md": f"# Page {n}\n\nThe text of page {n}." for n in range(30)}
    await index.sync({**pages, "broken.pdf": b"no pdf"})
    shutil.move(index.folder, index.home / "unplugged")
    index.folder.mkdir()
    report = await index.sync()
    assert (report.release, report.removed, report.documents) == (2, 31, 0)
    assert report.held.startswith("30 of 30 documents of the source share are gone or can no longer be read: see")
    assert len(await index.found("the text of a page", k=60)) == 30
    # The folder is back: nothing waits any more.
    shutil.rmtree(index.folder)
    shutil.move(index.home / "unplugged", index.folder)
    assert (await index.sync()).held == ""
    with pytest.raises(InputError, match="no held release 2"):
        await release.accept(index.db, index.store, 2, "ada")
    gone = dict.fromkeys(pages)
    report = await index.sync(gone)
    assert report.held
    assert await index.found("the text of a page")
    async with index.db.read() as session:
        assert (await session.exec(select(RunRow.message).order_by(col(RunRow.id).desc()))).first() == report.held
    put(index.folder, pages)
    put(index.folder, gone)
    report = await ingest.sync(index.parts, [index.source], allow_removals=True)
    assert (report.held, report.removed) == ("", 30)
    assert await index.found("the text of a page") == []


async def test_what_failed_is_read_again_when_asked(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    original = parse.parse

    def crash(path: str, data: bytes) -> object:
        raise ParseError("the parser crashed on it")

    monkeypatch.setattr(parse, "parse", crash)
    await index.sync({"holiday.md": HOLIDAY})
    monkeypatch.setattr(parse, "parse", original)
    assert (await index.sync()).failed == [{"path": "holiday.md", "reason": "the parser crashed on it"}]
    report = await ingest.sync(index.parts, [index.source], retry_failed=True)
    assert (report.failed, report.added) == ([], 1)


async def test_a_run_keeps_the_ledger_of_what_embedding_cost(index: Index) -> None:
    parts = index.parts
    parts.calls.append(Attempt(feature="embed_index", kind="embedding", model_asked="m", tokens_in=7, cost_nano=70))
    put(index.folder, FILES)
    await ingest.sync(parts, [index.source])
    async with index.db.read() as session:
        rows = (await session.exec(select(UsageRow))).all()
    assert [(r.segment, r.tokens_in, r.cost_nano) for r in rows] == [("indexing", 7, 70)]


async def test_hostile_names_and_times_stop_nothing(index: Index) -> None:
    put(index.folder, {"x' OR '1'='1.md": HOLIDAY, "a\nb.md": TRAVEL, "ü" * 100 + ".md": HOLIDAY, "far.md": TRAVEL})
    os.utime(index.folder / "far.md", (1e14, 1e14))
    for raw in (b"\xff.md", b"\xfe.md"):
        Path(os.fsdecode(os.fsencode(index.folder) + b"/" + raw)).write_text("x")
    report = await index.sync()
    assert report.added == 4
    assert [f["reason"] for f in report.failed] == ["its name is not valid text; rename it"] * 2
    assert (await index.sync()).unchanged == 4


async def test_after_going_back_a_run_brings_the_index_to_what_the_sources_hold(index: Index) -> None:
    await index.sync(FILES)
    await index.sync({"holiday.md": HOLIDAY.replace("thirty", "forty")})
    newest = await content(index)
    await release.activate(index.db, index.store, 1, "ada")
    assert await content(index) != newest
    report = await index.sync()
    assert (report.release, report.embedded) == (2, 0)
    assert await content(index) == newest
    await release.activate(index.db, index.store, 1, "ada")
    report = await index.sync({"new.md": "# New\n\nNews."})
    texts = [p.text for p in (await index.knowledge.search(asker(), "holiday", 5)).passages]
    assert any("forty" in t for t in texts)
    assert (report.documents, report.added) == (3, 1)


async def test_a_full_disk_ends_a_run_with_a_clear_error_and_the_old_release_serves(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.sync(FILES)
    before = await content(index)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    text = " ".join(str(n) for n in range(150_000))
    put(index.folder, {"large.md": f"# Large\n\n{text}"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
    try:
        with pytest.raises(ReleaseError, match="no room on the disk"):
            await index.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await content(index) == before
    assert (await index.sync()).added == 1


async def test_an_index_that_may_not_be_written_ends_a_run_with_a_clear_error_and_the_old_release_serves(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.sync(FILES)
    before = await content(index)

    async def refused(*_: object) -> None:
        raise RuntimeError("lance error: LanceError(IO): Permission denied (os error 13) at path /index/x.lance")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "add", refused)
        with pytest.raises(ReleaseError, match=r"may not be written; the release before it .* Let assistant write"):
            await index.sync({"new.md": "# New\n\nNews."})
    assert await content(index) == before
    assert (await index.sync()).added == 1


async def test_a_document_deleted_from_sql_while_a_run_goes_on_is_written_whole(index: Index) -> None:
    await index.sync(FILES)
    async with index.db.write() as session:
        await session.exec(update(DocumentRow).where(col(DocumentRow.path) == "holiday.md").values(state="failed"))
    report = await index.sync({"holiday.md": HOLIDAY + "\n\nMore."})
    assert report.added == 1


async def test_a_document_keeps_its_language_owner_and_dates(index: Index) -> None:
    german = "---\nowner: Ada\nupdated: 2024-03-01\nvalid_until: 2025-12-31\n---\n" + (
        "Der Antrag muss bis zum Ende des Monats bei der Leitung sein und wird dann von ihr beantwortet."
    )
    written = "---\nauthor: Bob\n---\nThe request must be sent to your manager before the end of the month."
    index.source = index.source.model_copy(update={"owner": "Front desk"})
    await index.sync({"german.md": german, "english.md": written})
    async with index.db.read() as session:
        rows = {d.path: d for d in (await session.exec(select(DocumentRow))).all()}
    document = rows["german.md"]
    assert (document.language, document.owner) == ("de", "Ada")
    assert document.modified == datetime(2024, 3, 1, tzinfo=UTC)
    assert document.valid_until == datetime(2025, 12, 31, tzinfo=UTC)
    # Who wrote a file is asked only where nobody else is named.
    assert (rows["english.md"].language, rows["english.md"].owner) == ("en", "Front desk")
    assert rows["english.md"].modified is not None
    index.source = index.source.model_copy(update={"owner": ""})
    await index.sync({"english.md": written + " Please."})
    async with index.db.read() as session:
        rows = {d.path: d for d in (await session.exec(select(DocumentRow))).all()}
    assert rows["english.md"].owner == "Bob"


async def test_what_of_a_file_was_not_read_is_noted_with_the_document(index: Index) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.md", "# Rules\n\nWords.")
        archive.writestr("b.exe", "MZ")
    await index.sync({"rules.zip": out.getvalue()})
    async with index.db.read() as session:
        (document,) = (await session.exec(select(DocumentRow))).all()
    assert document.state == "indexed"
    assert document.reason == "1 of 2 files in it are not read (b.exe: files of the kind .exe are not read)"


async def test_a_run_itself_gives_documents_the_rules_of_the_settings(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.sync(FILES)
    index.restrict(trips=["sales"])
    reconciled, reconcile = [], access.reconcile

    async def counted(session: AsyncSession, sources: Sequence[Source]) -> dict[str, int]:
        reconciled.append(sources)
        return await reconcile(session, sources)

    monkeypatch.setattr(access, "reconcile", counted)
    await index.sync()
    assert len(reconciled) == 1
    assert await index.found("trains second class") == ["holiday.md"]
    assert "trips/travel.md" in await index.found("trains second class", asker("sales"))
