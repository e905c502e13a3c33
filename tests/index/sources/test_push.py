from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlmodel import select

from assistant.database.tables import DocumentRow
from assistant.index.sources import kept
from assistant.index.sources.push import About, Push
from assistant.settings import Source
from tests.index.conftest import Index, asker

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
