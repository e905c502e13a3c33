"""Vectors from a provider, and word codes beside them from a table of the built-in model's words."""

from __future__ import annotations

import time

import numpy as np
import pytest

from assistant import settings
from assistant.domain import Attempt
from assistant.errors import ModelError
from assistant.index import embed, rerank, weights
from assistant.index.embed import LiteLLMEmbedder, embedder_from
from assistant.index.words import WordTable
from assistant.settings import IndexSettings
from tests.fakes.embeddings import FakeEmbeddings, vector
from tests.fakes.serve import serving


@pytest.fixture(scope="session")
def table() -> WordTable:
    return WordTable(settings.load().models_dir)


def embedder(
    address: str, table: WordTable, calls: list[Attempt] | None = None, *, hurried: bool = False
) -> LiteLLMEmbedder:
    index = IndexSettings(embedder="openai/fake", embedder_api_base=f"{address}/v1")
    return LiteLLMEmbedder(index, "", table, (calls if calls is not None else []).append, hurried=hurried)


@pytest.mark.parametrize("packs", ["yes", "no", "refuses"])
async def test_vectors_are_the_same_however_a_server_sends_them(
    packs: str, table: WordTable, recwarn: pytest.WarningsRecorder
) -> None:
    fake = FakeEmbeddings(packs)  # type: ignore[arg-type]
    texts = [f"Rule {n} of the travel policy" for n in range(300)]
    calls: list[Attempt] = []
    async with serving(fake.app) as address:
        made = embedder(address, table, calls)
        read = await made.read(texts)
        await made.embed(["once more"])
    assert np.allclose([v for v, _ in read], [vector("fake", t) for t in texts], atol=1e-6)
    assert fake.texts["fake"] == 301
    assert not [w for w in recwarn if "serializer" in str(w.message)]
    assert {c.outcome for c in calls} == {"ok"}
    assert len(calls) == 6
    # Who refuses is not asked again and again.
    assert fake.formats["base64"] == {"yes": 6, "no": 6, "refuses": fake.formats["base64"]}[packs]
    assert packs != "refuses" or fake.formats["base64"] <= 5


async def test_a_server_that_is_not_there_is_told_in_a_sentence(table: WordTable) -> None:
    with pytest.raises(ModelError, match="did not answer"):
        await embedder("http://127.0.0.1:1", table).embed(["a text"])


async def test_people_wait_for_a_provider_that_is_down_once_in_a_while_and_runs_try_again(
    table: WordTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "QUESTION_S", 0.3)
    fake = FakeEmbeddings()
    async with serving(fake.app) as address:
        made, calls = embedder(address, table, hurried=True), []
        before = await made.embed(["known"])
        for seconds, down in ((0, True), (30, False)):
            fake.down, fake.takes_s, made._rests_until = down, seconds, 0.0
            for n in range(5):
                began = time.monotonic()
                with pytest.raises(ModelError):
                    await made.embed([f"question {n}"])
                assert time.monotonic() - began < 5
                calls.append(fake.calls)
            assert calls[-5] == calls[-1], "after the first one nobody waits for it"
        assert await made.embed(["known"]) == before, "the vectors of the last questions need nobody"
        fake.down, fake.takes_s, made._rests_until = False, 0, 0.0
        assert len(await made.embed(["it is back"])) == 1
        # One that fails once does not end a run.
        fake.fails = 1
        assert len(await embedder(address, table).read(["a passage"])) == 1


async def test_a_passage_has_a_code_for_each_of_its_words_that_carry_meaning(table: WordTable) -> None:
    once, twice, none = await table.codes(["The laptop", "the laptop, and of the laptop", "of the and"])
    assert len(once) == rerank.BITS // 8
    assert twice == once
    assert none == b""
    # No passage is cut, as one is that the model reads.
    assert await table.codes(["of the " * 500 + "laptop"]) == [once]


async def test_words_of_like_meaning_are_nearer_than_others_and_the_same_are_nearest(table: WordTable) -> None:
    texts = ["A laptop.", "A computer.", "A banana."]
    codes = dict(zip(("same", "like", "other"), await table.codes(texts), strict=True))
    found = rerank.scores(await table.asked("laptop"), codes)
    assert found["same"] > found["like"] > found["other"]


async def test_the_table_says_what_the_models_own_words_say(table: WordTable) -> None:
    vocabulary = weights.vocabulary()
    ids = [vocabulary.token_to_id(t) for t in ("holiday", "laptop", "##s")]
    own = rerank.units(rerank.projected(weights.word_pieces()[ids]))
    assert np.allclose(table._rows[ids], own, atol=1e-3)


def test_only_another_embedder_has_codes_from_the_table_and_its_releases_are_told_apart() -> None:
    def made(**index: str) -> rerank.Reader:
        return embedder_from(settings.load().model_copy(update={"index": IndexSettings.model_validate(index)}))

    assert made().word_codes == made(word_codes="table").word_codes == "model"
    named = {"embedder": "openai/e", "embedder_api_base": "http://127.0.0.1:9/v1"}
    assert (made(**named).word_codes, made(**named, word_codes="model").word_codes) == ("table", "model")
    assert made(**named).fingerprint != made(**named, word_codes="model").fingerprint
