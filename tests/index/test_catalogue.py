"""Documents are found, paged and counted in SQL, on every database we run on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow, Person, ReceiptRow, RunRow, Thread
from assistant.domain import Decision, Level, PassageUse, Receipt, Scores, now
from assistant.errors import NotFoundError
from assistant.index import catalogue
from assistant.index.catalogue import Filter
from tests.databases import db, migrated_file, postgres

__all__ = ["db", "migrated_file", "postgres"]


def document(path: str, **facts: Any) -> DocumentRow:
    told = {"source": "share", "rule_id": 1, "title": path.upper(), "modified": now() - timedelta(days=400)}
    return DocumentRow(path=path, **{**told, **facts})


async def fill(db: Database, *documents: DocumentRow) -> list[int]:
    async with db.write() as session:
        session.add(AccessRule(id=1, key="share:**", groups=["everyone", "staff"]))
        await session.flush()
        session.add_all(documents)
        await session.flush()
        return [d.id or 0 for d in documents]


async def cite(db: Database, name: str, days: int, *documents: tuple[int, bool]) -> None:
    """A receipt of so many days ago; each document with whether the answer cited it."""
    used = tuple(
        PassageUse(
            n=n, passage="p", document_id=i, document="d", title="t", place="", text_hash="", scores=Scores(), cited=c
        )
        for n, (i, c) in enumerate(documents, 1)
    )
    moment = now() - timedelta(days=days)
    receipt = Receipt(
        id=name, thread="t", asked="q", searched="q", passages=used, decision=Decision(level=Level.ANSWERED),
        created_at=moment,
    )  # fmt: skip
    async with db.write() as session:
        if await session.get(Thread, "t") is None:
            session.add(Person(id="p", email="p@example.test"))
            await session.flush()
            session.add(Thread(id="t", person_id="p"))
            await session.flush()
        from assistant.database.tables import Message

        session.add(Message(id=name, thread_id="t", role="assistant"))
        await session.flush()
        body = receipt.model_dump(mode="json")
        session.add(ReceiptRow(id=name, thread_id="t", person_id="p", body=body, created_at=moment))


async def test_pages_follow_each_other_without_a_gap_or_a_repeat_though_paths_are_the_same(db: Database) -> None:
    rows = [document(f"d{n // 2:02}.md", source=f"s{n % 2}") for n in range(70)]
    wanted = sorted(zip([r.path for r in rows], await fill(db, *rows), strict=True))
    seen, after = [], 0
    while after is not None:
        page = await catalogue.documents(db, Filter(), after)
        assert page.count == 70
        seen += [(d.path, d.id) for d in page.rows]
        after = page.after
    assert seen == wanted


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        ({"q": "ENCRYPTED"}, ["c.pdf"]),
        ({"q": "100%"}, []),
        ({"q": "a_b"}, ["a_b.md"]),
        ({"source": "web"}, ["axb.MD"]),
        ({"kind": "md"}, ["a_b.md", "axb.MD"]),
        ({"state": "failed"}, ["c.pdf"]),
        ({"state": "removed"}, ["a_b.md", "axb.MD", "c.pdf"]),
        ({"owner": "O'Brien"}, ["axb.MD"]),
        ({"owner": "' OR '1'='1"}, []),
        ({"language": "de"}, ["axb.MD"]),
        ({"age": "old"}, ["a_b.md", "c.pdf"]),
        ({"age": "year"}, ["axb.MD"]),
        ({"age": "year", "kind": "pdf"}, []),
    ],
)
async def test_documents_are_filtered_by_what_is_known_of_them(
    db: Database, wanted: dict[str, str], paths: list[str]
) -> None:
    await fill(
        db,
        document("a_b.md", language="en"),
        document("axb.MD", source="web", owner="O'Brien", language="de", modified=now()),
        document("c.pdf", state="failed", reason="it is encrypted"),
        document("gone.md", state="removed"),
    )
    page = await catalogue.documents(db, Filter(**wanted))
    assert sorted(d.path for d in page.rows) == sorted(paths)
    assert page.count == len(paths)


async def test_choices_are_what_there_is_the_most_frequent_first(db: Database) -> None:
    await fill(
        db, document("a.MD", owner="Ada"), document("b.md"), document("x/.env"), document("c.pdf", language="de")
    )
    found = await catalogue.choices(db)
    assert (found.source, found.kind, found.owner, found.language) == (["share"], ["md", "pdf"], ["Ada"], ["de"])


async def test_citations_are_counted_from_the_receipts_that_are_kept(db: Database) -> None:
    one, two = await fill(db, document("one.md"), document("two.md"))
    await cite(db, "r1", 9, (one, True), (two, False))
    await cite(db, "r2", 3, (one, True), (one, False))
    told = await catalogue.facts(db, one)
    assert (told.cited, told.groups, told.rule) == (2, ["everyone", "staff"], "share:**")
    assert told.cited_last is not None
    assert (now() - told.cited_last).days == 3
    assert (await catalogue.facts(db, two)).cited == 0
    with pytest.raises(NotFoundError):
        await catalogue.facts(db, 10_000)


async def test_a_document_names_what_it_repeats_and_what_repeats_it(db: Database) -> None:
    new, old = await fill(db, document("new.md"), document("old.md"))
    async with db.write() as session:
        row = await session.get(DocumentRow, old)
        assert row is not None
        row.duplicate_of = new
    told = await catalogue.facts(db, old)
    assert told.repeats is not None
    assert told.repeats.path == "new.md"
    assert [d.path for d in (await catalogue.facts(db, new)).repeated] == ["old.md"]


async def test_unread_is_what_is_old_and_was_not_cited_since(db: Database) -> None:
    ids = await fill(
        db,
        document("cited.md", owner="Ada"),
        document("cited-long-ago.md", owner="Ada"),
        document("never.md"),
        document("fresh.md", modified=now()),
        document("failed.md", state="failed"),
    )
    await cite(db, "r1", 10, (ids[0], True), (ids[2], False))
    await cite(db, "r2", 300, (ids[1], True))
    stale = await catalogue.unread(db, 6)
    assert [d.path for d in stale.page.rows] == ["never.md", "cited-long-ago.md"]
    assert {o.owner: o.documents for o in stale.owners} == {"": 1, "Ada": 1}
    assert [d.path for d in (await catalogue.unread(db, 6, "Ada")).page.rows] == ["cited-long-ago.md"]
    assert [d.path for d in (await catalogue.unread(db, 12)).page.rows] == ["never.md"]


async def test_expired_documents_are_listed_by_owner_page_by_page(db: Database) -> None:
    past = now() - timedelta(days=1)
    rows = [document(f"{n:02}.md", owner="AB"[n % 2], valid_until=past) for n in range(40)]
    await fill(db, *rows, document("good.md", valid_until=now() + timedelta(days=1)))
    first = await catalogue.expired(db)
    second = await catalogue.expired(db, after=first.page.after or 0)
    paths = [d.path for d in [*first.page.rows, *second.page.rows]]
    assert paths == [f"{n:02}.md" for n in (*range(0, 40, 2), *range(1, 40, 2))]
    assert second.page.after is None


async def test_sources_tell_what_became_of_their_documents(db: Database) -> None:
    await fill(
        db,
        document("a.md", passages=3),
        document("b.md", passages=2),
        document("c.md", state="failed"),
        document("d.md", state="removed"),
        document("e.md", source="/srv/other", state="empty"),
    )
    share, fresh, other = await catalogue.sources(db, [("share", "/srv"), ("fresh", "/new")])
    assert (share.documents, share.passages, share.failed, share.configured) == (2, 5, 1, True)
    assert (fresh.documents, fresh.changed_at) == (0, None)
    assert (other.name, other.empty, other.configured) == ("/srv/other", 1, False)


async def test_problems_are_summed_by_reason_and_narrowed_by_source(db: Database) -> None:
    await fill(
        db,
        document("a.md", state="failed", reason="encrypted"),
        document("b.md", state="failed", reason="encrypted", source="web"),
        document("c.md", state="empty", reason="holds no text"),
        document("d.md"),
    )
    assert await catalogue.reasons(db) == [("encrypted", 2), ("holds no text", 1)]
    assert [d.path for d in (await catalogue.problems(db, "web")).rows] == ["b.md"]
    assert [d.path for d in (await catalogue.problems(db, reason="encrypted")).rows] == ["a.md", "b.md"]


async def test_runs_come_newest_first_and_page_by_page(db: Database) -> None:
    async with db.write() as session:
        session.add_all(RunRow(started_by=f"{n}", state="done") for n in range(30))
    first = await catalogue.runs(db)
    assert [r.started_by for r in first[:2]] == ["29", "28"]
    rest = await catalogue.runs(db, first[catalogue.PAGE - 1].id)
    assert [r.started_by for r in rest] == ["4", "3", "2", "1", "0"]
    with pytest.raises(NotFoundError):
        await catalogue.run(db, 10_000)
