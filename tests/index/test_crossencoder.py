"""A cross-encoder orders the best passages where one is named; where it fails the search's own order stands."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assistant.errors import ModelError, SettingsError
from assistant.index import crossencoder
from assistant.index.crossencoder import LiteLLMReranker, OnnxReranker, Reranker, reranker_from
from assistant.index.retrieve import Found
from assistant.settings import ChatSettings, RerankerSettings, Settings
from tests.fakes.reranking import FakeReranker, words
from tests.fakes.serve import standing_in
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")

TEXTS = {"a": "the canteen", "b": "holiday days of employees", "c": "holiday"}
FINAL = {"a": 3.0, "b": 2.0, "c": 1.5, "d": 0.4}
BOOK = {
    "leave.md": "# Leave\n\nEmployees take thirty days of holiday.",
    "interns.md": "# Interns\n\nInterns take twelve days of holiday in a year.",
    "laptops.md": "# Laptops\n\nLaptops are replaced after four years.",
    "secret/pay.md": "# Pay\n\nHoliday pay of employees is kept here.",
}


class Served(FakeReranker):
    base = ""

    def settings(self, **more: Any) -> RerankerSettings:
        return RerankerSettings(model="jina_ai/jina-test", api_base=self.base, **{"timeout_s": 20, **more})

    def step(self, **more: Any) -> Reranker:
        named = self.settings(**more)
        return Reranker(LiteLLMReranker(named, "key-1"), named)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with standing_in(Served()) as fake:
        yield fake


class Fixed:
    """Gives these scores, in the order of the texts."""

    name, provider = "fixed", "test"

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)
        self.asked = 0

    async def scores(self, question: str, texts: Any) -> list[float]:
        self.asked += 1
        if not self._scores:
            raise ModelError("down", outcome="down")
        return self._scores[: len(texts)]


async def test_a_provider_orders_the_passages_and_is_asked_for_nothing_else(served: Served) -> None:
    found = await served.step(price=2.0).order("How many days of holiday?", TEXTS, FINAL)
    assert sorted(found.final, key=lambda i: -found.final[i]) == ["b", "c", "a", "d"]
    assert found.final["d"] == FINAL["d"]
    (request,) = served.requests
    assert (request["query"], request["model"], len(request["documents"])) == (
        "How many days of holiday?",
        "jina-test",
        3,
    )
    assert served.keys == ["Bearer key-1"]
    assert found.attempt is not None
    told = found.attempt
    assert (told.feature, told.kind, told.provider, told.outcome) == ("rerank", "rerank", "jina_ai", "ok")
    assert told.cost_nano == 2_000_000


@pytest.mark.parametrize("mode", ["refuse", "stall", "garbage", "short"])
async def test_where_the_provider_fails_the_order_stands_and_it_is_left_alone_for_a_while(
    served: Served, mode: str
) -> None:
    served.mode = mode
    step = served.step(timeout_s=1.0 if mode == "stall" else 20, price=2.0)
    began = time.monotonic()
    found = await step.order("holiday", TEXTS, FINAL)
    assert (found.final, found.given) == (FINAL, {})
    assert found.attempt is not None
    assert found.attempt.outcome not in {"", "ok"}
    assert found.attempt.cost_nano == 0
    assert "the order of the search stands" in found.note
    if mode == "stall":
        assert time.monotonic() - began < 15
    asked = len(served.requests)
    again = await step.order("holiday", TEXTS, FINAL)
    assert (again.final, again.attempt) == (FINAL, None)
    assert "rests" in again.note
    assert len(served.requests) == asked


async def test_it_is_asked_again_once_it_has_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Fixed()
    step = Reranker(encoder, RerankerSettings(model="x/y"))
    await step.order("q", TEXTS, FINAL)
    await step.order("q", TEXTS, FINAL)
    assert encoder.asked == 1
    monkeypatch.setattr(crossencoder, "REST_S", 0.0)
    step = Reranker(encoder, RerankerSettings(model="x/y"))
    await step.order("q", TEXTS, FINAL)
    await step.order("q", TEXTS, FINAL)
    assert encoder.asked == 3


SCORES = st.floats(-1e3, 1e3, allow_nan=False)


@hypothesis_settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), SCORES, min_size=2), st.data())
async def test_what_was_read_goes_by_its_scores_and_above_what_was_not(
    final: dict[str, float], data: st.DataObject
) -> None:
    order = sorted(final, key=lambda i: (-final[i], i))
    read = order[: data.draw(st.integers(2, len(order)))]
    given_ = data.draw(st.lists(SCORES, min_size=len(read), max_size=len(read)))
    step = Reranker(Fixed(*given_), RerankerSettings(model="x/y"))
    found = (await step.order("q", dict.fromkeys(read, "text"), final)).final
    assert found.keys() == final.keys()
    for i in set(final) - set(read):
        assert found[i] == final[i]
        assert all(found[j] > found[i] for j in read)
    for (i, x), (j, y) in zip(zip(read, given_, strict=True), list(zip(read, given_, strict=True))[1:], strict=False):
        assert (x > y) >= (found[i] > found[j])


def graph(folder: Path, *, classes: int = 1, types: bool = True) -> Path:
    """A cross-encoder of one layer: the more of the question's words stand in the text, the higher; and a tokenizer."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "holiday", "days", "laptops", "replaced", "take"]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(vocabulary)}, unk_token="[UNK]"))  # noqa: S106 - a word piece
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    # What each word says for a text: `holiday` much, `days` a little, all else nothing.
    table = np.zeros((len(vocabulary), classes), dtype=np.float32)
    table[4, -1], table[5, -1] = 2.0, 1.0
    mask = [helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT)]
    if types:
        mask += [
            helper.make_node("Cast", ["token_type_ids"], ["t"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["m", "t"], ["kept"]),
        ]
    nodes = [
        *mask,
        helper.make_node("Gather", ["words", "input_ids"], ["x"]),
        helper.make_node("Unsqueeze", ["kept" if types else "m", "axis"], ["w"]),
        helper.make_node("Mul", ["x", "w"], ["y"]),
        helper.make_node("ReduceSum", ["y", "one"], ["logits"], keepdims=0),
    ]
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in names],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", classes])],
            [
                numpy_helper.from_array(table, "words"),
                numpy_helper.from_array(np.array([2], dtype=np.int64), "axis"),
                numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, str(folder / "model.onnx"))
    return folder


@pytest.mark.parametrize(("classes", "types"), [(1, True), (2, True), (1, False)])
async def test_a_graph_in_a_folder_scores_each_text_whatever_its_company(
    tmp_path: Path, classes: int, types: bool
) -> None:
    encoder = OnnxReranker(graph(tmp_path / "tiny", classes=classes, types=types))
    texts = ["laptops replaced", "take holiday days", "holiday", "days " * 2_000, ""] * 5
    together = await encoder.scores("take laptops", texts)
    assert together[:3] == [0.0, 3.0, 2.0]
    assert together == [(await encoder.scores("take laptops", [t]))[0] for t in texts]
    assert (encoder.name, encoder.provider) == ("tiny", "local")


async def test_a_broken_graph_is_a_failure_of_a_model_and_a_missing_one_stops_the_start(tmp_path: Path) -> None:
    folder = graph(tmp_path / "tiny")
    (folder / "model.onnx").write_bytes(b"no graph")
    step = Reranker(OnnxReranker(folder), RerankerSettings(path=folder))
    found = await step.order("holiday", TEXTS, FINAL)
    assert (found.final, found.given) == (FINAL, {})
    (folder / "model.onnx").unlink()
    with pytest.raises(SettingsError, match=r"holds no model\.onnx"):
        reranker_from(Settings(chat=ChatSettings(reranker=RerankerSettings(path=folder))))


def test_nothing_is_reranked_unless_one_is_named_and_only_one_may_be(tmp_path: Path) -> None:
    assert reranker_from(Settings()) is None
    with pytest.raises(ValidationError, match="keep one of them"):
        RerankerSettings(model="x/y", path=tmp_path)


async def found_by(index: Index, step: Reranker | None, query: str, *groups: str) -> Found:
    knowledge = index.knowledge
    knowledge.reranker = step
    return await knowledge.search(asker(*groups), query, 3)


async def test_a_search_shows_passages_in_the_order_given_and_tells_the_scores_and_the_call(index: Index) -> None:
    await index.sync(BOOK)
    plain = await found_by(index, None, "days of holiday")
    assert all(p.scores.reranked is None for p in plain.passages)
    folder = graph(index.home / "tiny")
    found = await found_by(index, Reranker(OnnxReranker(folder), RerankerSettings(path=folder)), "days of holiday")
    scores = [p.scores.reranked for p in found.passages if p.scores.reranked is not None]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0
    assert [a.kind for a in found.attempts] == ["embedding", "rerank"]
    assert found.signals.keys() == plain.signals.keys()
    assert any(n.startswith("reranker") for n in found.notes)


async def test_no_text_outside_the_askers_rights_is_sent_to_the_provider(index: Index, served: Served) -> None:
    index.restrict(secret=["leadership"])
    await index.sync(BOOK)
    await found_by(index, served.step(), "holiday pay of employees")
    sent = [words(t if isinstance(t, str) else t["text"]) for r in served.requests for t in r["documents"]]
    assert sent
    assert not any("pay" in s for s in sent)
    await found_by(index, served.step(), "holiday pay of employees", "leadership")
    assert any("pay" in words(str(t)) for t in served.requests[-1]["documents"])


async def test_a_search_whose_reranker_fails_is_the_search_without_one(index: Index, served: Served) -> None:
    await index.sync(BOOK)
    served.mode = "refuse"
    found, plain = await found_by(index, served.step(), "holiday"), await found_by(index, None, "holiday")
    assert found.passages == plain.passages
    assert [a.outcome == "ok" for a in found.attempts] == [True, False]
