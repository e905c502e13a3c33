"""Questions that ask two things are searched for each; others are left whole."""

from __future__ import annotations

import pytest

from assistant.chat.decompose import parts
from tests.chat.test_engine import Office, db, in_process, index, migrated_file, office

__all__ = ["db", "in_process", "index", "migrated_file", "office"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "What is the difference between the travel policy and the leave policy?",
            ["the travel policy", "the leave policy"],
        ),
        ("Compare Leeds with Bremen.", ["Leeds", "Bremen"]),
        ("Was ist der Unterschied zwischen Urlaub und Sonderurlaub?", ["Urlaub", "Sonderurlaub"]),
        (
            "What does a hotel in London cost and how many vacation days do interns have?",
            ["What does a hotel in London cost", "how many vacation days do interns have"],
        ),
        (
            "Wann ist Zahltag in Bremen und wer genehmigt Dienstreisen?",
            ["Wann ist Zahltag in Bremen", "wer genehmigt Dienstreisen"],
        ),
    ],
)
def test_two_things_are_two_questions(question: str, expected: list[str]) -> None:
    assert parts(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "How many vacation days do I have and who approves them?",
        "What are the terms and conditions?",
        "Who signs for laptops and phones?",
        "Is it allowed, and how?",
    ],
)
def test_what_belongs_together_is_one_question(question: str) -> None:
    assert parts(question) == [question]


async def test_both_documents_are_among_the_evidence(office: Office) -> None:
    asked = "How many vacation days has every employee and when are laptops replaced?"
    answer, _ = await office.ask(office.services(), asked)
    assert [p.document for p in answer.receipt.passages][:2] in (["leave.md", "laptops.md"], ["laptops.md", "leave.md"])
    assert any("2 parts searched apart" in s.note for s in answer.receipt.steps)
