from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlmodel import select

from assistant.database.tables import DocumentRow
from assistant.errors import NotFoundError
from assistant.index import access, release
from assistant.index.sources import kept
from assistant.index.sources.push import About, Push
from assistant.index.store import Table
from assistant.settings import Source
from tests.index.conftest import Index, asker, calls_of

pytestmark = pytest.mark.usefixtures("in_process")
CRM = Source(name="crm", kind="push", groups=["sales", "law"], link="https://crm.example/{path}")


def store(index: Index) -> Push:
    return Push(CRM, index.home / "sources" / "crm")


async def test_what_was_pushed_is_indexed_with_what_was_said_of_it(index: Index) -> None:
    about = About("text/html", "Acme", "Ada", ("sales", "everyone-else"), "2027-01-31T00:00:00+00:00")
    assert store(index).put("acme", about, b"<h1>Customer</h1><p>Buys lamps.</p>")
    assert (await index.sync(None, CRM)).added == 1
    assert await index.found("acme lamps", asker("law")) == []
    passages = (await index.knowledge.search(asker("sales"), "acme lamps", 3)).passages
    assert passages[0].title == "Acme"
    found = (await index.knowledge.search(asker("sales"), "Acme", 3)).passages
    assert found[0].scores.text > 0
    shown = await index.knowledge.passage(asker("sales"), passages[0].id)
    assert (shown.link, shown.owner) == ("https://crm.example/acme", "Ada")
    original = await index.knowledge.original(asker("sales"), passages[0].document_id)
    assert (original.path.name, original.data) == ("acme.html", b"<h1>Customer</h1><p>Buys lamps.</p>")
    async with index.db.read() as session:
        row = (await session.exec(select(DocumentRow))).one()
    assert row.valid_until == datetime(2027, 1, 31, tzinfo=UTC)


async def test_a_change_of_what_is_said_alone_is_a_change_and_a_removal_leaves(index: Index) -> None:
    store(index).put("a.md", About("text/markdown", "Old"), b"# A\n\nLamps.")
    await index.sync(None, CRM)
    assert (await index.sync(None, CRM)).unchanged == 1
    assert store(index).put("a.md", About("text/markdown", "New", groups=("law",)), b"# A\n\nLamps.")
    assert (await index.sync(None, CRM)).changed == 1
    assert await index.found("lamps", asker("sales")) == []
    assert (await index.knowledge.search(asker("law"), "lamps", 1)).passages[0].title == "New"
    assert store(index).remove("a.md")
    assert (await index.sync(None, CRM)).removed == 1
    assert not store(index).remove("a.md")


async def test_a_withdrawn_document_is_found_by_no_question_and_leaves_with_the_next_run(index: Index) -> None:
    for name in ("a.md", "b.md"):
        store(index).put(name, About("text/markdown"), f"# {name}\n\nLamps of {name}.".encode())
    first = await index.sync(None, CRM)
    (passage, *_) = (await index.knowledge.search(asker("sales"), "lamps of a.md", 1)).passages
    async with index.db.write() as session:
        await access.withdraw(session, "crm", "a.md")
    assert await index.found("lamps", asker("sales")) == ["b.md"]
    with pytest.raises(NotFoundError):
        await index.knowledge.passage(asker("sales"), passage.id)
    # Pushed anew before any run, it is one document again.
    store(index).put("a.md", About("text/markdown"), b"# a.md\n\nLanterns of a.md.")
    again = await index.sync(None, CRM)
    assert (again.changed, again.passages) == (1, first.passages)
    async with index.db.write() as session:
        await access.withdraw(session, "crm", "a.md")
    store(index).remove("a.md")
    last = await index.sync(None, CRM)
    assert (last.removed, last.documents, last.passages) == (1, 1, 1)
    await release.activate(index.db, index.store, again.release or 0, "an admin")
    assert await index.found("lanterns lamps", asker("sales")) == ["b.md"]


async def test_a_document_withdrawn_while_a_run_reads_it_stays_withdrawn(index: Index) -> None:
    store(index).put("a.md", About("text/markdown"), b"# A\n\nLamps.")
    await index.sync(None, CRM)
    store(index).put("a.md", About("text/markdown"), b"# A\n\nMany lamps.")
    loop = asyncio.get_running_loop()

    async def withdrawn() -> None:
        async with index.db.write() as session:
            await access.withdraw(session, "crm", "a.md")

    tasks: list[asyncio.Task[None]] = []
    with calls_of(Table, "build_indexes", lambda: tasks.append(loop.create_task(withdrawn()))):
        await index.sync(None, CRM)
    assert [t.done() for t in tasks] == [True]
    assert await index.found("lamps", asker("sales")) == []


async def test_another_embedder_keeps_what_was_said_of_documents_of_sources_that_are_not_in_the_run(
    index: Index,
) -> None:
    store(index).put("acme", About("text/plain", "Acme", "Ada"), b"Acme buys lamps.")
    await index.sync(None, CRM)
    index.embedder.fingerprint = "hash-2"
    report = await index.sync({"b.md": "# B\n\nOther."})
    assert report.documents == 2
    assert (await index.knowledge.search(asker("sales"), "acme lamps", 1)).passages[0].title == "Acme"


def test_what_a_killed_process_left_unfinished_is_no_document(index: Index) -> None:
    folder = index.home / "sources" / "crm"
    store(index).put("a.md", About(), b"whole")
    (folder / "x.part").write_bytes(b'{"id": "b.md"')
    (folder / "y.kept").write_bytes(b"")
    assert [f.path for f in store(index).documents()] == ["a.md"]
    assert len(list(kept.every(folder))) == 1
