from __future__ import annotations

import random

import pytest
from sqlmodel import select

from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker
from assistant.errors import NotFoundError
from assistant.index import access, release
from assistant.settings import AccessEntry, Source
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
GROUPS = [f"group{n}" for n in range(50)]
WORDS = "budget holiday server salary merger lunch parking roadmap audit travel".split()


def page(number: int, rng: random.Random) -> str:
    return f"# Paper {number}\n\nThe {rng.choice(WORDS)} and the {rng.choice(WORDS)} of paper{number} in detail."


def entries(rng: random.Random) -> list[AccessEntry]:
    return [AccessEntry(match=f"{n}.md", groups=rng.sample(GROUPS, rng.randint(1, 4))) for n in range(60)]


async def unavailable(index: Index, who: Asker, passage_id: str, document_id: int) -> None:
    """Opening what is hidden reads exactly like opening what never was."""
    knowledge = index.knowledge
    with pytest.raises(NotFoundError) as unknown:
        await knowledge.passage(who, "no such passage")
    with pytest.raises(NotFoundError) as hidden:
        await knowledge.passage(who, passage_id)
    assert str(hidden.value) == str(unknown.value)
    with pytest.raises(NotFoundError) as file:
        await knowledge.original(who, document_id)
    assert str(file.value) == str(unknown.value)


async def test_nobody_finds_opens_or_counts_what_lies_outside_their_groups(index: Index) -> None:
    rng = random.Random(3)
    index.source = Source(name="share", path=index.folder, access=entries(rng))
    await index.sync({f"{n}.md": page(n, rng) for n in range(60)})
    people = [asker(*rng.sample(GROUPS, rng.randint(0, 6))) for _ in range(20)]
    knowledge = index.knowledge
    _, table = await release.open_active(index.db, index.store)
    passages = [r async for r in table.rows(["id", "document", "document_id"])]
    for round_ in range(2):
        allowed = {e.match: set(e.groups) for e in index.source.access}
        for who in people:
            for query in (rng.choice(WORDS), "paper17 in detail"):
                found = await knowledge.search(who, query, 20)
                seen = {p.document for p in found.passages} | {n.document for n in found.nearest}
                assert all(allowed[name] & who.groups for name in seen)
            mine = {name for name, groups in allowed.items() if groups & who.groups}
            # What a person may read is not thinned out by what they may not.
            whole = await knowledge.search(who, "paper", 60)
            assert {p.document for p in whole.passages} == mine
            for row in rng.sample(passages, 5):
                if row["document"] in mine:
                    assert (await knowledge.passage(who, row["id"])).passage.document == row["document"]
                    assert (await knowledge.original(who, row["document_id"])).path.name == row["document"]
                elif round_ == 0:
                    await unavailable(index, who, row["id"], row["document_id"])
        if round_ == 0:
            # Groups change, rules change, documents move between rules: from now on, without a run.
            index.source = Source(name="share", path=index.folder, access=entries(rng))
            async with index.db.write() as session:
                await access.realign(session, [index.source])


async def test_a_change_of_rights_holds_from_the_next_question_and_survives_going_back(index: Index) -> None:
    await index.sync({"hr/pay.md": "# Pay\n\nSalaries are paid monthly.", "a.md": "# Any\n\nSalaries are a topic."})
    index.restrict(hr=["people"])
    await index.sync({"b.md": "# B\n\nMore."})
    _, table = await release.open_active(index.db, index.store)
    (pay,) = [r async for r in table.rows(["id", "document", "document_id"]) if r["document"] == "hr/pay.md"]
    await release.activate(index.db, index.store, 1, "ada")
    # The old release carries the old rule with its passages; SQL knows better.
    assert await index.found("salaries") == ["a.md"]
    await unavailable(index, asker(), pay["id"], pay["document_id"])
    # Who is newly admitted sees it once a run has brought the passages along: until then the narrower rule holds.
    await index.sync()
    assert set(await index.found("salaries monthly", asker("people"), 2)) == {"hr/pay.md", "a.md"}


async def test_narrowing_holds_without_a_run_and_widening_by_groups_too(index: Index) -> None:
    index.restrict(hr=["people"])
    await index.sync({"hr/pay.md": "# Pay\n\nSalaries are paid monthly."})
    knowledge = index.knowledge
    assert (await knowledge.search(asker("people"), "salaries", 5)).passages
    assert not (await knowledge.search(asker("finance"), "salaries", 5)).passages
    index.restrict(hr=["finance"])
    async with index.db.write() as session:
        await access.realign(session, [index.source])
    assert not (await knowledge.search(asker("people"), "salaries", 5)).passages
    assert (await knowledge.search(asker("finance"), "salaries", 5)).passages


async def test_a_removed_document_is_gone_from_every_release(index: Index) -> None:
    await index.sync({"a.md": "# A\n\nSecret recipe.", "b.md": "# B\n\nOther."})
    await index.sync({"a.md": None})
    await release.activate(index.db, index.store, 1, "ada")
    assert "a.md" not in await index.found("secret recipe")


async def test_rules_keep_their_ids_while_their_groups_change(index: Index) -> None:
    index.restrict(hr=["people"])
    async with index.db.write() as session:
        first = await access.reconcile(session, [index.source])
    index.restrict(hr=["people", "finance"], law=["law"])
    async with index.db.write() as session:
        second = await access.reconcile(session, [index.source])
    assert second["share:hr/**"] == first["share:hr/**"]
    async with index.db.read() as session:
        rules = {r.key: r.groups for r in (await session.exec(select(AccessRule))).all()}
    assert rules == {"share:**": ["everyone"], "share:hr/**": ["finance", "people"], "share:law/**": ["law"]}


async def test_realigning_touches_only_what_moved(index: Index) -> None:
    await index.sync({"hr/pay.md": "# Pay\n\nText.", "a.md": "# A\n\nText."})
    index.restrict(hr=["people"])
    async with index.db.write() as session:
        assert await access.realign(session, [index.source]) == 1
        assert await access.realign(session, [index.source]) == 0
        documents = {d.path: d.rule_id for d in (await session.exec(select(DocumentRow))).all()}
    assert documents["hr/pay.md"] != documents["a.md"]
