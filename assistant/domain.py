"""The words of the product as plain data. Nothing here knows a library but pydantic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

EVERYONE = "everyone"
ADMINS = "admins"
NANO = 1_000_000_000


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class Plain(BaseModel):
    """Immutable data that rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Asker(Plain):
    """Who asks. `groups` always holds `everyone`. `program`: a key asks for the person, who does not sit before it."""

    person_id: str
    email: str
    name: str = ""
    groups: frozenset[str] = frozenset({EVERYONE})
    program: bool = False

    @property
    def is_admin(self) -> bool:
        return ADMINS in self.groups


class Place(Plain):
    """Where a passage stands in its document. `start` and `end` are character offsets in the parsed text."""

    headings: tuple[str, ...] = ()
    page: int | None = None
    sheet: str | None = None
    start: int = 0
    end: int = 0

    def label(self) -> str:
        """The place as a person says it: `page 2 · Carrying days over`."""
        parts = [f"page {self.page}"] if self.page is not None else []
        parts += [f"sheet {self.sheet}"] if self.sheet else []
        return " · ".join([*parts, *(heading.rstrip(": ") for heading in self.headings)])


class Scores(Plain):
    """`text` is BM25, `vector` cosine similarity, `fused` the normalised sum that orders the list.

    `reranked` is what a cross-encoder gave, where there is one: its order then counts.
    """

    text: float = 0.0
    vector: float = 0.0
    fused: float = 0.0
    reranked: float | None = None


class Passage(Plain):
    """A chunk as shown to a person. `document` is the path inside its source, `access` its rule's id."""

    id: str
    document_id: int
    document: str
    title: str
    text: str
    place: Place
    access: int
    text_hash: str
    scores: Scores = Scores()


class Level(StrEnum):
    """How much the evidence carries; `asked`: it carries several things, so a question was asked back."""

    ANSWERED = "answered"
    WEAK = "weak"
    ASKED = "asked"
    DECLINED = "declined"


class Decision(Plain):
    """Whether to answer. `score` is in 0..1, against `threshold`; `reason` is for a person."""

    level: Level
    score: float = 0.0
    threshold: float = 0.0
    reason: str = ""
    signals: dict[str, float] = Field(default={}, description="what the score was made of, by name")


class Attempt(Plain):
    """One call of a model, failed ones too. Milliseconds on a monotonic clock, cost in nano-dollars."""

    feature: str
    kind: Literal["chat", "embedding", "rerank"] = "chat"
    tier: str = ""
    provider: str = ""
    model_asked: str
    model_served: str = ""
    outcome: str = "ok"
    ms_first: int | None = None
    ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost_nano: int = 0


class StepTime(Plain):
    """One step of the turn: how long it took and what it did, in a few words."""

    name: str
    ms: float
    note: str = ""


class PassageUse(Plain):
    """A passage that the answer was given. `n` is its citation number; its text is looked up, never stored here."""

    n: int
    passage: str
    document_id: int
    document: str
    title: str
    place: str
    text_hash: str
    scores: Scores
    cited: bool = False


class Verdict(StrEnum):
    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    UNCITED = "uncited"


class SentenceCheck(Plain):
    """What verification found of one sentence; `start` and `end` are offsets in the answer's text."""

    start: int
    end: int
    citations: tuple[int, ...] = ()
    verdict: Verdict
    reason: str = ""


class PromptUse(Plain):
    """A prompt by its file name and the version in its front matter."""

    name: str
    version: str


class Choice(Plain):
    """A further question that is offered under an answer; asking it is one click. `label` is what the button says.

    `documents` are those that it is then searched in; none: all.
    """

    label: str
    question: str
    documents: tuple[int, ...] = ()


class ToolUse(Plain):
    """One call of a tool. `by` says whether rules or a model chose it; `documents` are those that it named or read.

    `limit_ms` is what it was given, `groups` are those who may call it.
    """

    name: str
    arguments: dict[str, str] = {}
    by: Literal["rules", "model"]
    outcome: Literal["ok", "empty", "refused", "timeout", "failed", "started"]
    ms: float = 0
    limit_ms: int = 0
    cost_nano: int = 0
    groups: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()


def quoted(attempts: Sequence[Attempt]) -> bool:
    """Whether the built-in model, which quotes, gave the answer."""
    answers = [a for a in attempts if a.kind == "chat" and a.feature == "answer"]
    return bool(answers) and any("extract" in name for name in (answers[-1].provider, answers[-1].model_served))


class Receipt(Plain):
    """What one answer took. Published as `docs/receipt.schema.json`; stored with the answer."""

    schema_version: Literal[1] = 1
    id: str = Field(description="id of the answer's message")
    thread: str
    asked: str = Field(description="the question as the person wrote it")
    searched: str = Field(description="the question as it was searched")
    fused_with: tuple[str, ...] = Field(default=(), description="earlier texts of the thread whose scores were added")
    filtered: str = Field(default="", description="what restricted the search: words of the question, a project")
    choices: tuple[Choice, ...] = Field(default=(), description="questions offered under the answer")
    release: int | None = None
    passages: tuple[PassageUse, ...] = ()
    decision: Decision
    prompts: tuple[PromptUse, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    steps: tuple[StepTime, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    cache: Literal["off", "miss", "hit"] = "off"
    quoted_before: bool = Field(default=False, description="the answer given once more is made of quotations")
    verification: tuple[SentenceCheck, ...] = ()
    outcome: Literal["complete", "stopped", "interrupted", "failed"] = "complete"
    restarts: int = 0
    segment: str = ""
    language: str = Field(default="", description="the language that our own words in the answer are in")
    tokens_in: int = 0
    tokens_out: int = 0
    cost_nano: int = Field(default=0, description="nano-dollars: 1,000,000,000 are one dollar")
    ms_first: int | None = Field(default=None, description="milliseconds from the question to the first word")
    ms: int = 0
    trace_id: str = ""
    created_at: datetime

    @property
    def quoted(self) -> bool:
        """Whether the answer was not written but quoted, now or before."""
        return self.quoted_before or quoted(self.attempts)

    def rests_on(self) -> frozenset[int]:
        """The documents whose passages the answer was given, and those that tools named or read for it."""
        return frozenset({p.document_id for p in self.passages} | {d for t in self.tools for d in t.documents})


class Citation(Plain):
    """A number in an answer and what it stands for. `quote` is the passage's text as it was searched."""

    n: int
    document: str
    title: str
    place: str
    quote: str
    passage: str = ""
    document_id: int = 0


class Nearest(Plain):
    """A document to look at when the documents do not answer; `owner` is whom to ask, if known."""

    document_id: int
    document: str
    title: str
    owner: str = ""


class Answer(Plain):
    """What a turn ends with. `citations` holds exactly the numbers that stand in `text`."""

    id: str
    thread: str
    text: str
    abstained: bool
    citations: tuple[Citation, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    choices: tuple[Choice, ...] = ()
    receipt: Receipt


class Stage(Plain):
    """The turn reached a step that a person may wait for."""

    kind: Literal["stage"] = "stage"
    name: str


class Delta(Plain):
    """More of the answer's text, safe to show."""

    kind: Literal["delta"] = "delta"
    text: str


class Restart(Plain):
    """What was shown so far is void: a provider broke off and another begins anew."""

    kind: Literal["restart"] = "restart"
    reason: str


class Final(Plain):
    """The turn is over and stored."""

    kind: Literal["final"] = "final"
    answer: Answer


Event = Stage | Delta | Restart | Final


class Case(BaseModel):
    """One line of a case file. The last of `turns` is asked; any one of `answer_contains` proves the answer."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: str
    turns: list[str] = Field(min_length=1)
    doc: str | None = None
    also: list[str] = []
    answer_contains: list[str] = []
    kind: str = "single"
    asked_as: str | None = Field(default=None, alias="as")


class Embedder(Protocol):
    """Turns texts into unit vectors. `fingerprint` changes whenever the vectors would."""

    fingerprint: str
    dimension: int

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector of `dimension` floats for each text, in order."""
        ...


class Progress(Protocol):
    """Receives how far a run is; called often, so it must be cheap."""

    def __call__(self, done: int, total: int, message: str) -> None: ...
