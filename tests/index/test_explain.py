from __future__ import annotations

import pytest
from sqlmodel import select

from assistant.database.tables import AuditRow, DocumentRow, GlossaryRow
from assistant.domain import ADMINS
from assistant.errors import InputError
from assistant.index import access
from assistant.index.explain import explain
from assistant.settings import AccessEntry, Source
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
FILES = {
    "hr/pay.md": "# Pay\n\nSalaries are paid monthly.",
    "law/case.md": "# Case\n\nThe case on salaries.",
    "any.md": "# Any\n\nSalaries are a topic.",
}
ADMIN = asker(ADMINS)


async def test_an_admin_sees_what_a_person_finds_and_which_rule_hides_the_rest(index: Index) -> None:
    index.restrict(hr=["people"], law=["law", "board"])
    await index.sync(FILES)
    told = await explain(index.db, index.knowledge, ADMIN, asker("people"), "when are salaries paid")
    shown = await index.found("when are salaries paid", asker("people"))
    assert [h.document for h in told.stages["reranked"]] == shown
    assert {h.document for h in told.stages["text"]} == set(FILES)
    assert {h.document for h in told.stages["fused"]} == set(FILES)
    assert {h.document for h in told.stages["after_rights"]} == {"hr/pay.md", "any.md"}
    scores = [h.score for h in told.stages["fused"]]
    assert scores == sorted(scores, reverse=True)
    (hidden,) = told.hidden
    assert (hidden.document, hidden.rule, hidden.groups) == ("law/case.md", "share:law/**", ("board", "law"))
    assert hidden.reason == "it may be read by board, law only"
    async with index.db.read() as session:
        rows = (await session.exec(select(AuditRow).where(AuditRow.action == "search as"))).all()
    assert [(r.person, r.subject) for r in rows] == [(ADMIN.email, "p@example.test")]


async def test_it_tells_a_rule_that_the_release_still_carries_from_one_that_holds(index: Index) -> None:
    index.restrict(hr=["people"], law=["law"])
    await index.sync(FILES)
    index.restrict(law=["law"])
    async with index.db.write() as session:
        await access.realign(session, [index.source])
        document = (await session.exec(select(DocumentRow).where(DocumentRow.path == "law/case.md"))).one()
        document.state = "removed"
        session.add(document)
    told = await explain(index.db, index.knowledge, ADMIN, asker(), "salaries")
    reasons = {h.document: (h.rule, h.reason) for h in told.hidden}
    assert reasons["hr/pay.md"][0] == "share:hr/**"
    assert "the next run brings it along" in reasons["hr/pay.md"][1]
    assert "no longer in the index" in reasons["law/case.md"][1]


async def test_a_word_of_the_glossary_is_searched_as_in_the_chat(index: Index) -> None:
    await index.sync(FILES)
    terms = [GlossaryRow(key="wages", said="wages", meant="salaries", by="")]
    told = await explain(index.db, index.knowledge, ADMIN, asker(), "wages", terms=terms)
    assert (told.question, told.searched) == ("wages", "wages (salaries)")
    assert {h.document for h in told.stages["text"]} == set(FILES)


async def test_only_an_admin_may_look_as_somebody_else(index: Index) -> None:
    await index.sync(FILES)
    with pytest.raises(InputError, match="Only an admin"):
        await explain(index.db, index.knowledge, asker("people"), asker(), "salaries")


async def test_a_dry_run_says_who_gains_and_loses_what_and_changes_nothing(index: Index) -> None:
    index.restrict(hr=["people"])
    await index.sync(FILES)
    people = [asker("people"), asker("law"), asker("people", "law"), asker()]
    people = [p.model_copy(update={"email": f"{n}@example.test"}) for n, p in enumerate(people)]
    entries = [AccessEntry(match="hr/**", groups=["law"]), AccessEntry(match="any.md", groups=["people", "law"])]
    wanted = Source(name="share", path=index.folder, access=entries)
    async with index.db.read() as session:
        changes = await access.preview(session, [wanted], people)
    told = {c.person[0]: (c.gains, c.loses) for c in changes}
    assert told == {
        "0": ((), ("hr/pay.md",)),
        "1": (("hr/pay.md",), ()),
        "3": ((), ("any.md",)),
    }
    before = [set(await index.found("salaries", p)) for p in people]
    async with index.db.write() as session:
        await access.realign(session, [wanted])
        assert await access.preview(session, [wanted], people) == []
    await index.sync({}, wanted)
    for person, had in zip(people, before, strict=True):
        gains, loses = told.get(person.email[0], ((), ()))
        assert set(await index.found("salaries", person)) == (had | set(gains)) - set(loses)
