from __future__ import annotations

import pytest

from assistant.chat.rewrite import fused, stands_alone
from assistant.memory.threads import PastTurn

HOTEL = "What is the hotel limit in London?"


@pytest.mark.parametrize(
    "question",
    [
        "and in Paris?", "Why?", "who approves that?", "what papers does it need?", "for how many nights?",
        "Does the limit include breakfast and city tax as well?", "ok, what if the trade fair makes all rooms dearer?",
        "What is included?", "what is that", "und in Berlin?", "Wer genehmigt das?", "Gilt das dort auch?",
    ],
)  # fmt: skip
def test_a_question_that_goes_on_points_back_or_is_a_fragment_leans_on_the_one_before(question: str) -> None:
    assert not stands_alone(question, HOTEL)


@pytest.mark.parametrize(
    "question",
    [
        "How many days a year can I work from Spain?", "which claims did the audit refuse",
        "When I lease a bike through the company, who pays for a broken frame after it is stolen?",
        "Wie viele Gleittage darf ich im Jahr nehmen?", "what is OKR", "Was bedeutet AÜG?",
    ],
)  # fmt: skip
def test_a_whole_question_about_something_else_stands_alone(question: str) -> None:
    assert stands_alone(question, HOTEL)


def test_a_new_subject_is_searched_without_the_turn_before_and_a_reply_to_a_question_back_never() -> None:
    asked = "How many days a year can I work from Spain?"
    before = PastTurn(HOTEL, "175 £ [1]", "complete")
    assert fused(asked, [before], 0.3).before == ()
    assert fused("and in Paris?", [before], 0.3).before == ((HOTEL, 0.3), ("175 £ [1]", 0.3))
    back = PastTurn(HOTEL, "Which London do you mean?", "complete", asked_back=True)
    assert fused(asked, [back], 0.3).before == ((HOTEL, 0.3),)
