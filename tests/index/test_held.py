from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest
from sqlmodel import select

from assistant.database.tables import AuditRow, DocumentRow, ReleaseChange, ReleaseRow
from assistant.errors import InputError
from assistant.index import access, ingest, release
from assistant.index.release import Judgement
from assistant.index.run import Report
from assistant.settings import Source
from tests.index.conftest import Index, asker, put

pytestmark = pytest.mark.usefixtures("in_process")
PAGES = {f"{n}.md": f"# Page {n}\n\nThe first text of page {n}." for n in range(6)}
CHANGE = {"1.md": "# Page 1\n\nThe second text of page 1.", "2.md": None, "new.md": "# New\n\nThe text of what is new."}


@dataclass
class Refuses:
    """A gate that finds every release worse."""

    reason: str = "It finds less."
    asked: list[tuple[int | None, int | None, list[str]]] = field(default_factory=list)

    async def __call__(self, made: ReleaseRow, against: ReleaseRow, removed: Collection[str]) -> Judgement:
        self.asked.append((made.id, against.id, sorted(removed)))
        return Judgement(self.reason, {"cases": 3})


async def held(index: Index, gate: Refuses | None = None) -> Report:
    """A run whose release is held."""
    return await ingest.sync(replace(index.parts, check=gate or Refuses()), [index.source])


async def documents(index: Index) -> dict[str, tuple[str, int]]:
    async with index.db.read() as session:
        return {d.path: (d.state, d.passages) for d in (await session.exec(select(DocumentRow))).all()}


async def states(index: Index) -> dict[int | None, str]:
    async with index.db.read() as session:
        return {r.id: r.state for r in (await session.exec(select(ReleaseRow))).all()}


async def texts(index: Index) -> set[str]:
    found = await index.knowledge.search(asker(), "the text of a page", 30)
    return {p.text.splitlines()[-1] for p in found.passages}


async def test_a_worse_release_waits_and_nobody_is_answered_from_it(index: Index) -> None:
    await index.sync(PAGES)
    before, known = await texts(index), await documents(index)
    put(index.folder, CHANGE)
    gate = Refuses()
    report = await held(index, gate)
    assert (report.release, report.held, gate.asked) == (2, "It finds less.", [(2, 1, ["2.md"])])
    assert await texts(index) == before
    assert {p: s for p, s in (await documents(index)).items() if s[0] != "pending"} == known
    assert (await release.report_of(index.db, 2)).body == {"cases": 3}
    with pytest.raises(InputError, match="no kept release 2"):
        await release.activate(index.db, index.store, 2, "ada")
    found = await index.knowledge.search(asker(), "second text", 10)
    assert found.release_id == 1


async def test_accepting_a_held_release_brings_all_that_its_run_found(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, {**CHANGE, "broken.pdf": b"no pdf"})
    await held(index)
    # Rights are not the run's to put back.
    index.restrict(new=["sales"])
    async with index.db.write() as session:
        await access.realign(session, [index.source])
    await release.accept(index.db, index.store, 2, "ada")
    assert await states(index) == {1: "retired", 2: "ready"}
    assert "The second text of page 1." in await texts(index)
    known = await documents(index)
    assert (known["2.md"][0], known["new.md"], known["broken.pdf"][0]) == ("removed", ("indexed", 1), "failed")
    report = await index.sync()
    assert (report.release, report.unchanged, report.embedded, len(report.failed)) == (2, 6, 0, 1)
    async with index.db.read() as session:
        assert "accept release" in (await session.exec(select(AuditRow.action).where(AuditRow.person == "ada"))).all()


async def test_the_next_run_builds_upon_what_serves_and_takes_the_place_of_what_waits(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, CHANGE)
    await held(index)
    report = await index.sync({"2.md": PAGES["2.md"]})
    # What was embedded for the held one is there already.
    assert (report.release, report.held, report.embedded, report.added, report.changed) == (3, "", 0, 1, 1)
    assert await states(index) == {1: "retired", 2: "dropped", 3: "ready"}
    assert (await documents(index))["2.md"] == ("indexed", 1)
    with pytest.raises(InputError, match="no held release 2"):
        await release.accept(index.db, index.store, 2, "ada")
    async with index.db.read() as session:
        assert (await session.exec(select(ReleaseChange))).all() == []


async def test_what_waits_keeps_its_number_while_runs_find_the_same_again(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, CHANGE)
    first = await held(index)
    again = await held(index)
    assert (first.release, again.release, again.held) == (2, 2, first.held)
    assert await states(index) == {1: "ready", 2: "held", 3: "dropped"}
    await release.accept(index.db, index.store, 2, "ada")
    assert "The second text of page 1." in await texts(index)
    assert (await documents(index))["new.md"] == ("indexed", 1)
    put(index.folder, {"1.md": "# Page 1\n\nThe third text of page 1."})
    assert (await held(index)).release == 4
    # Other reasons are another matter, and so is another text.
    assert (await held(index, Refuses("It finds much less."))).release == 5
    put(index.folder, {"1.md": "# Page 1\n\nThe fourth text of page 1."})
    assert (await held(index, Refuses("It finds much less."))).release == 6
    assert (await states(index))[5] == "dropped"


async def test_a_dropped_release_is_forgotten_and_made_again_by_the_next_run(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, CHANGE)
    await held(index)
    await release.drop(index.db, 2, "ada")
    assert await states(index) == {1: "ready", 2: "dropped"}
    assert (await index.sync()).release == 3
    assert "The second text of page 1." in await texts(index)


async def test_going_back_and_accepting_do_not_lose_what_came_between(index: Index) -> None:
    await index.sync(PAGES)
    await index.sync({"0.md": "# Page 0\n\nThe newer text."})
    put(index.folder, CHANGE)
    await held(index)
    await release.activate(index.db, index.store, 1, "ada")
    await release.accept(index.db, index.store, 3, "ada")
    assert {"The newer text.", "The second text of page 1."} <= await texts(index)
    assert await release.compare(index.db, index.store, 2, 3) == {
        "added": ["new.md"],
        "changed": ["1.md"],
        "removed": ["2.md"],
    }


async def test_a_document_that_moved_in_a_held_release_has_its_new_name_and_rule_once_accepted(index: Index) -> None:
    index.restrict(board=["board"])
    await index.sync(PAGES)
    numbers = await index.numbers()
    put(index.folder, {"1.md": None, "board/1.md": PAGES["1.md"]})
    gate = Refuses()
    report = await held(index, gate)
    assert gate.asked[0][2] == ["1.md"]
    assert "1.md" in await index.found("text of page 1")
    assert "1.md" in await index.numbers()
    await release.accept(index.db, index.store, report.release or 0, "test")
    assert (await index.numbers())["board/1.md"] == numbers["1.md"]
    assert "board/1.md" not in await index.found("text of page 1")
    assert "board/1.md" in await index.found("text of page 1", asker("board"))


async def test_the_first_release_has_nothing_to_be_held_beside(index: Index) -> None:
    put(index.folder, PAGES)
    gate = Refuses()
    assert ((await held(index, gate)).held, gate.asked) == ("", [])


async def test_a_run_of_one_source_that_finds_nothing_new_leaves_what_is_held(index: Index) -> None:
    await index.sync(PAGES)
    other = Source(name="other", path=index.home / "other")
    other.path.mkdir()
    put(index.folder, CHANGE)
    await held(index)
    await ingest.sync(index.parts, [other], whole=False, retry_failed=True)
    assert (await states(index))[2] == "held"
    put(index.folder, PAGES)
    (index.folder / "new.md").unlink()
    await ingest.sync(index.parts, [index.source], whole=True)
    assert (await states(index))[2] == "dropped"
