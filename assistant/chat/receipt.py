"""Collects what a turn takes while it runs, and makes the receipt of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from assistant.chat.cite import cited_in
from assistant.domain import (
    Answer,
    Attempt,
    Choice,
    Citation,
    Decision,
    Level,
    Nearest,
    Passage,
    PassageUse,
    PromptUse,
    Receipt,
    SentenceCheck,
    StepTime,
    ToolUse,
    now,
)
from assistant.masking import mask

Outcome = Literal["complete", "stopped", "interrupted", "failed"]


@dataclass
class Record:
    """One turn as it happens. Times on the monotonic clock, so that a changed clock cannot make them negative."""

    answer_id: str
    thread_id: str
    asked: str
    segment: str = ""
    language: str = ""
    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    searched: str = ""
    fused_with: tuple[str, ...] = ()
    filtered: str = ""
    choices: tuple[Choice, ...] = ()
    release: int | None = None
    passages: Sequence[Passage] = ()
    # Documents to look at, where these do not answer.
    nearest: tuple[Nearest, ...] = ()
    decision: Decision = field(default_factory=lambda: Decision(level=Level.DECLINED))
    prompts: list[PromptUse] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    steps: list[StepTime] = field(default_factory=list)
    verification: tuple[SentenceCheck, ...] = ()
    restarts: int = 0
    tools: list[ToolUse] = field(default_factory=list)
    # What tools found, for the model to read.
    looked_up: str = ""
    cache: Literal["off", "miss", "hit"] = "off"
    # Whether the answer given before was made of quotations.
    quoted_before: bool = False
    # Whether the answer carries a remark that is true of this turn only: no money left, cut at its limit.
    said: bool = False
    # Sentences of ours that stand before the answer.
    remarks: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is put into the list is its note."""
        began, notes = time.monotonic(), list[str]()
        try:
            yield notes
        finally:
            ms = round((time.monotonic() - began) * 1000, 1)
            self.steps.append(StepTime(name=name, ms=ms, note="; ".join(notes)))

    def shown(self) -> None:
        """The first word reached the person."""
        if self.first is None:
            self.first = time.monotonic()

    def answer(self, text: str, outcome: Outcome) -> Answer:
        """What the turn ends with: its text, what that cites, its receipt."""
        numbers = [n for n in cited_in(text) if 1 <= n <= len(self.passages)]
        return Answer(
            id=self.answer_id,
            thread=self.thread_id,
            text=text,
            abstained=self.decision.level is Level.DECLINED,
            citations=tuple(_citation(n, self.passages[n - 1]) for n in numbers),
            nearest=self.nearest,
            choices=self.choices,
            receipt=self._receipt(numbers, outcome),
        )

    def _receipt(self, cited: Sequence[int], outcome: Outcome) -> Receipt:
        return Receipt(
            id=self.answer_id,
            thread=self.thread_id,
            # The question itself stands in the thread; a receipt is what admins and traces read.
            asked=mask(self.asked),
            searched=mask(self.searched or self.asked),
            fused_with=tuple(mask(text) for text in self.fused_with),
            filtered=mask(self.filtered),
            choices=tuple(
                Choice(label=mask(c.label), question=mask(c.question), documents=c.documents) for c in self.choices
            ),
            release=self.release,
            passages=tuple(
                PassageUse(
                    n=n,
                    passage=p.id,
                    document_id=p.document_id,
                    document=p.document,
                    title=p.title,
                    place=p.place.label(),
                    text_hash=p.text_hash,
                    scores=p.scores,
                    cited=n in cited,
                )
                for n, p in enumerate(self.passages, 1)
            ),
            decision=self.decision,
            prompts=tuple(self.prompts),
            attempts=tuple(self.attempts),
            steps=tuple(self.steps),
            tools=tuple(self.tools),
            cache=self.cache,
            quoted_before=self.quoted_before,
            verification=tuple(c.model_copy(update={"reason": mask(c.reason)}) for c in self.verification),
            outcome=outcome,
            restarts=self.restarts,
            segment=self.segment,
            language=self.language,
            tokens_in=sum(a.tokens_in for a in self.attempts),
            tokens_out=sum(a.tokens_out for a in self.attempts),
            cost_nano=sum(a.cost_nano for a in self.attempts) + sum(t.cost_nano for t in self.tools),
            ms_first=round((self.first - self.began) * 1000) if self.first is not None else None,
            ms=round((time.monotonic() - self.began) * 1000),
            trace_id=trace_id(self.answer_id),
            created_at=now(),
        )


def _citation(n: int, passage: Passage) -> Citation:
    return Citation(
        n=n,
        document=passage.document,
        title=passage.title,
        place=passage.place.label(),
        quote=passage.text,
        passage=passage.id,
        document_id=passage.document_id,
    )


def trace_id(answer_id: str) -> str:
    """The trace of an answer, 32 hex digits: derived the way Langfuse derives it from a seed, so ratings find it.

    https://langfuse.com/docs/observability/features/trace-ids-and-distributed-tracing
    """
    return hashlib.sha256(answer_id.encode()).hexdigest()[:32]
