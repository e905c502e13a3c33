"""Questions to begin with are in the language of whoever begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker
from assistant.settings import Settings
from assistant.web.starters import starters_for

ASKED = (
    ("haus.md", "de", "wo darf man rauchen"),
    ("urlaub.md", "de", "wie viele Tage Urlaub habe ich"),
    ("prices.xlsx", "", "what does a gateway cost"),
    ("list.csv", "", "what does a logger cost"),
    ("sums.csv", "", "what was earned in May"),
    ("leave.md", "en", "how many days of leave"),
)


@pytest.mark.parametrize(
    ("language", "first", "never"),
    [
        ("de", {"Wo darf man rauchen?", "Wie viele Tage Urlaub habe ich?"}, "How many days of leave?"),
        ("en", {"How many days of leave?"}, "Wo darf man rauchen?"),
    ],
)
async def test_documents_in_ones_own_language_are_asked_about_before_those_of_no_known_one(
    tmp_path: Path, language: str, first: set[str], never: str
) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'starters.db'}")
    await db.migrate()
    async with db.write() as session:
        rule = AccessRule(key="demo:**", groups=["everyone"])
        session.add(rule)
        await session.flush()
        for path, written, _ in ASKED:
            session.add(
                DocumentRow(source="demo", path=path, title=path, language=written, rule_id=rule.id or 0, passages=1)
            )
    cases = tmp_path / "cases.jsonl"
    cases.write_text("\n".join(json.dumps({"id": p, "turns": [q], "doc": p}) for p, _, q in ASKED), encoding="utf-8")
    shown = await starters_for(db, Settings(cases=cases), Asker(person_id="p1", email="p@demo.example"), language)
    await db.close()
    assert len(shown) == 4
    assert set(shown[: len(first)]) == first
    assert never not in shown


async def test_without_cases_one_begins_with_what_documents_ask_themselves_before_titles(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'starters.db'}")
    await db.migrate()
    async with db.write() as session:
        rules = [AccessRule(key=f"demo:{g}", groups=[g]) for g in ("everyone", "finance")]
        session.add_all(rules)
        await session.flush()
        for path, language, asks, rule in (
            ("a-list.md", "en", "", 0),
            ("b-table.md", "en", "", 0),
            ("c-travel.md", "en", "How do I book a train?", 0),
            ("d-reise.md", "de", "Wie buche ich eine Bahnfahrt?", 0),
            ("e-money.md", "en", "Who closes the month?", 1),
        ):
            row = DocumentRow(source="demo", path=path, title=path[2:-3], language=language, asks=asks, rule_id=0)
            row.rule_id = rules[rule].id or 0
            session.add(row)
    shown = {
        (language, *groups): await starters_for(
            db, Settings(), Asker(person_id="p1", email="p@demo.example", groups=frozenset(groups)), language
        )
        for language, groups in (("en", ["everyone"]), ("de", ["everyone"]), ("en", ["everyone", "finance"]))
    }
    await db.close()
    assert shown["en", "everyone"] == ["How do I book a train?", "What does “list” say?", "What does “table” say?"]
    assert shown["de", "everyone"][0] == "Wie buche ich eine Bahnfahrt?"
    assert set(shown["en", "everyone", "finance"][:2]) == {"How do I book a train?", "Who closes the month?"}
