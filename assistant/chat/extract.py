"""The model that needs no model: it quotes the sentences of the passages that answer best, as quotations.

It is a LiteLLM provider like any other, the keyless default, the last fallback and the double in tests.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from typing import Any

from litellm import CustomLLM
from litellm.types.utils import GenericStreamingChunk, ModelResponse

from assistant.chat import evidence
from assistant.chat.cite import fenced
from assistant.domain import Embedder
from assistant.errors import ModelError
from assistant.index import facts, table_rows
from assistant.index.page import without_tab
from assistant.index.sentences import is_code, stems
from assistant.texts import say

PROVIDER = "builtin"
MODEL = f"{PROVIDER}/extract"
QUOTES = 3
WINDOW_CHARS = 600
# What is quoted beside a sentence, and beside a row, which says by itself what it means.
NEAR, NEAR_ROW = (1, -1, 2, -2), (1, -1)
CANDIDATE_PASSAGES = 5
# A further quotation must be nearly as good as the best one.
FURTHER = 0.7
# What a sentence counts whose passage has a newer one about the same thing.
OLDER = 0.6
# What a word counts that a sentence lacks, where it stands beside: in its title, its neighbours, or in what it stands
# under (its heading, or the question or opening that it follows).
IN_TITLE, BESIDE, UNDER = 0.25, 0.5, 0.9
# What it counts that a row is named by what is asked for and by nothing else: London's row, not the one outside it.
NAMED = 0.25
# A heading is short.
HEADING_WORDS = 10
_APART = " · "
# Lines of code that are shown below what opens it.
LINES_OF_CODE = 15
# What Markdown acts on: an underscore inside a word, a lone angle bracket or tilde is only text.
# An address will be set as code, where an escape would be shown, and copied; and so is what the document has as code.
_ACTIVE = re.compile(
    r"(?P<verbatim>https?://[^\s\\`*\[\]<>~]+|(?<![`\\])`[^`\n|]{1,200}`(?!`))|"
    r"[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|~(?=~)"
)
# What makes an item, a heading or a quotation of a line; a minus belongs to its number.
_MARKS = re.compile(r"^(?:[>•\s]+|[#*+\-–]+(?=\s))+")
# What makes a numbered list of a line; with a blank that does not break it is only text.
_NUMBERED = re.compile(r"^(\d{1,9}[.)]) ")
# A line that begins like an item of a list, and one that is short, as the lines of a list without marks are.
_ITEM = re.compile(r"\s*(?:[-*•–]|\(?\w{1,3}[.)])\s")
_SHORT = 40
_ENDS = re.compile(r"[.!?:;,][\"'”’)\]*_]*$")
_CAPITALS = re.compile(r"[^\W\d_]{3,}")
_NOT_HEADING = re.compile(r"[.!?:;,]\W*$|^\W*[-*•–]\s|^(?!.*[^\W\d_]{3})", re.DOTALL)
# A line that opens or closes a letter, and says nothing.
_GREETING = re.compile(
    r"[>\s]*(?:(?:dear|hi|hello|hey|good (?:morning|afternoon|evening)|hallo|liebe[rs]?|guten (?:morgen|tag|abend)|"
    r"moin|servus|sehr geehrte[rs]?)(?:\s+[^\s,:;?!]+){0,4}(?<!\.)|"
    r"(?:(?:with |mit )?(?:best|kind|warm|many|viele|beste|liebe|freundlichen|herzliche) "
    r"(?:regards|wishes|thanks|grüße|grüßen)|yours (?:sincerely|faithfully|truly)))\s*[,!]?",
    re.IGNORECASE,
)
# What asks for a measure is answered by one: of “how long” no answer says “long”.
_MEASURE = re.compile(
    r"\b(how)\s+(?:long|often|far|soon|late|early|quickly|fast|high|big|large|old)\b|"
    r"\b(wie)\s+(?:lange?|oft|weit|bald|spät|früh|schnell|hoch|groß|alt)\b",
    re.IGNORECASE,
)
# What may be answered by where a link leads.
_ASKS_WHERE = re.compile(
    r"\b(?:where|links?|urls?|address(?:es)?|web ?sites?|sites?|pages?|forms?|portals?|dashboards?|e-?mails?|contacts?|"
    r"register|apply|download|sign ?up|wo|seiten?|formulare?|adressen?|anmelden|herunterladen|kontakt)\b",
    re.IGNORECASE,
)
# Code, and to whom a mail went.
_NO_ANSWER = re.compile(r"[{};=<>|\\]{2,}|^\s*(?:\$|#!|//|import |def |<|To: |Cc: )|\{%|\{\{")


class _Sentence:
    def __init__(self, passage: evidence.Numbered, start: int, end: int, position: int, following: str) -> None:
        self.passage, self.start, self.end, self.position = passage, start, end, position
        self.text = passage.text[start:end]
        self.stems = Counter(stems(self.text))
        self.score = 0.0
        # The names of a table's columns say nothing by themselves; each row says them again.
        self.names_columns = table_rows.names_columns(self.text, following)
        self.is_heading = False
        self.is_code = is_code(passage.text, start)
        # A block of code that no sentence opens is told by what it stands under.
        self.is_block_alone = False
        alone = passage.text[:start].rstrip(" \t")[-1:] in ("", "\n") and passage.text[end : end + 1] in ("", "\n")
        self.is_greeting = alone and _GREETING.fullmatch(self.text) is not None
        # The question of an entry of questions and answers is a line of its own.
        self.opens_entry = alone and self.text.endswith("?")
        self.under: frozenset[str] = frozenset()

    def quotable(self) -> bool:
        if self.is_code:
            return self.is_block_alone
        said = len(self.text) >= 12 and not (self.names_columns or self.is_heading or self.is_greeting)
        return said and not self.text.endswith("?") and not _NO_ANSWER.search(self.text)


def _sentences(passage: evidence.Numbered) -> list[_Sentence]:
    """The sentences of a passage, each with the words of the heading, and of a list's opening, that it stands under."""
    places = [*table_rows.sentences(passage.text)]
    following = [*(passage.text[a:b] for a, b in places[1:]), ""]
    found = [_Sentence(passage, a, b, i, following[i]) for i, (a, b) in enumerate(places)]
    heading: frozenset[str] = frozenset()
    opening: frozenset[str] = frozenset()
    for sentence, is_heading in zip(found, _headings(passage.text, places), strict=True):
        if not _ITEM.match(passage.text, passage.text.rfind("\n", 0, sentence.start) + 1):
            opening = frozenset()
        sentence.is_heading, sentence.under = is_heading, heading | opening
        if is_heading:
            heading = frozenset(sentence.stems)
        if sentence.text.endswith(":"):
            opening = frozenset(sentence.stems)
        before = found[sentence.position - 1] if sentence.position else None
        sentence.is_block_alone = sentence.is_code and (before is None or before.is_heading)
    return found


def _block(around: Sequence[_Sentence], at: int) -> list[_Sentence]:
    """The lines of code that begin at this place."""
    return [*itertools.takewhile(lambda s: s.is_code, (around[i] for i in range(at, len(around))))]


def _headings(text: str, places: Sequence[tuple[int, int]]) -> Iterator[bool]:
    """For each sentence whether it is a heading: a short line alone that ends like none, above one that is not.

    One in capitals is told by them, and needs no empty line below it.
    """
    alike, capitals = [], []
    for start, end in places:
        line = text[start:end]
        capitals.append(line.isupper() and len(_CAPITALS.findall(line)) > 1)
        below = "\n" if capitals[-1] else "\n\n"
        alone = text[:start].rstrip(" \t")[-1:] in ("", "\n") and text[end : end + 2].startswith(below)
        short = len(line.split()) <= HEADING_WORDS and not table_rows.is_line_of_table(line)
        alike.append(alone and short and not _NOT_HEADING.search(line) and not is_code(text, start))
    for i, one in enumerate(alike):
        # Short lines one below the other are a list; so are lines in capitals.
        yield one and not [*(capitals if capitals[i] else alike), True][i + 1]


def _lexical(question: Sequence[str], sentences: Sequence[_Sentence]) -> None:
    """Score by the share of the question's idf that a sentence covers, and in part what it stands under and beside."""
    total = len(sentences) + 1
    frequency = Counter(s for sentence in sentences for s in sentence.stems)
    idf = {s: math.log(total / (1 + frequency[s])) + 0.3 for s in set(question)}
    whole = sum(idf.values()) or 1.0
    for i, sentence in enumerate(sentences):
        near = dict.fromkeys(stems(sentence.passage.title), IN_TITLE)
        for other in (i + 1, i - 1):
            if 0 <= other < len(sentences) and sentences[other].passage is sentence.passage:
                opens = other < i and sentences[other].text.endswith(("?", ":"))
                near |= dict.fromkeys(sentences[other].stems, UNDER if opens else BESIDE)
        for line in [] if sentence.is_code and not sentence.is_block_alone else _block(sentences, i + 1):
            if line.passage is sentence.passage:
                near |= dict.fromkeys(line.stems, UNDER)
        near |= dict.fromkeys(sentence.under, UNDER)
        covered = sum(w * (1.0 if s in sentence.stems else near.get(s, 0.0)) for s, w in idf.items())
        sentence.score = covered / whole + NAMED * _named(sentence.text, idf)


def _asked(question: str) -> list[str]:
    """The stems of what a question asks for."""
    return stems(_MEASURE.sub(lambda found: found[1] or found[2], question))


def _named(line: str, asked: Container[str]) -> float:
    """The share of the words in a row's first cell, which names it, that are asked for; 0 for what is no row."""
    row = table_rows.cells(line)
    names = set(stems(row[0].value)) if row else set()
    return sum(s in asked for s in names) / (len(names) or 1)


def _prior(n: int) -> float:
    """How much a passage's rank counts: the search saw more than words."""
    return 0.25 / n


async def quote(prompt: str, embedder: Embedder | None = None) -> str:
    """The answer as Markdown quotations: best sentence in bold, in its surroundings, each with its number."""
    passages, question, language = evidence.read(prompt)
    of_passage = {p.n: _sentences(p) for p in passages}
    sentences = [s for found in of_passage.values() for s in found]
    nearest = {p.n for p in passages[:CANDIDATE_PASSAGES]}
    candidates = [s for s in sentences if s.passage.n in nearest and s.quotable()]
    if not candidates:
        return say(language, "chat.declined")
    _lexical(_asked(question), sentences)
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
    shown: set[tuple[int, int]] = set()
    asked, targets = frozenset(_asked(question)), _ASKS_WHERE.search(question) is not None
    quotes = [_quotation(of_passage[s.passage.n], s.position, asked, shown, targets=targets) for s in chosen]
    return "\n\n".join([say(language, "chat.quoted"), *quotes])


def _quotation(
    around: Sequence[_Sentence], at: int, asked: frozenset[str], shown: set[tuple[int, int]], *, targets: bool
) -> str:
    """A sentence in its surroundings with its number, and below it the block of code that it opens.

    `targets` says that where its links lead is to be told.
    """
    one = around[at]
    if one.is_code:
        text, end = _flat(around[at - 1].text if at else one.passage.title), at
    else:
        text, end = _window(around, at, asked, shown, targets=targets)
    block = _block(around, end)
    if not block or (block[0].passage.n, block[0].position) in shown:
        return f"> {text} [{one.passage.n}]"
    shown.update((line.passage.n, line.position) for line in block)
    lines = without_tab(_lines(one.passage.text, block[0].start, block[-1].end)).split("\n")
    code = fenced("\n".join([*lines[:LINES_OF_CODE], *(["…"] if len(lines) > LINES_OF_CODE else [])]))
    return "\n> ".join([f"> {text} [{one.passage.n}]", *code.split("\n")])


def _lines(text: str, start: int, end: int) -> str:
    """The whole lines between two places."""
    return text[text.rfind("\n", 0, start) + 1 : end]


def _window(
    around: Sequence[_Sentence], at: int, asked: frozenset[str], shown: set[tuple[int, int]], *, targets: bool
) -> tuple[str, int]:
    """A sentence in bold among its neighbours, as they stand in the passage, cut at sentence ends; and their end.

    Rows of a table are lines, each set apart; the names of its columns end a window, for every row says them again. A
    heading begins one, and so does the question of an entry of questions and answers; a greeting stands in none.
    Nothing is shown twice: `shown` holds the passage and place of what was, and grows.
    """
    first = last = at
    size = len(around[at].text)
    for step in NEAR_ROW if table_rows.is_line_of_table(around[at].text) else NEAR:
        other = at + step
        if other not in (first - 1, last + 1) or not 0 <= other < len(around):
            continue
        beside, upper = around[other], around[first if step < 0 else other]
        if beside.names_columns or beside.is_greeting or beside.is_code or (beside.passage.n, other) in shown:
            continue
        if upper.is_heading or upper.opens_entry:
            continue
        if size + len(beside.text) < WINDOW_CHARS:
            first, last, size = min(first, other), max(last, other), size + len(beside.text)
    while last > at and around[last].text.endswith("?"):
        # What answers it was cut off.
        last -= 1
    out = ""
    for sentence in around[first : last + 1]:
        shown.add((sentence.passage.n, sentence.position))
        best = sentence.position == at
        # A page shows no addresses either.
        said = sentence.text if best and targets else facts.without_targets(sentence.text)
        piece = _flat(table_rows.as_line(said, WINDOW_CHARS, asked))
        if out:
            out += _APART if _set_apart(around[sentence.position - 1], sentence) else " "
        out += f"**{piece}**" if best else piece
    return out, last + 1


def _set_apart(one: _Sentence, after: _Sentence) -> bool:
    """Whether two neighbours are lines that would run into each other: a heading, rows, items of a list."""
    if one.is_heading or table_rows.is_line_of_table(one.text) or table_rows.is_line_of_table(after.text):
        return True
    between = one.passage.text[one.end : after.start]
    if "\n" not in between or _ENDS.search(one.text):
        return False
    short = len(one.text) < _SHORT and len(after.text) < _SHORT
    return "\n\n" in between or short or bool(_ITEM.match(after.text))


def _flat(text: str) -> str:
    """One line in which nothing of the document acts as Markdown."""
    line = _MARKS.sub("", " ".join(text.split()))
    line = _ACTIVE.sub(lambda found: found["verbatim"] or f"\\{found[0]}", line)
    return _NUMBERED.sub("\\1\N{NO-BREAK SPACE}", line)


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
