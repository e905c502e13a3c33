"""Texts become unit vectors: all-MiniLM-L6-v2 on this machine, or any embedding model that LiteLLM knows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import importlib
import os
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from assistant.domain import Attempt
from assistant.errors import ModelError
from assistant.index import rerank, weights
from assistant.index.words import WordTable
from assistant.settings import IndexSettings, Settings

MAX_TOKENS = 256
BATCH = 32
CALLS_AT_ONCE = 4
# How long a question waits for its vector, how long a provider that gave none is left alone, and how many are kept.
QUESTION_S, REST_S, REMEMBERED = 5.0, 15.0, 256
# Providers that speak OpenAI's protocol, whose vectors come as bytes when asked.
_PACKED = frozenset({"openai", "azure", "hosted_vllm"})
KEPT, KEEP_CHARS, KEPT_QUESTIONS = 6_000, 600, 256
LAYERS, HEADS, WIDTH = 6, 12, 384
OnCall = Callable[[Attempt], None]


def embedder_from(settings: Settings, on_call: OnCall | None = None, *, hurried: bool = False) -> rerank.Reader:
    """The embedder that `index.embedder` names; `on_call` is told of every call of a paid one.

    `hurried` is for whoever answers people: see `LiteLLMEmbedder`. Texts as short as questions are not read faster by
    two threads, and cost half as much again; many people ask at once.
    """
    model = partial(MiniLM, settings.models_dir, threads=1 if hurried else 0)
    if settings.index.embedder == "minilm":
        return model()
    key = settings.environment(settings.index.embedder_api_key_env)
    words = WordTable(settings.models_dir) if settings.index.word_codes == "table" else model()
    return LiteLLMEmbedder(settings.index, key, words, on_call, hurried=hurried)


class MiniLM:
    """all-MiniLM-L6-v2 as an int8 ONNX graph, rebuilt once from the packaged weights: 23 MB, no torch.

    Vectors have 384 floats and unit length; texts are cut at 256 tokens, as the model was trained.
    """

    fingerprint = "minilm-l6-v2-int8-3"
    dimension = WIDTH
    kind: rerank.WordCodes = "model"
    word_codes: rerank.WordCodes = "model"

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._folder = folder
        self._threads = threads
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._questions: OrderedDict[str, rerank.Asked] = OrderedDict()
        self._keeping = threading.Lock()
        self._passing = threading.Lock()

    async def ready(self) -> None:
        """Load the model while something else is done."""

        def now() -> None:
            with self._passing:
                self._session, self._tokenizer  # noqa: B018 - loads them

        await asyncio.to_thread(now)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        # Looked up once each: a thread that reads passages may drop the oldest at any moment.
        kept = [self._kept.get(t) for t in texts]
        if all(v is not None for v in kept):
            return [v.tolist() for v in kept]  # type: ignore[union-attr]
        return await asyncio.to_thread(self.embed_now, texts)

    def embed_now(self, texts: Sequence[str]) -> list[list[float]]:
        """The same, on this thread. Sentences of passages come again and again: the last few thousand are kept."""
        with self._keeping:
            found = {t: self._kept[t].tolist() for t in texts if t in self._kept}
            for text in found:
                self._kept.move_to_end(text)
        fresh = [t for t in dict.fromkeys(texts) if t not in found]
        if len(fresh) == 1:
            # One text is a question, which is read word by word next: the pass serves both.
            vectors = [self._question(fresh[0])[0]]
        else:
            by_place = {i: vector for i, _, vector, _ in self._passed(fresh, ["embedding"])}
            vectors = [by_place[i] for i in range(len(fresh))]
        self._keep(fresh, vectors)
        return [found[t] if t in found else vectors[fresh.index(t)].tolist() for t in texts]

    def _keep(self, texts: Sequence[str], vectors: Sequence[Any]) -> None:
        with self._keeping:
            self._kept |= {t: v for t, v in zip(texts, vectors, strict=True) if len(t) <= KEEP_CHARS}
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _question(self, text: str) -> tuple[Any, rerank.Asked]:
        """The vector of a question, and the question word by word."""
        ((_, encoded, vector, states),) = self._passed([text])
        asked = rerank.question(encoded.tokens, states, weights.rarity(encoded.ids))
        self._keep([text], [vector])
        with self._keeping:
            self._questions[text] = asked
            while len(self._questions) > KEPT_QUESTIONS:
                self._questions.popitem(last=False)
        return vector, asked

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The vector of each passage and its codes for `rerank.scores`, from one pass."""

        def now() -> list[tuple[list[float], bytes]]:
            # One pass at a time takes all cores; a second one would only take memory. Codes made on a thread beside the
            # next pass cost it what they save: its threads wait for each other at every step (measured).
            with self._passing:
                read = {i: (vector.tolist(), rerank.encode(e.tokens, s)) for i, e, vector, s in self._passed(texts)}
            return [read[i] for i in range(len(texts))]

        return await asyncio.to_thread(now)

    async def codes(self, texts: Sequence[str]) -> list[bytes]:
        """The codes of each passage, for one that has its vectors from elsewhere."""
        return [codes for _, codes in await self.read(texts)]

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""

        kept = self._questions.get(question)
        return kept or (await asyncio.to_thread(self._question, question))[1]

    def _passed(self, texts: Sequence[str], outputs: Sequence[str] = ("embedding", "states")) -> Iterator[Any]:
        """Place, word pieces, vector and token states of each text. Those of like length go together: less is padded.

        States are those of one batch, and go with it: a text's take up to 400 kB.
        """
        encoded = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i].ids))
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            longest = max(len(encoded[i].ids) for i in batch)
            ids = np.zeros((len(batch), longest), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, i in enumerate(batch):
                ids[row, : len(encoded[i].ids)] = encoded[i].ids
                mask[row, : len(encoded[i].ids)] = 1
            vectors, *more = self._session.run(list(outputs), {"input_ids": ids, "attention_mask": mask})
            for row, i in enumerate(batch):
                yield i, encoded[i], vectors[row], more[0][row, : len(encoded[i].ids)] if more else None

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = weights.vocabulary()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or os.cpu_count() or 1
        # Spinning threads win little here and take the cores from the event loop.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self._graph(), options, providers=["CPUExecutionProvider"])

    def _graph(self) -> str:
        """The path of the quantised graph, made at the first use; several processes may ask at once."""
        file = self._folder / f"{self.fingerprint}.onnx"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / "building.lock"):
                if not file.exists():
                    _build(file)
        return str(file)


def _build(file: Path) -> None:
    """Write the network as an int8 ONNX graph."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors.numpy import load_file

    published = load_file(weights.published())
    whole, fresh = file.with_suffix(f".{os.getpid()}.full"), file.with_suffix(f".{os.getpid()}.new")
    try:
        onnx.save(_network(published), str(whole))
        # A scale for each channel: vectors keep a cosine of .994 to full precision, with one for all it is .949.
        quantize_dynamic(str(whole), str(fresh), weight_type=QuantType.QInt8, per_channel=True)
        fresh.replace(file)
    finally:
        whole.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _network(published: dict[str, Any]) -> Any:
    """BERT's encoder, token states and their mean at unit length, as ONNX nodes (Devlin 2019, Reimers 2019)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, Any] = {}

    def const(name: str, value: Any) -> str:
        constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def ints(*values: int) -> str:
        return const("ints_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def scalar(value: float) -> str:
        return const(f"scalar_{value}", np.array(value, dtype=np.float32))

    def linear(x: str, key: str) -> str:
        product = node("MatMul", x, const(f"{key}.w", published[f"{key}.weight"].T))
        return node("Add", product, const(f"{key}.b", published[f"{key}.bias"]))

    def norm(x: str, key: str) -> str:
        scale, bias = const(f"{key}.w", published[f"{key}.weight"]), const(f"{key}.b", published[f"{key}.bias"])
        return node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    embeddings = "embeddings.{}_embeddings.weight"
    words = node("Gather", const("words", published[embeddings.format("word")]), "input_ids")
    length = node("Shape", "input_ids", start=1, end=2)
    places = node("Slice", const("places", published[embeddings.format("position")]), ints(0), length, ints(0))
    x = node("Add", node("Add", words, places), const("type", published[embeddings.format("token_type")][0]))
    x = norm(x, "embeddings.LayerNorm")
    mask = node("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = node("Mul", node("Sub", scalar(1.0), mask), scalar(-1e9))
    hidden = node("Unsqueeze", hidden, ints(1, 2))
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        heads = ints(0, 0, HEADS, WIDTH // HEADS)
        query, key, value = (
            node("Reshape", linear(x, f"{layer}attention.self.{part}"), heads) for part in ("query", "key", "value")
        )
        query, value = (node("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        scores = node("MatMul", query, node("Transpose", key, perm=[0, 2, 3, 1]))
        scores = node("Add", node("Mul", scores, scalar((WIDTH // HEADS) ** -0.5)), hidden)
        mixed = node("Transpose", node("MatMul", node("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
        mixed = linear(node("Reshape", mixed, ints(0, 0, WIDTH)), f"{layer}attention.output.dense")
        x = norm(node("Add", x, mixed), f"{layer}attention.output.LayerNorm")
        wide = linear(x, f"{layer}intermediate.dense")
        gate = node("Add", node("Erf", node("Div", wide, scalar(2**0.5))), scalar(1.0))
        wide = node("Mul", node("Mul", wide, gate), scalar(0.5))
        x = norm(node("Add", x, linear(wide, f"{layer}output.dense")), f"{layer}output.LayerNorm")
    weight = node("Unsqueeze", mask, ints(2))
    total = node("ReduceSum", node("Mul", x, weight), ints(1), keepdims=0)
    mean = node("Div", total, node("ReduceSum", weight, ints(1), keepdims=0))
    nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=1, p=2))
    nodes.append(helper.make_node("Identity", [x], ["states"]))
    shapes = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    results = [
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", WIDTH]),
        helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "s", WIDTH]),
    ]
    graph = helper.make_graph(nodes, "minilm", shapes, results, list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    # Nothing in it is left to prepare; without this the quantiser says at the first start that there might be.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return model


class LiteLLMEmbedder:
    """Any embedding model by its LiteLLM name; `words` reads word by word, for providers give no token states.

    Its dimension is known after the first call. Where it is `hurried`, a question waits for its vector no longer than
    `QUESTION_S`, for words alone will do, and a model that failed is asked no sooner again than after `REST_S`.
    """

    def __init__(
        self,
        settings: IndexSettings,
        api_key: str,
        words: rerank.Words,
        on_call: OnCall | None = None,
        *,
        hurried: bool = False,
    ) -> None:
        self._settings = settings
        self._hurried = hurried
        self._key = api_key
        self._words = words
        self._on_call = on_call or (lambda _: None)
        self._provider = settings.embedder.split("/", 1)[0]
        # A quarter of the bytes of numbers in JSON, and read in no time; a server that does not know it says so.
        self._packed = self._provider in _PACKED
        self._room = asyncio.Semaphore(CALLS_AT_ONCE)
        self._loaded = False
        self._asked_before: OrderedDict[str, list[float]] = OrderedDict()
        self._rests_until = 0.0
        name = f"{settings.embedder}|{settings.embedder_api_base}|{words.fingerprint}"
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()[:12]
        self.word_codes = words.kind
        self.dimension = 0

    async def ready(self) -> None:
        """Import LiteLLM, which takes seconds, while something else is done."""
        if not self._loaded:
            # Half imported it stands among the modules already, and importing it here would wait for the other half.
            await asyncio.to_thread(importlib.import_module, "litellm")
            # LiteLLM puts the bytes where its types say numbers, and pydantic would say so of every vector.
            warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
            self._loaded = True

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The provider's vector of each passage, and its codes made here. Raises `ModelError` as `embed`."""
        vectors, codes = await asyncio.gather(self._vectors(texts), self._words.codes(texts))
        return list(zip(vectors, codes, strict=True))

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""
        return await self._words.asked(question)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of a question and what belongs to it; those of the last questions are known.

        Raises `ModelError` when the provider does not give one vector for each text.
        """
        if not all(t in self._asked_before for t in texts):
            vectors = await (self._soon(texts) if self._hurried else self._vectors(texts))
            if len(texts) > REMEMBERED:
                return vectors
            self._asked_before.update(zip(texts, vectors, strict=True))
        found = [self._asked_before[t] for t in texts]
        for text in texts:
            self._asked_before.move_to_end(text)
        while len(self._asked_before) > REMEMBERED:
            self._asked_before.popitem(last=False)
        return found

    async def _soon(self, texts: Sequence[str]) -> list[list[float]]:
        if time.monotonic() < self._rests_until:
            raise ModelError("The embedding model did not answer.", "Check index.embedder.", outcome="resting")
        # The first time LiteLLM is imported.
        await self.ready()
        try:
            # OpenAI's client tries again by itself, and LiteLLM lets nobody tell it not to.
            async with asyncio.timeout(QUESTION_S):
                return await self._vectors(texts)
        except (ModelError, TimeoutError) as error:
            self._rests_until = time.monotonic() + REST_S
            if isinstance(error, ModelError):
                raise
            raise ModelError(
                "The embedding model did not answer.", "Check index.embedder.", outcome="timeout"
            ) from error

    async def _vectors(self, texts: Sequence[str]) -> list[list[float]]:
        await self.ready()
        parts = [texts[at : at + BATCH * 2] for at in range(0, len(texts), BATCH * 2)]
        # A question, in one call, does not wait for the room that passages share.
        room = self._room if len(parts) > 1 else contextlib.nullcontext()
        calls = (self._asked_for(p, room) for p in parts)
        out = [v for found in await asyncio.gather(*calls) for v in found]
        self.dimension = len(out[0]) if out else self.dimension
        return out

    async def _asked_for(
        self, texts: Sequence[str], room: contextlib.AbstractAsyncContextManager[object]
    ) -> list[list[float]]:
        """The vectors of as many texts as one call takes."""
        async with room:
            began, outcome, tokens = time.monotonic(), "ok", 0
            try:
                reply = await self._call(texts)
                tokens = int(reply.usage.prompt_tokens) if reply.usage else 0
                vectors = [_vector(row["embedding"]) for row in reply.data]
                if len(vectors) != len(texts):
                    raise ModelError("The embedding model left texts out.", "Try again.", outcome="incomplete")
                return [(v / (np.linalg.norm(v) or 1.0)).tolist() for v in vectors]
            except ModelError:
                outcome = "incomplete"
                raise
            except Exception as error:
                outcome = type(error).__name__
                raise ModelError(
                    "The embedding model did not answer.", "Check index.embedder.", outcome=outcome
                ) from error
            finally:
                self._on_call(self._attempt(len(texts), began, outcome, tokens))

    async def _call(self, texts: Sequence[str]) -> Any:
        import litellm

        packed = self._packed
        try:
            return await litellm.aembedding(
                model=self._settings.embedder,
                input=list(texts),
                encoding_format="base64" if packed else None,
                api_base=self._settings.embedder_api_base or None,
                api_key=self._key or "none",
                timeout=30,
                num_retries=2,
            )
        except (litellm.BadRequestError, litellm.UnprocessableEntityError):
            if not packed:
                raise
        self._packed = False
        return await self._call(texts)

    def _attempt(self, count: int, began: float, outcome: str, tokens: int) -> Attempt:
        feature: Literal["embed_query", "embed_index"] = "embed_index" if count > 3 else "embed_query"
        return Attempt(
            feature=feature,
            kind="embedding",
            provider=self._provider,
            model_asked=self._settings.embedder,
            model_served=self._settings.embedder,
            outcome=outcome,
            ms=round((time.monotonic() - began) * 1000),
            tokens_in=tokens,
            cost_nano=round(tokens * self._settings.embedder_price * 1000),
        )


def _vector(embedding: Any) -> Any:
    """A vector as a server gives it: numbers, or their four bytes each in base64."""
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.asarray(embedding, dtype=np.float32)
