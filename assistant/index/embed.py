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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from filelock import FileLock

from assistant.domain import Attempt
from assistant.errors import ModelError
from assistant.index import rerank, weights
from assistant.index.words import WordTable
from assistant.settings import BUILT_IN, IndexSettings, Settings

MAX_TOKENS = 256
BATCH = 64
CALLS_AT_ONCE = 4
# How long a question waits for its vector, how long a provider that gave none is left alone, and how many are kept.
QUESTION_S, REST_S, REMEMBERED = 5.0, 15.0, 256
# Providers that speak OpenAI's protocol, whose vectors come as bytes when asked.
_PACKED = frozenset({"openai", "azure", "hosted_vllm"})
KEPT, KEEP_CHARS, KEPT_QUESTIONS = 6_000, 600, 256
LAYERS, HEADS, WIDTH = 6, 12, 384
PROJECTION = "projection"
T = TypeVar("T")
OnCall = Callable[[Attempt], None]


def embedder_from(settings: Settings, on_call: OnCall | None = None, *, hurried: bool = False) -> rerank.Reader:
    """The embedder that `index.embedder` names; `on_call` is told of every call of a paid one.

    `hurried` is for whoever answers people: see `LiteLLMEmbedder`. Many ask at once, so the built-in model reads the
    texts of each one after the other.
    """
    model = partial(MiniLM, settings.models_dir, threads=1 if hurried else 0)
    if settings.index.embedder == BUILT_IN:
        return model()
    key = settings.environment(settings.index.embedder_api_key_env)
    words = WordTable(settings.models_dir) if settings.index.word_codes == "table" else model()
    return LiteLLMEmbedder(settings.index, key, words, on_call, hurried=hurried)


class MiniLM:
    """all-MiniLM-L6-v2 as an int8 ONNX graph, rebuilt once from the packaged weights: 23 MB, no torch.

    Vectors have 384 floats and unit length; texts are cut at 256 tokens, as the model was trained. A text is a pass of
    its own, on one core, and `threads` of them (0: as many as there are cores) are under way at once: many in one pass
    do not fit into a core's cache and take twice as long (docs/decisions/0019-one-text-a-pass.md). What it is read with
    would also colour its vector, for the int8 steps are scaled to the whole pass.
    """

    fingerprint = "minilm-l6-v2-int8-3"
    # Of another graph the vectors may still be the same: then nothing need be embedded again.
    graph = "minilm-l6-v2-int8-4.onnx"
    dimension = WIDTH
    kind: rerank.WordCodes = "model"
    word_codes: rerank.WordCodes = "model"

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._folder = folder
        self._threads = threads or os.cpu_count() or 1
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._questions: OrderedDict[str, rerank.Asked] = OrderedDict()
        self._keeping = threading.Lock()
        self._loading = threading.Lock()
        self._passes = ThreadPoolExecutor(self._threads, "passes")

    async def ready(self) -> None:
        """Load the model while something else is done."""
        await asyncio.to_thread(self._loaded)

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
            found[fresh[0]] = self._question(fresh[0])[0].tolist()
        else:
            vectors = self._passed(fresh, lambda _, vector: vector, ["embedding"])
            self._keep(fresh, vectors)
            found |= {t: v.tolist() for t, v in zip(fresh, vectors, strict=True)}
        return [found[t] for t in texts]

    def _keep(self, texts: Sequence[str], vectors: Sequence[Any]) -> None:
        with self._keeping:
            self._kept |= {t: v for t, v in zip(texts, vectors, strict=True) if len(t) <= KEEP_CHARS}
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _question(self, text: str) -> tuple[Any, rerank.Asked]:
        """The vector of a question, and the question word by word."""
        ((encoded, vector, rows),) = self._passed([text], lambda *read: read)
        asked = rerank.asked(encoded.tokens, rows, weights.rarity(encoded.ids))
        self._keep([text], [vector])
        with self._keeping:
            self._questions[text] = asked
            while len(self._questions) > KEPT_QUESTIONS:
                self._questions.popitem(last=False)
        return vector, asked

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The vector of each passage and its codes for `rerank.scores`, from one pass."""

        def made(encoded: Any, vector: Any, rows: Any) -> tuple[list[float], bytes]:
            return vector.tolist(), rerank.encode(encoded.tokens, rows)

        return await asyncio.to_thread(self._passed, texts, made)

    async def codes(self, texts: Sequence[str]) -> list[bytes]:
        """The codes of each passage, for one that has its vectors from elsewhere."""
        return [codes for _, codes in await self.read(texts)]

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""

        kept = self._questions.get(question)
        return kept or (await asyncio.to_thread(self._question, question))[1]

    def _passed(
        self, texts: Sequence[str], made: Callable[..., T], outputs: Sequence[str] = ("embedding", "projected")
    ) -> list[T]:
        """What `made` makes of each text's word pieces, vector and projected token states (200 kB, so not kept)."""
        session, tokenizer = self._loaded()

        def one(encoded: Any) -> T:
            read = session.run(list(outputs), {"input_ids": np.array([encoded.ids], dtype=np.int64)})
            return made(encoded, *(output[0] for output in read))

        encoded = tokenizer.encode_batch(list(texts))
        return list(self._passes.map(one, encoded) if min(self._threads, len(texts)) > 1 else map(one, encoded))

    def _loaded(self) -> tuple[Any, Any]:
        with self._loading:
            return self._session, self._tokenizer

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = weights.vocabulary()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Fused with its addition, a layer's norm takes four times as long (onnxruntime 1.32): a fifth of a pass.
        fused = ["SkipLayerNormFusion"]
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(self._graph(), options, providers, disabled_optimizers=fused)

    def _graph(self) -> str:
        """The path of the quantised graph, made at the first use; several processes may ask at once."""
        file = self._folder / self.graph
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
        # A scale for each channel: vectors keep a cosine of .994 to full precision, with one for all it is .949. What
        # onnxruntime's own attention gives has no type that the quantiser could infer.
        quantize_dynamic(
            str(whole),
            str(fresh),
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=[PROJECTION],
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        fresh.replace(file)
    finally:
        whole.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _network(published: dict[str, Any]) -> Any:
    """BERT's encoder as ONNX nodes (Devlin 2019, Reimers 2019) for texts of one length.

    It gives the mean of the token states at unit length, and each state as `rerank.projected` has it.
    """
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
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        query, key, value = (linear(x, f"{layer}attention.self.{part}") for part in ("query", "key", "value"))
        mixed = node("MultiHeadAttention", query, key, value, domain="com.microsoft", num_heads=HEADS)
        mixed = linear(mixed, f"{layer}attention.output.dense")
        x = norm(node("Add", x, mixed), f"{layer}attention.output.LayerNorm")
        wide = linear(x, f"{layer}intermediate.dense")
        gate = node("Add", node("Erf", node("Div", wide, scalar(2**0.5))), scalar(1.0))
        wide = node("Mul", node("Mul", wide, gate), scalar(0.5))
        x = norm(node("Add", x, linear(wide, f"{layer}output.dense")), f"{layer}output.LayerNorm")
    mean = node("ReduceMean", x, axes=[1], keepdims=0)
    nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=1, p=2))
    units = node("LpNormalization", x, axis=2, p=2)
    planes = const("hyperplanes", rerank.hyperplanes(WIDTH))
    nodes.append(helper.make_node("MatMul", [units, planes], ["projected"], name=PROJECTION))
    shapes = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])]
    results = [
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", WIDTH]),
        helper.make_tensor_value_info("projected", TensorProto.FLOAT, ["b", "s", rerank.BITS]),
    ]
    graph = helper.make_graph(nodes, "minilm", shapes, results, list(constants.values()))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=9
    )
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
        parts = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
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
