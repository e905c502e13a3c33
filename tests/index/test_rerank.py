"""Late interaction: what of a question stands in a passage, word by word."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assistant.index import rerank
from assistant.index.embed import MiniLM

WORDS = st.lists(st.sampled_from("laptop holiday invoice sensor password the of".split()), min_size=1, max_size=12)


def states(tokens: list[str]) -> np.ndarray:
    return np.stack([np.random.RandomState(sum(map(ord, t))).standard_normal(384) for t in tokens])


@given(WORDS, WORDS)
def test_a_passage_with_all_of_a_questions_words_scores_at_least_as_high_as_any(
    asked: list[str], told: list[str]
) -> None:
    question = rerank.question(asked, states(asked))
    whole = asked + told
    assert rerank.score(question, rerank.encode(whole, states(whole))) >= (
        rerank.score(question, rerank.encode(told, states(told))) - 1e-6
    )


def test_a_code_is_kept_once_for_each_word_that_carries_meaning() -> None:
    tokens = ["[CLS]", "the", "laptop", "of", "the", "laptop", ".", "[SEP]"]
    assert len(rerank.encode(tokens, states(tokens))) == rerank.BITS // 8
    assert rerank.encode(["[CLS]", "the", "[SEP]"], states(["[CLS]", "the", "[SEP]"])) == b""


def test_a_passage_without_codes_scores_nothing() -> None:
    assert rerank.score(rerank.question(["laptop"], states(["laptop"])), b"") == 0.0


async def test_the_passage_that_answers_scores_above_one_that_shares_its_words(minilm: MiniLM) -> None:
    question = await minilm.asked("how long may I be away after having a baby")
    texts = ["Parental leave lasts sixteen weeks after the birth.", "How long a baby carrot may be kept: two weeks."]
    (_, leave), (_, carrot) = await minilm.read(texts)
    assert rerank.score(question, leave) > rerank.score(question, carrot)


async def test_reading_gives_the_vectors_that_embedding_gives(minilm: MiniLM) -> None:
    texts = ["A short one.", "A longer text about laptops and their chargers. " * 30]
    assert np.allclose([v for v, _ in await minilm.read(texts)], await minilm.embed(texts), atol=1e-6)
