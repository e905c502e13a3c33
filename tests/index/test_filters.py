"""What words of a question restrict its search, and which are only part of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assistant.index.filters import Known, find, may_filter

TODAY = datetime(2026, 11, 24, tzinfo=UTC)


def known(id_: int, title: str, path: str, year: int, month: int = 1) -> Known:
    return Known(id_, title, path, "share", datetime(year, month, 15, tzinfo=UTC))


DOCUMENTS = [
    known(1, "Finance handbook", "finance/handbook.md", 2026, 2),
    known(2, "Travel and Expenses Policy 2026", "people/travel.docx", 2026, 2),
    known(3, "Minutes of the board, 14 October 2025", "board/minutes-2025-10.pdf", 2025, 10),
    known(4, "Minutes of the board, 3 November 2026", "board/minutes-2026-11.pdf", 2026, 11),
    known(5, "Incident process", "engineering/incident.pdf", 2024),
    known(6, "Leeds office", "company/leeds.md", 2026, 9),
]


@pytest.mark.parametrize(
    ("question", "documents", "rest"),
    [
        ("Who approves invoices in the finance handbook?", {1}, "Who approves invoices?"),
        ("What does the travel policy say about taxis?", {2}, "What say about taxis?"),
        ("According to the incident process, who is told first?", {5}, "who is told first?"),
        ("In the finance documents, who closes the books?", {1}, "who closes the books?"),
        ("What was decided in 2025's minutes about pay?", {3}, "What was decided about pay?"),
        ("What do the minutes of November 2026 say about pay?", {4}, "What say about pay?"),
        ("What has changed since September?", {4, 6}, "What has changed?"),
        ("Was hat sich seit Oktober geändert?", {4}, "Was hat sich geändert?"),
        ("Which documents were updated in the last three months?", {4, 6}, "Which documents were updated?"),
        ("What is new in “Leeds office”?", {6}, "What is new?"),
        ("What was decided in the minutes of 2019?", set(), "What was decided?"),
    ],
)
def test_words_that_name_documents_or_their_dates_are_a_filter(question: str, documents: set[int], rest: str) -> None:
    assert may_filter(question)
    found = find(question, DOCUMENTS, TODAY)
    assert found is not None
    assert (found.documents, found.rest) == (documents, rest)


@pytest.mark.parametrize(
    "question",
    [
        "Who sits in the office in Leeds?",
        "How many days have I been here since March?",
        "What does a hotel in London cost in 2026?",
        "What is written in the salary handbook?",
        "How long does a name change in HR Links take?",
        "Who is in the board?",
        "How many days can I carry over?",
    ],
)
def test_what_names_no_document_is_part_of_the_question(question: str) -> None:
    assert find(question, DOCUMENTS, TODAY) is None
