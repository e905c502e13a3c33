"""What was done is written down and read page by page."""

from __future__ import annotations

from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.ops import audit


async def test_the_log_is_read_newest_first_by_person_and_page_by_page(db: Database) -> None:
    ada, bob = (Asker(person_id=n, email=f"{n}@example.test") for n in ("ada", "bob"))
    for n in range(audit.PAGE + 3):
        await audit.note(db, ada, "re-index", str(n))
    await audit.note(db, bob, "search as", "ada@example.test")
    first = await audit.entries(db)
    assert (first[0].person, first[0].action) == ("bob@example.test", "search as")
    mine = await audit.entries(db, "ada@example.test")
    assert len(mine) == audit.PAGE + 1
    rest = await audit.entries(db, "ada@example.test", mine[audit.PAGE - 1].seq)
    assert [r.subject for r in rest] == ["2", "1", "0"]
    assert await audit.actors(db) == ["ada@example.test", "bob@example.test"]
