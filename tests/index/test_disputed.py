from __future__ import annotations

import pytest

from assistant.index import disputed, release
from assistant.index.store import Table
from tests.index.conftest import Index, put

pytestmark = pytest.mark.usefixtures("in_process")
PAGES = {
    "handbook.md": "---\nowner: Ada\n---\n# Handbook\n\nFull-time employees have 30 days of holiday a year.",
    "faq.md": "---\nowner: Bo\n---\n# Questions\n\nWelcome. Full-time employees have 28 days of holiday a year.",
    "other.md": "# Other\n\nFull-time employees have thirty days of holiday a year.",
    "kitchen.md": "# Kitchen\n\nThe kitchen has 12 chairs.",
} | {f"invoice{i}.md": f"# Bill\n\nThe total of this invoice for lamps is {i}00 euros." for i in range(1, 9)}


async def table_of(index: Index) -> Table:
    async with index.db.read() as session:
        row = await release.active(session)
    assert row is not None
    return await index.store.open(row.table_name, row.version)


async def test_a_run_finds_who_contradicts_whom_and_forms_are_no_contradictions(index: Index) -> None:
    report = await index.sync(PAGES)
    assert report.contradictions == 2
    found = await disputed.listed(index.db, await table_of(index))
    pairs = {tuple(sorted(s.document.path for s in p.sides)) for p in found.pairs}
    assert pairs == {("faq.md", "handbook.md"), ("faq.md", "other.md")}
    said = {s.text[s.start : s.end] for p in found.pairs for s in p.sides if s.document.path == "faq.md"}
    assert said == {"Full-time employees have 28 days of holiday a year."}
    assert (found.count, found.owners) == (2, [("Bo", 2), ("", 1), ("Ada", 1)])
    assert [p.sides[0].document.owner for p in (await disputed.listed(index.db, None, "Ada")).pairs] != []
    assert (await disputed.listed(index.db, None, "Ada")).count == 1


async def test_the_newer_one_is_told_by_the_year_it_names_before_the_date_of_its_file(index: Index) -> None:
    pages = {
        "prices-2024.md": "# Prices 2024\n\nThe list price of a small yellow lamp is 20 euros.",
        "prices-2025.md": "---\ndate: 2025-02-01\n---\n# Prices 2025\n\nThe list price of a small yellow lamp is 22 €.",
    }
    await index.sync(pages)
    (pair,) = (await disputed.listed(index.db, await table_of(index))).pairs
    assert pair.newer is not None
    assert pair.sides[pair.newer].document.path == "prices-2025.md"


async def test_what_is_settled_leaves_the_list_and_what_is_dismissed_does_not_come_back(index: Index) -> None:
    await index.sync(PAGES)
    table = await table_of(index)
    (kept, away) = sorted((await disputed.listed(index.db, table)).pairs, key=lambda p: "other.md" in str(p.sides))
    async with index.db.write() as session:
        await disputed.dismiss(session, away.id)
    put(index.folder, {"kitchen.md": "# Kitchen\n\nThe kitchen has 13 chairs."})
    assert (await index.sync()).contradictions == 1
    assert [p.id for p in (await disputed.listed(index.db, await table_of(index))).pairs] == [kept.id]
    put(index.folder, {"faq.md": "# Questions\n\nFull-time employees have 30 days of holiday a year."})
    assert (await index.sync()).contradictions == 0
    assert (await disputed.listed(index.db, await table_of(index))).count == 0


async def test_a_search_that_reaches_its_bound_says_so(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    await index.sync(PAGES)
    monkeypatch.setattr(disputed, "STATEMENTS", 2)
    assert not (await disputed.refresh(index.db, await table_of(index))).whole


async def test_one_page_that_differs_from_many_that_agree_is_found(index: Index) -> None:
    rule = "Visitors of the plant are registered at least {} working days ahead."
    pages = {f"site{i}.md": f"# Rules for guests\n\n{rule.format(3)}" for i in range(8)}
    assert (await index.sync(pages | {"old.md": f"# Guests\n\n{rule.format(2)}"})).contradictions == 8


async def test_things_of_a_kind_may_differ_whatever_their_documents_are_called(index: Index) -> None:
    fee = "The monthly maintenance fee of this account is {} euros."
    card = "A lost card of this account is replaced within {} days."
    names = ["Amber", "Birch", "Cedar", "Dahlia", "Elm"]
    pages = {f"{n}.md": f"# {n} account: costs\n\n{fee.format(i)}" for i, n in enumerate(names, 10)}
    pages |= {
        "amber-faq.md": f"# Questions about Amber\n\n{card.format(4)}",
        "birch-faq.md": f"# Birch explained\n\n{card.format(5)}",
        "cards.md": f"# Cards\n\n{card.format(6).replace('this account', 'an Elm account')}",
        "elm.md": pages.pop("Elm.md") + f"\n\n{card.format(7).replace('this', 'an Elm')}",
    }
    assert (await index.sync(pages)).contradictions == 1
    (pair,) = (await disputed.listed(index.db, await table_of(index))).pairs
    assert {s.document.path for s in pair.sides} == {"cards.md", "elm.md"}
