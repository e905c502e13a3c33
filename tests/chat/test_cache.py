"""An answer is given again only where it would come out the same."""

from __future__ import annotations

from typing import Any

import pytest

from assistant.chat.cache import KEPT, AnswerCache, Entry, Scope
from assistant.domain import Decision, Level, Passage, Place

SCOPE = Scope((1, 2), 7, "answer:3|gpt|en")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def entry(question: str, *vector: float, scope: Scope = SCOPE, at: float = 1_000.0) -> Entry:
    passage = Passage(
        id="p", document_id=1, document="a.md", title="A", text="Ten.", place=Place(), access=1, text_hash=""
    )
    decision = Decision(level=Level.ANSWERED)
    return Entry(scope, question, vector or (1.0, 0.0), "Ten [1].", (passage,), decision, (), False, at)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> AnswerCache:
    return AnswerCache(10, clock)


def test_the_same_question_is_found_whatever_its_little_words_and_case(cache: AnswerCache) -> None:
    cache.keep(entry("How many days of holiday do I get?"))
    assert cache.find(SCOPE, "how many days of HOLIDAY do we get", (0.0, 1.0)) is not None
    assert cache.find(SCOPE, "How many days of training?", (0.0, 1.0)) is None


def test_a_question_that_means_the_same_is_found_by_its_vector(cache: AnswerCache) -> None:
    cache.keep(entry("Which password manager do we use?", 1.0, 0.0))
    assert cache.find(SCOPE, "Which password manager is recommended?", (0.95, 0.3)) is not None
    assert cache.find(SCOPE, "Which chat program is recommended?", (0.85, 0.5)) is None


def test_questions_that_differ_in_a_number_never_mean_the_same(cache: AnswerCache) -> None:
    cache.keep(entry("What does the Frostline 3 cost?"))
    assert cache.find(SCOPE, "What does the Frostline 4 cost?", (1.0, 0.0)) is None


@pytest.mark.parametrize(
    "other", [Scope((1,), 7, SCOPE.way), Scope((1, 2), 8, SCOPE.way), Scope((1, 2), 7, "answer:4|gpt|en")]
)
def test_other_rights_another_release_or_another_prompt_find_nothing(cache: AnswerCache, other: Scope) -> None:
    cache.keep(entry("How many days?"))
    assert cache.find(other, "How many days?", (1.0, 0.0)) is None


def test_answers_are_forgotten_when_their_time_is_over(cache: AnswerCache, clock: Clock) -> None:
    cache.keep(entry("How many days?"))
    clock.now += 599
    assert cache.find(SCOPE, "How many days?", (1.0, 0.0)) is not None
    clock.now += 1
    assert cache.find(SCOPE, "How many days?", (1.0, 0.0)) is None


def test_the_number_of_kept_answers_is_bounded(cache: AnswerCache) -> None:
    vectors: list[Any] = [(1.0, 0.0)] * (KEPT + 5)
    for n, vector in enumerate(vectors):
        cache.keep(entry(f"question {n}", *vector))
    assert cache.find(SCOPE, "question 0", (0.0, 1.0)) is None
    assert cache.find(SCOPE, f"question {KEPT + 4}", (0.0, 1.0)) is not None
