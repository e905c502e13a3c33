"""The way from a rating to a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker
from assistant.errors import InputError, NotFoundError
from assistant.ops import cases, evaluate, gate
from tests.ops.conftest import answered


@pytest.fixture
async def leave(db: Database) -> str:
    async with db.write() as session:
        rule = AccessRule(key="demo:**", groups=["everyone"])
        session.add(rule)
        await session.flush()
        session.add(DocumentRow(source="demo", path="people/leave.md", rule_id=rule.id or 0))
    return "people/leave.md"


async def test_a_bad_answer_becomes_a_case_that_the_evaluation_reads(
    db: Database, ada: Asker, leave: str, tmp_path: Path
) -> None:
    answer = await answered(db, ada, "How many days can I carry over?")
    file = tmp_path / "cases.jsonl"
    made = await cases.make_case(db, file, ada, answer.id, doc=leave, facts=["ten days"])
    assert cases.read(file) == [made]
    assert made.asked_as == "ada@example.test"
    assert made.turns == ["How many days can I carry over?"]
    again = await cases.make_case(db, file, ada, answer.id, doc=leave, facts=["10 days"])
    assert cases.read(file) == [again]


async def test_a_case_that_proves_nothing_is_refused(db: Database, ada: Asker, leave: str, tmp_path: Path) -> None:
    answer = await answered(db, ada)
    file = tmp_path / "cases.jsonl"
    for doc, facts in ((leave, []), (None, ["ten"]), ("missing.md", ["ten"])):
        with pytest.raises(InputError):
            await cases.make_case(db, file, ada, answer.id, doc=doc, facts=facts)
    with pytest.raises(NotFoundError):
        await cases.make_case(db, file, ada, "unknown", doc=leave, facts=["ten"])
    assert not file.exists()


def test_answers_are_compared_with_case_blanks_commas_and_dashes_folded() -> None:
    assert cases.holds("You get **1,880\nhours** [1].", ["1880 hours"])
    assert cases.holds("five – ten days", ["Five-ten days", "x"]) is False
    assert cases.holds("five–ten days", ["Five-ten days"])
    assert not cases.holds("", ["x"])


async def test_figures_are_counted_by_kind(db: Database, ada: Asker) -> None:
    answer = await answered(db, ada)

    async def ask(case: cases.Case) -> evaluate.Answer:
        return answer.model_copy(update={"abstained": case.doc is None})

    async def resolves(case: cases.Case, given: evaluate.Answer) -> list[bool]:
        return [] if given.abstained else [True, False]

    result = await evaluate.answers(
        [
            cases.Case(id="a", turns=["q"], doc="x.md", answer_contains=["Ten"]),
            cases.Case(id="b", turns=["q"], doc="x.md", answer_contains=["Nine"]),
            cases.Case(id="c", turns=["q"], kind="unanswerable"),
        ],
        ask,
        resolves,
    )
    assert result["kinds"]["single"] == {
        "cases": 2, "hit@1": 0.0, "hit@5": 0.0, "facts": 0.5, "citations_resolve": 0.5, "declined": 0.0,
    }  # fmt: skip
    assert result["kinds"]["unanswerable"]["declined"] == 1.0
    assert result["kinds"]["unanswerable"]["citations_resolve"] is None


def test_the_gate_names_every_figure_that_misses_its_floor(tmp_path: Path) -> None:
    file = tmp_path / "floor.toml"
    file.write_text('[single]\n"hit@5" = 0.9\nmax_declined = 0.1\n[follow_up]\nfacts = 0.5\n')
    kinds = {"single": {"hit@5": 0.88, "declined": 0.2}, "follow_up": {"facts": None}}
    missed = gate.failures(kinds, gate.read_floor(file))
    assert len(missed) == 3
    assert (
        gate.failures({"single": {"hit@5": 0.9, "declined": 0.1}, "follow_up": {"facts": 0.5}}, gate.read_floor(file))
        == []
    )


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', '{"id": "a", "turns": []}'])
def test_a_broken_case_file_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "ok", "turns": ["q"]}\n' + line + "\n")
    with pytest.raises(InputError, match=r"cases\.jsonl:2"):
        cases.read(file)


async def test_of_two_cases_made_at_once_the_file_holds_both(
    db: Database, ada: Asker, leave: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await answered(db, ada, "How many days?"), await answered(db, ada, "How many weeks?")
    file, read = tmp_path / "cases.jsonl", db.read
    has_read, go_on = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow_once() -> AsyncIterator[AsyncSession]:
        async with read() as session:
            yield session
        if not has_read.is_set():
            has_read.set()
            await go_on.wait()

    monkeypatch.setattr(db, "read", slow_once)
    first = asyncio.create_task(cases.make_case(db, file, ada, one.id, doc=leave, facts=["ten"]))
    await has_read.wait()
    second = asyncio.create_task(cases.make_case(db, file, ada, two.id, doc=leave, facts=["two"]))
    # As long as the second would take, did it not wait for the first.
    await asyncio.wait([second], timeout=0.5)
    go_on.set()
    made = await asyncio.gather(first, second)
    assert {c.id for c in cases.read(file)} == {c.id for c in made}
