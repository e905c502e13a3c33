"""Newer passages before older ones of the same thing, valid ones before those past their date."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from assistant.database.tables import DocumentRow
from assistant.domain import EVERYONE, Asker
from assistant.index import dates
from tests.index.conftest import Index, db, in_process, index, migrated_file

__all__ = ["db", "in_process", "index", "migrated_file"]

ADA = Asker(person_id="ada", email="ada@example.test", groups=frozenset({EVERYONE}))
OLD = "---\ntitle: Travel policy 2023\n---\n\n# Hotels\n\nA hotel night in London does cost 140 pounds at most.\n"
NEW = (
    "---\ntitle: Travel and expenses policy\ndate: 2026-02-02\n---\n\n"
    "# Hotels\n\nA hotel night in London does cost at the most 175 pounds, breakfast included.\n"
)


async def found(index: Index, question: str) -> list[str]:
    passages = (await index.knowledge.search(ADA, question, 5)).passages
    return [p.document for p in passages]


async def test_the_newer_of_two_policies_comes_first_although_the_older_fits_the_words_better(
    index: Index, in_process: None
) -> None:
    await index.sync({"old.md": OLD, "new.md": NEW, "other.md": "# Canteen\n\nLunch is served at noon.\n"})
    asked = "What does a hotel night in London cost at most?"
    assert (await found(index, asked))[:2] == ["new.md", "old.md"]
    result = await index.knowledge.search(ADA, asked, 5)
    by_id = {p.id: p.document for p in result.passages}
    assert {by_id[o]: by_id[n] for o, n in result.older.items()} == {"old.md": "new.md"}
    assert any(note.startswith("dates") for note in result.notes)
    knowledge = index.knowledge
    knowledge.recipe = replace(knowledge.recipe, newest_first=False)
    assert not (await knowledge.search(ADA, asked, 5)).older


def row(id_: int, title: str, **facts: datetime) -> DocumentRow:
    return DocumentRow(id=id_, source="s", path=f"{id_}.md", title=title, rule_id=1, **facts)


def test_a_passage_of_the_newer_version_is_moved_up_where_it_fits_nearly_as_well() -> None:
    rows = {
        1: row(1, "Travel policy 2023"),
        2: row(2, "Travel and expenses policy", modified=datetime(2026, 2, 2, tzinfo=UTC)),
        3: row(3, "Canteen", modified=datetime(2026, 6, 1, tzinfo=UTC)),
    }
    text = {
        "a": "Hotel in London: 140 pounds a night.",
        "b": "Noon.",
        "c": "London: 175 pounds a night, hotel or flat.",
    }
    order, document = ["a", "b", "c"], {"a": 1, "b": 3, "c": 2}
    scores = {"a": 2.0, "b": 1.9, "c": 1.7}
    today = datetime(2026, 11, 1, tzinfo=UTC)

    def ordered(fit: float, question: str) -> dates.Order:
        return dates.ordered(order, scores, {"a": 1.0, "b": 0.9, "c": fit}, text, document, rows, question, today)

    asked = "hotel night in London"
    assert ordered(0.9, asked) == dates.Order(["c", "a", "b"], 1, {"a": "c"})
    assert ordered(0.5, asked).passages == order
    assert ordered(0.9, "What did a hotel night in London cost in 2023?").passages == order


async def test_a_question_about_the_past_is_not_given_the_newer_one_first(index: Index, in_process: None) -> None:
    await index.sync({"old.md": OLD, "new.md": NEW})
    assert (await found(index, "What did a hotel night in London cost at most in 2023?"))[0] == "old.md"


async def test_what_is_past_its_date_comes_after_what_is_valid(index: Index, in_process: None) -> None:
    expired = (
        "---\ntitle: Parking\nvalid_until: 2024-01-31\n---\n\nParking at the office costs 35 euros a month. Parking."
    )
    valid = "---\ntitle: Office guide\n---\n\nParking at the office costs 40 euros a month for everybody.\n"
    await index.sync({"a.md": expired, "b.md": valid})
    assert await found(index, "What does parking at the office cost a month?") == ["b.md", "a.md"]


async def test_documents_about_other_things_keep_their_order_whatever_their_age(index: Index, in_process: None) -> None:
    leave = "---\ntitle: Leave policy\ndate: 2020-01-01\n---\n\nEvery employee has 28 days of vacation a year.\n"
    news = "---\ntitle: News\ndate: 2026-11-01\n---\n\nOur employee of the year spent a vacation in Rome.\n"
    await index.sync({"leave.md": leave, "news.md": news})
    assert (await found(index, "How many vacation days has every employee a year?"))[0] == "leave.md"


@pytest.mark.parametrize(
    ("title", "path", "modified", "expected"),
    [
        ("Travel Policy (2023)", "a.md", datetime(2026, 11, 24, tzinfo=UTC), datetime(2023, 12, 31, tzinfo=UTC)),
        ("price list", "sales/price-list-2025.csv", None, datetime(2025, 12, 31, tzinfo=UTC)),
        ("Plan 2027", "a.md", datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)),
        ("From 2023 to 2026", "a.md", datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)),
        ("Leave", "a.pdf", datetime(2000, 1, 1, tzinfo=UTC), None),
    ],
)
def test_a_year_in_the_title_counts_before_the_date_of_the_file(
    title: str, path: str, modified: datetime | None, expected: datetime | None
) -> None:
    assert dates.dated(title, path, modified) == expected


@pytest.mark.parametrize(
    ("question", "current", "past"),
    [
        ("What is the current limit?", True, False),
        ("Was gilt derzeit?", True, False),
        ("What was the limit in the 2023 rules?", False, True),
        ("What is the limit?", False, False),
    ],
)
def test_a_question_says_whether_it_means_now_or_then(question: str, current: bool, past: bool) -> None:
    assert (dates.current(question), dates.past(question)) == (current, past)
