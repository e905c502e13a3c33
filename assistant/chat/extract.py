"""The model that needs no model: it quotes the sentences of the passages that answer best, as quotations.

It is a LiteLLM provider like any other, the keyless default, the last fallback and the double in tests.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

from litellm import CustomLLM
from litellm.types.utils import GenericStreamingChunk, ModelResponse

from assistant.chat import evidence
from assistant.domain import Embedder
from assistant.errors import ModelError
from assistant.index import table_rows
from assistant.index.sentences import stems
from assistant.texts import say

PROVIDER = "builtin"
MODEL = f"{PROVIDER}/extract"
QUOTES = 3
WINDOW_CHARS = 600
CANDIDATE_PASSAGES = 5
# A further quotation must be nearly as good as the best one.
FURTHER = 0.7
# What a sentence counts whose passage has a newer one about the same thing.
OLDER = 0.6
_ROWS = " · "
# What Markdown acts on: an underscore inside a word, a lone angle bracket or tilde is only text.
_ACTIVE = re.compile(r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|~(?=~)")
_CODE = re.compile(r"[{};=<>|\\]{2,}|^\s*(?:\$|#!|//|import |def |<)|\{%|\{\{")


class _Sentence:
    def __init__(self, passage: evidence.Numbered, start: int, end: int, position: int, following: str) -> None:
        self.passage, self.start, self.end, self.position = passage, start, end, position
        self.text = passage.text[start:end]
        self.stems = Counter(stems(self.text))
        self.score = 0.0
        # The names of a table's columns say nothing by themselves; each row says them again.
        self.names_columns = table_rows.names_columns(self.text, following)

    def quotable(self) -> bool:
        said = len(self.text) >= 12 and not self.names_columns
        return said and not self.text.endswith("?") and not _CODE.search(self.text)


def _lexical(question: Sequence[str], sentences: Sequence[_Sentence]) -> None:
    """Score by the share of the question's idf that a sentence, or its neighbours by half, covers."""
    total = len(sentences) + 1
    frequency = Counter(s for sentence in sentences for s in sentence.stems)
    idf = {s: math.log(total / (1 + frequency[s])) + 0.3 for s in set(question)}
    whole = sum(idf.values()) or 1.0
    for i, sentence in enumerate(sentences):
        title = set(stems(sentence.passage.title))
        near: dict[str, float] = {}
        for other in (i + 1, i - 1):
            if 0 <= other < len(sentences) and sentences[other].passage is sentence.passage:
                # What follows a question answers it.
                weight = 0.9 if other < i and sentences[other].text.endswith("?") else 0.5
                near |= dict.fromkeys(sentences[other].stems, weight)
        covered = sum(
            w * (1.0 if s in sentence.stems else near.get(s, 0.25 if s in title else 0.0)) for s, w in idf.items()
        )
        sentence.score = covered / whole


def _prior(n: int) -> float:
    """How much a passage's rank counts: the search saw more than words."""
    return 0.25 / n


async def quote(prompt: str, embedder: Embedder | None = None) -> str:
    """The answer as Markdown quotations: best sentence in bold, in its surroundings, each with its number."""
    passages, question, language = evidence.read(prompt)
    sentences = [
        _Sentence(passage, start, end, i, following)
        for passage in passages[:CANDIDATE_PASSAGES]
        for i, (start, end, following) in enumerate(_with_next(passage.text))
    ]
    candidates = [s for s in sentences if s.quotable()]
    if not candidates:
        return say(language, "chat.declined")
    _lexical(stems(question), sentences)
    if embedder is not None:
        # This is what answers when nothing else does: words must do where no vectors are to be had.
        with contextlib.suppress(ModelError):
            vectors = await embedder.embed([question, *(f"{s.passage.title}: {s.text}" for s in candidates)])
            for sentence, vector in zip(candidates, vectors[1:], strict=True):
                sentence.score += sum(a * b for a, b in zip(vectors[0], vector, strict=True))
    for sentence in candidates:
        sentence.score += _prior(sentence.passage.n)
        sentence.score *= OLDER if sentence.passage.newer else 1.0
    candidates.sort(key=lambda s: -s.score)
    chosen: list[_Sentence] = []
    for sentence in candidates:
        if len(chosen) == QUOTES or (chosen and sentence.score < FURTHER * chosen[0].score):
            break
        if all(s.passage.n != sentence.passage.n or abs(s.position - sentence.position) > 2 for s in chosen):
            chosen.append(sentence)
    quotes = [f"> {_window(s, frozenset(stems(question)))} [{s.passage.n}]" for s in chosen]
    return "\n\n".join([say(language, "chat.quoted"), *quotes])


def _with_next(text: str) -> list[tuple[int, int, str]]:
    """Start and end of each sentence, and the one that follows it."""
    places = list(table_rows.sentences(text))
    following = [text[slice(*p)] for p in places[1:]]
    return [(*p, after) for p, after in zip(places, [*following, ""], strict=True)]


def _window(sentence: _Sentence, asked: frozenset[str]) -> str:
    """The sentence in bold among its neighbours, as they stand in the passage, cut at sentence ends.

    Rows of a table are lines, each set apart; the names of its columns end a window, for every row says them again.
    """
    text = sentence.passage.text
    around = [text[a:b] for a, b in table_rows.sentences(text)]
    names = {n for n, (one, after) in enumerate(pairwise(around)) if table_rows.names_columns(one, after)}
    at = sentence.position
    first = last = at
    size = len(around[at])
    for step in (1, -1, 2, -2):
        other = at + step
        if other not in (first - 1, last + 1) or not 0 <= other < len(around) or other in names:
            continue
        if size + len(around[other]) < WINDOW_CHARS:
            first, last, size = min(first, other), max(last, other), size + len(around[other])
    out = ""
    for i in range(first, last + 1):
        piece = _flat(table_rows.as_line(around[i], WINDOW_CHARS, asked))
        of_table = table_rows.is_line_of_table(around[i]) or (i > first and table_rows.is_line_of_table(around[i - 1]))
        out += (_ROWS if of_table else " ") if out else ""
        out += f"**{piece}**" if i == at else piece
    return out


def _flat(text: str) -> str:
    """One line in which nothing of the document acts as Markdown."""
    line = re.sub(r"^[\s>#*+\-•]+", "", " ".join(text.split()))
    return _ACTIVE.sub(r"\\\g<0>", line)


class ExtractLLM(CustomLLM):  # type: ignore[misc]
    """LiteLLM's door to `quote`."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        super().__init__()
        self._embedder = embedder

    async def acompletion(
        self, model: str, messages: list[dict[str, Any]], model_response: ModelResponse, *args: Any, **kwargs: Any
    ) -> ModelResponse:
        text = await quote(str(messages[-1]["content"]), self._embedder)
        model_response.choices[0].message.content = text
        model_response.choices[0].finish_reason = "stop"
        model_response.model = model
        return model_response

    async def astreaming(
        self, model: str, messages: list[dict[str, Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[GenericStreamingChunk]:
        text = await quote(str(messages[-1]["content"]), self._embedder)
        for piece in re.findall(r"\S+\s*|\s+", text):
            yield _chunk(piece)
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        yield _chunk("", finished=True, usage=usage)


def _chunk(text: str, *, finished: bool = False, usage: dict[str, int] | None = None) -> GenericStreamingChunk:
    return GenericStreamingChunk(
        text=text,
        is_finished=finished,
        finish_reason="stop" if finished else "",
        usage=usage,
        index=0,
        tool_use=None,
    )
