"""A cross-encoder puts the best passages in order: it reads question and passage together (Nogueira and Cho 2019).

Off unless `chat.reranker` names one: a reranking model that LiteLLM knows, or a folder with an ONNX graph and its
tokenizer, as exporters of sentence-transformers write it. Where it fails the order of the search stands.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from assistant.domain import Attempt
from assistant.errors import ModelError, SettingsError
from assistant.index.scoring import normalised
from assistant.settings import RerankerSettings, Settings

# What of a passage is read: longer ones are cut by every published cross-encoder anyway.
CHARS = 2_000
MAX_TOKENS = 512
BATCH = 16
# After a failure it is left alone so long, in seconds: each question would wait for it in vain.
REST_S = 30.0
# A graph's inputs by the names of a tokenizer's output.
_FEEDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class CrossEncoder(Protocol):
    """Reads pairs of a question and a text. `name` is what the ledger calls it; scores are comparable within a call."""

    name: str
    provider: str

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """One score for each text, more is better. Raises `ModelError`."""
        ...


@dataclass(frozen=True)
class Reranked:
    """What the cross-encoder made of an order: the scores that now order the list, its call, and a few words.

    `given` are its own scores; empty where it failed or rested, and `final` is then what it was.
    """

    final: Mapping[str, float]
    given: Mapping[str, float]
    attempt: Attempt | None
    note: str


class Reranker:
    """The step: the best passages of a search in the order that a cross-encoder gives them."""

    def __init__(self, encoder: CrossEncoder, settings: RerankerSettings) -> None:
        self._encoder = encoder
        self.candidates = settings.candidates
        self._timeout_s = settings.timeout_s
        self._price = settings.price
        self._rests_until = 0.0

    async def order(self, question: str, texts: Mapping[str, str], final: Mapping[str, float]) -> Reranked:
        """`texts` are the best passages by id, in their order; `final` scores them and all others. Never raises."""
        if len(texts) < 2:
            return Reranked(final, {}, None, "reranker: nothing to order")
        if time.monotonic() < self._rests_until:
            return Reranked(final, {}, None, "reranker rests after a failure: the order of the search stands")
        began, outcome, found = time.monotonic(), "ok", []
        try:
            read = self._encoder.scores(question, [t[:CHARS] for t in texts.values()])
            found = await asyncio.wait_for(read, self._timeout_s)
        except TimeoutError:
            outcome = "timeout"
        except ModelError as error:
            outcome = error.outcome
        ms = (time.monotonic() - began) * 1000
        if outcome != "ok":
            self._rests_until = time.monotonic() + REST_S
        attempt = Attempt(
            feature="rerank",
            kind="rerank",
            provider=self._encoder.provider,
            model_asked=self._encoder.name,
            model_served=self._encoder.name if outcome == "ok" else "",
            outcome=outcome,
            ms=round(ms),
            # The price is for a thousand calls.
            cost_nano=round(self._price * 1_000_000) if outcome == "ok" else 0,
        )
        if outcome != "ok":
            note = f"reranker failed after {ms:.0f} ms ({outcome}): the order of the search stands"
            return Reranked(final, {}, attempt, note)
        given = dict(zip(texts, found, strict=True))
        return Reranked(_above(final, given), given, attempt, f"reranker {ms:.0f} ms: {len(given)} passages read")


def _above(final: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """The scores with those that were read in their new order, over the same span and above all others."""
    rest = max((v for i, v in final.items() if i not in given), default=0.0)
    high = max(rest, *(final[i] for i in given))
    span = max(high - rest, 1e-6)
    return dict(final) | {i: rest + span * (0.01 + 0.99 * v) for i, v in normalised(given).items()}


def reranker_from(settings: Settings) -> Reranker | None:
    """The step that `chat.reranker` asks for; None where it asks for none.

    Raises `SettingsError` when the folder holds no graph and tokenizer.
    """
    named = settings.chat.reranker
    if named.model:
        return Reranker(LiteLLMReranker(named, settings.environment(named.api_key_env)), named)
    if named.path != Path():
        return Reranker(OnnxReranker(named.path), named)
    return None


class LiteLLMReranker:
    """Any reranking model by its LiteLLM name, e.g. `cohere/rerank-v3.5` or `jina_ai/jina-reranker-v2-base`."""

    def __init__(self, settings: RerankerSettings, api_key: str) -> None:
        self.name = settings.model
        self.provider = settings.model.split("/", 1)[0]
        self._settings = settings
        self._key = api_key

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Relevance as the provider gives it, mostly 0..1."""
        import litellm

        try:
            reply: Any = await litellm.arerank(
                model=self._settings.model,
                query=question,
                documents=list(texts),
                top_n=len(texts),
                return_documents=False,
                api_base=self._settings.api_base or None,
                api_key=self._key or "none",
                timeout=self._settings.timeout_s,
            )
            found = {int(r["index"]): float(r["relevance_score"]) for r in reply.results or ()}
        except Exception as error:
            raise _failed(type(error).__name__) from error
        if found.keys() != set(range(len(texts))) or not all(map(math.isfinite, found.values())):
            raise _failed("incomplete")
        return [found[n] for n in range(len(texts))]


class OnnxReranker:
    """A cross-encoder on this machine: `model.onnx` and `tokenizer.json` in a folder."""

    provider = "local"

    def __init__(self, folder: Path) -> None:
        for name in ("model.onnx", "tokenizer.json"):
            if not (folder / name).is_file():
                raise SettingsError(
                    f"chat.reranker.path: {folder} holds no {name}.", "Name a folder with an exported cross-encoder."
                )
        self.name = folder.resolve().name
        self._folder = folder

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The network's own scores; of one that gives several classes, that of the last."""
        try:
            return await asyncio.to_thread(self._now, question, texts)
        except Exception as error:
            # What a graph of somebody else's raises is not to be foreseen.
            raise _failed(type(error).__name__) from error

    def _now(self, question: str, texts: Sequence[str]) -> list[float]:
        pairs = self._tokenizer.encode_batch([(question, t) for t in texts])
        takes = {i.name for i in self._session.get_inputs()}
        out = [0.0] * len(texts)
        # Texts of like length go together: little is padded.
        order = sorted(range(len(texts)), key=lambda i: len(pairs[i].ids))
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            longest = max(len(pairs[i].ids) for i in batch)
            feeds = {
                name: np.array([_padded(getattr(pairs[i], of), longest) for i in batch], dtype=np.int64)
                for name, of in _FEEDS.items()
                if name in takes
            }
            logits = np.asarray(self._session.run(None, feeds)[0], dtype=np.float64).reshape(len(batch), -1)
            for i, row in zip(batch, logits, strict=True):
                out[i] = float(row[-1] if len(row) == 1 else row[-1] - row[0])
        if not all(map(math.isfinite, out)):
            raise ValueError("the network gave no numbers")
        return out

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_TOKENS, strategy="only_second")
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = str(self._folder / "model.onnx")
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _padded(ids: Sequence[int], longest: int) -> list[int]:
    return [*ids, *([0] * (longest - len(ids)))]


def _failed(outcome: str) -> ModelError:
    return ModelError("The reranker did not answer.", "Check chat.reranker.", outcome=outcome)
