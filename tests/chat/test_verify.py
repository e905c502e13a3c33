from __future__ import annotations

import pytest

from assistant.chat.verify import check
from assistant.domain import Passage, Place, Verdict
from assistant.index.sentences import spans


def passage(text: str, title: str = "Leave policy") -> Passage:
    return Passage(
        id="p", document_id=1, document="leave.md", title=title, text=text, place=Place(), access=1, text_hash="h"
    )


PASSAGES = {
    1: passage("Every employee has 28 days a year. Up to ten unused days may be carried into the next calendar year."),
    2: passage("Laptops above 2,000 EUR are signed off by Mara Lindt before 15 December.", "Equipment"),
}


@pytest.mark.parametrize(
    "sentence",
    [
        "Every employee has 28 days a year [1].",
        "You may carry up to ten unused days into the next year [1].",
        "Up to 10 unused days may be carried over into the next calendar year [1].",
        "Laptops above 2000 EUR are signed off by Mara Lindt [2].",
        "> **Laptops above 2,000 EUR are signed off by Mara Lindt before 15 December.** [2]",
    ],
)
def test_what_the_source_says_is_supported(sentence: str) -> None:
    (result,) = check(sentence, PASSAGES)
    assert result.verdict is Verdict.SUPPORTED, result.reason


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("Every employee has 30 days a year [1].", "30"),
        ("Laptops above 2,000 EUR are signed off by Tom Berger [2].", "Tom Berger"),
        ("Laptops above 2,000 EUR are signed off before 16 December [2].", "16"),
        ("Every employee has 28 days a year [2].", "it stands in [1], not in [2]"),
        ("Dogs are welcome in every office building at any time [1].", "something else"),
    ],
)
def test_a_wrong_number_name_date_or_source_is_marked_with_its_reason(sentence: str, why: str) -> None:
    (result,) = check(sentence, PASSAGES)
    assert result.verdict is Verdict.UNSUPPORTED
    assert why in result.reason


def test_a_statement_without_a_source_is_called_uncited() -> None:
    (result,) = check("Every employee has 28 days a year.", PASSAGES)
    assert result.verdict is Verdict.UNCITED


def test_introductions_and_questions_are_no_statements() -> None:
    assert check("From our documents:\n\nDo you mean the Leeds office or the Bremen one?", PASSAGES) == ()


def test_each_sentence_is_found_where_it_stands() -> None:
    text = "It takes e.g. two days, says Dr. Lindt. Then it ends.\n- First point\n- Second point. Third one!"
    assert [text[a:b] for a, b in spans(text)] == [
        "It takes e.g. two days, says Dr. Lindt.",
        "Then it ends.",
        "- First point",
        "- Second point.",
        "Third one!",
    ]
