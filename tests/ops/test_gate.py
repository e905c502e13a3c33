from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from assistant.database.tables import ReleaseRow
from assistant.domain import Case, Embedder
from assistant.index import ingest, release
from assistant.index.run import Report
from assistant.ops.gate import RetrievalGate
from assistant.settings import GateSettings
from tests.index.conftest import HashEmbedder, Index, asker, db, in_process, index, migrated_file, put

__all__ = ["db", "in_process", "index", "migrated_file"]
pytestmark = pytest.mark.usefixtures("in_process")
TOPICS = "parking lunch holiday laptop printer salary travel audit".split()
PAGES = {f"{t}.md": f"# {t}\n\nThe rules on {t} are simple: ask before {t}." for t in TOPICS}
CASES = [Case(id=t, turns=[f"what are the rules on {t}"], doc=f"{t}.md") for t in TOPICS]


class Forgetful(HashEmbedder):
    """Another model, which cannot tell texts apart."""

    @staticmethod
    def _vector(text: str) -> list[float]:
        return [1.0] + [0.0] * 63


def gate(index: Index, cases: Sequence[Case] = CASES, known: Sequence[Embedder] = ()) -> RetrievalGate:
    made = {e.fingerprint: e for e in [index.embedder, *known]}

    def of(row: ReleaseRow) -> Embedder | None:
        return made.get(row.embedder)

    return RetrievalGate(index.db, index.store, cases, GateSettings(), index.embedder, of)


async def run(index: Index, check: RetrievalGate, kept: int = 5) -> Report:
    own = index.parts.settings.model_copy(update={"keep_releases": kept})
    return await ingest.sync(replace(index.parts, check=check, settings=own), [index.source])


async def test_a_release_that_finds_less_is_held_with_the_questions_and_passages_then_and_now(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, {"parking.md": "# Cars\n\nNothing to read here.", "rules.md": "# The rules on parking\n\nNone."})
    report = await run(index, gate(index))
    assert report.held.startswith("The cases find less in it: hit@1 fell from 1.000 to 0.875")
    body = (await release.report_of(index.db, 2)).body
    (worse,) = body["worse"]
    assert (body["cases"], worse["case"], worse["expected"], worse["rank"][0]) == (8, "parking", ["parking.md"], 1)
    assert (worse["then"][0]["document"], worse["now"][0]["document"]) == ("parking.md", "rules.md")
    assert (await index.knowledge.search(asker(), "parking", 3)).release_id == 1


async def test_what_left_the_sources_is_named_but_not_held_against_the_release(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, {"parking.md": None})
    report = await run(index, gate(index))
    assert (report.held, report.removed) == ("", 1)
    body = (await release.report_of(index.db, 2)).body
    assert (body["cases"], body["gone"], body["now"]["hit@1"]) == (7, {"parking": ["parking.md"]}, 1.0)


async def test_a_document_that_can_no_longer_be_read_is_held_against_the_release(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, {"parking.md": b"%PDF-1.4 cut off"})
    assert (await run(index, gate(index))).held.startswith("The cases find less in it: hit@1 fell")


async def test_each_release_is_searched_with_its_own_model_and_by_text_where_that_is_gone(index: Index) -> None:
    await index.sync(PAGES)
    before, index.embedder = index.embedder, Forgetful("forgetful")
    assert (await run(index, gate(index, known=[before]))).embedded == len(PAGES)
    assert (await release.report_of(index.db, 2)).body["by_text_alone"] == []
    index.embedder = HashEmbedder("hash-3")
    await run(index, gate(index))
    assert (await release.report_of(index.db, 3)).body["by_text_alone"] == ["then"]


async def test_two_releases_are_compared_by_what_their_questions_find(index: Index) -> None:
    await index.sync(PAGES)
    await index.sync({"rules.md": "# The rules on lunch\n\nThe rules on lunch."})
    changed = await gate(index).changed(1, 2)
    assert "lunch" in {c["case"] for c in changed}
    (lunch,) = [c for c in changed if c["case"] == "lunch"]
    assert "rules.md" in {p["document"] for p in lunch["now"]} - {p["document"] for p in lunch["then"]}


async def test_without_cases_or_when_switched_off_the_gate_lets_everything_pass(index: Index) -> None:
    await index.sync(PAGES)
    put(index.folder, {"parking.md": b"%PDF-1.4 cut off"})
    assert (await run(index, gate(index, []))).held == ""
    put(index.folder, {"lunch.md": b"%PDF-1.4 cut off"})
    off = replace(gate(index), settings=GateSettings(enabled=False))
    assert (await run(index, off)).held == ""


@pytest.mark.parametrize("kept", [1, 5])
async def test_small_losses_do_not_add_up_until_a_person_accepts_them(index: Index, kept: int) -> None:
    check = replace(gate(index), settings=GateSettings(max_drop=0.15))
    await index.sync(PAGES)
    put(index.folder, {"parking.md": "# Cars\n\nNothing to read here.", "rules.md": "# The rules on parking\n\nNone."})
    assert (await run(index, check, kept)).held == ""
    put(index.folder, {"lunch.md": "# Food\n\nNothing to read here.", "more.md": "# The rules on lunch\n\nNone."})
    report = await run(index, check, kept)
    assert report.held.startswith(
        "Less is found in it than in release 1, the best so far: hit@1 fell from 1.000 to 0.750"
    )
    assert (await release.report_of(index.db, 3)).body["best"]["release"] == 1
    await release.accept(index.db, index.store, 3, "an admin")
    put(index.folder, {"audit.md": "# Books\n\nNothing to read here.", "third.md": "# The rules on audit\n\nNone."})
    assert (await run(index, check, kept)).held == ""
    # A case that was edited is another one: what was found of it before says nothing.
    put(index.folder, {"salary.md": "# Wages\n\nNothing to read here.", "more.md": "# The rules on salary\n\nNone."})
    other = [c.model_copy(update={"turns": [f"please, {c.turns[0]}"]}) for c in CASES]
    assert (await run(index, replace(check, cases=other))).held == ""


NOISE = {f"more-{t}.md": f"# {t}\n\nThe rules on {t} are simple: ask before {t}, the rules say." for t in TOPICS[:4]}
HALF = dict.fromkeys([*(f"{t}.md" for t in TOPICS[4:]), *NOISE])


async def test_documents_that_come_back_are_let_in_though_what_was_left_alone_finds_less(index: Index) -> None:
    await index.sync(PAGES | NOISE)
    put(index.folder, HALF)
    assert (await run(index, gate(index))).held == ""
    put(index.folder, {p: t for p, t in (PAGES | NOISE).items() if p in HALF})
    report = await run(index, gate(index))
    assert (report.held, report.added) == ("", len(HALF))
    body = (await release.report_of(index.db, 3)).body
    assert body["now"]["mrr"] < body["then"]["mrr"]
    assert body["back_to"] == 1


async def test_what_comes_back_worse_than_it_was_is_held(index: Index) -> None:
    await index.sync(PAGES | NOISE)
    put(index.folder, HALF)
    await run(index, gate(index))
    back = {p: t for p, t in (PAGES | NOISE).items() if p in HALF}
    put(index.folder, back | {f"{t}.md": "# Other things\n\nNothing to read here." for t in TOPICS[5:]})
    assert (await run(index, gate(index))).held.startswith("The cases find less in it")


async def test_what_somebody_rolled_back_from_does_not_come_back_by_itself(index: Index) -> None:
    await index.sync({p: t for p, t in (PAGES | NOISE).items() if p not in HALF})
    await index.sync(PAGES | NOISE)
    await release.activate(index.db, index.store, 1, "an admin")
    put(index.folder, {"parking.md": PAGES["parking.md"] + "\n\nAsk twice."})
    assert (await run(index, gate(index))).held.startswith("The cases find less in it")


async def test_a_follow_up_is_searched_with_its_whole_thread(index: Index) -> None:
    case = Case(id="thread", turns=["what are the rules on travel", "and who is told", "is that so"], doc="told.md")
    told = {
        "told.md": "# Reports\n\nWho is told of a travel: the desk of zeppelins.",
        "so.md": "# Zeppelins\n\nThat is so.",
    }
    await index.sync(PAGES | told)
    check = replace(gate(index, [case]), weight_before=0.9)
    async with index.db.read() as session:
        row = await release.active(session)
    assert row is not None
    found = (await (await check._search(row)).all_of([case]))["thread"]
    (alone,) = (await (await check._search(row)).all_of([case.model_copy(update={"turns": case.turns[-1:]})])).values()
    assert [p.document for p in found][:2] != [p.document for p in alone][:2]
    assert "told.md" in [p.document for p in found][:2]
