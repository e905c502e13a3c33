from __future__ import annotations

import pytest

from assistant.index.parse import parse


@pytest.mark.parametrize(
    ("headings", "asked"),
    [
        (["Travel", "How do I book a train?", "Who pays for hotels?"], "How do I book a train?"),
        (["Wie buche ich eine Bahnfahrt?"], "Wie buche ich eine Bahnfahrt?"),
        # What is meant stands elsewhere, or little is asked at all.
        (
            ["What should it look like?", "Why?", "Who gets the yearly bonus?"],
            "Who gets the yearly bonus?",
        ),
        (["Where can I learn more about this?", "Get my badge made?", "Who pays? And when is that?"], ""),
        (["How long may the description of a single question of this guide be on a page?"], ""),
        ([], ""),
    ],
)
def test_a_document_offers_the_first_of_its_questions_that_can_be_asked_alone(headings: list[str], asked: str) -> None:
    text = "\n\n".join(f"## {h}\n\nThis is said below it. Is that a question?" for h in headings) or "No heading?"
    assert parse("a.md", text.encode()).asks == asked
