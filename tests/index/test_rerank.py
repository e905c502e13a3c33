"""Late interaction: what of a question stands in a passage, word by word."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assistant.index import rerank
from assistant.index.embed import MiniLM

WORDS = st.lists(st.sampled_from("laptop holiday invoice sensor password the of".split()), min_size=1, max_size=12)


def states(tokens: list[str]) -> np.ndarray:
    return np.stack([np.random.RandomState(sum(map(ord, t))).standard_normal(384) for t in tokens])


def rows(tokens: list[str]) -> np.ndarray:
    return rerank.projected(states(tokens))


@given(WORDS, WORDS)
def test_a_passage_with_all_of_a_questions_words_scores_at_least_as_high_as_any(
    asked: list[str], told: list[str]
) -> None:
    question = rerank.asked(asked, rows(asked))
    whole = asked + told
    codes = {"whole": rerank.encode(whole, rows(whole)), "told": rerank.encode(told, rows(told))}
    found = rerank.scores(question, codes)
    assert found["whole"] >= found["told"] - 1e-6


@given(WORDS, st.lists(WORDS, max_size=4))
def test_a_passage_scores_the_same_alone_and_among_others(asked: list[str], told: list[list[str]]) -> None:
    question = rerank.asked(asked, rows(asked))
    codes = {str(i): rerank.encode(words, rows(words)) for i, words in enumerate(told)}
    for i, score in rerank.scores(question, codes).items():
        assert abs(rerank.scores(question, {i: codes[i]})[i] - score) < 1e-6


def test_a_code_is_kept_once_for_each_word_that_carries_meaning() -> None:
    tokens = ["[CLS]", "the", "laptop", "of", "the", "laptop", ".", "[SEP]"]
    assert len(rerank.encode(tokens, rows(tokens))) == rerank.BITS // 8
    assert rerank.encode(["[CLS]", "the", "[SEP]"], rows(["[CLS]", "the", "[SEP]"])) == b""


def test_a_passage_without_codes_scores_nothing() -> None:
    assert rerank.scores(rerank.asked(["laptop"], rows(["laptop"])), {"p": b""}) == {"p": 0.0}


@given(st.integers(1, 30))
def test_a_number_in_many_pieces_never_outweighs_two_words_of_a_question(pieces: int) -> None:
    tokens = ["hotel", "limit", *(["8f", *(["##3a"] * (pieces - 1))])]
    weights = rerank.asked(tokens, rows(tokens)).weights
    assert weights[2:].sum() <= rerank.MOST_OF_A_WORD + 1e-5 < weights[:2].sum()


async def test_the_passage_that_answers_scores_above_one_that_shares_its_words(minilm: MiniLM) -> None:
    question = await minilm.asked("how long may I be away after having a baby")
    texts = ["Parental leave lasts sixteen weeks after the birth.", "How long a baby carrot may be kept: two weeks."]
    (_, leave), (_, carrot) = await minilm.read(texts)
    found = rerank.scores(question, {"leave": leave, "carrot": carrot})
    assert found["leave"] > found["carrot"]


async def test_reading_gives_the_vectors_that_embedding_gives(minilm: MiniLM) -> None:
    texts = ["A short one.", "A longer text about laptops and their chargers. " * 30]
    assert np.allclose([v for v, _ in await minilm.read(texts)], await minilm.embed(texts), atol=1e-6)


async def test_a_text_is_read_alike_alone_and_among_any_others(minilm: MiniLM) -> None:
    texts = [f"Rule {n}: " + " ".join(f"word{n * 7 + k} of laptops" for k in range(n % 40)) for n in range(45)]
    alone = [(await minilm.read([text]))[0] for text in texts]
    lots = await asyncio.gather(*(minilm.read(lot) for lot in (texts, texts[::-1], texts[:1], [])))
    assert lots == [alone, alone[::-1], alone[:1], []], "bit for bit"


@given(WORDS)
def test_a_code_is_the_signs_of_what_a_word_piece_sums_up_to(tokens: list[str]) -> None:
    own = states(tokens)
    told = rerank.projected(own)
    before = told.copy()
    codes = rerank.encode(tokens, told)
    assert np.array_equal(told, before), "rows belong to whoever made them"
    kept = [t for t in dict.fromkeys(tokens) if rerank.counts(t)]
    sums = [rerank.units(own)[[u == t for u in tokens]].sum(axis=0) for t in kept]
    expected = [np.packbits(s @ rerank.hyperplanes(384) > 0).tobytes() for s in sums]
    assert codes == b"".join(expected)
