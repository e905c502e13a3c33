"""Answers that may be given once more: the same question, rights, release, prompts and models, not long ago.

Kept in this process only. An entry holds what the answer showed, never who asked.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul

from assistant.chat.prompts import Prompt
from assistant.chat.receipt import Record
from assistant.domain import Decision, Level, Passage, SentenceCheck, Verdict
from assistant.index.retrieve import Today
from assistant.index.sentences import stems
from assistant.settings import Settings

# Of 276 questions about two companies the nearest pair with different answers has a cosine of .84 ("… do I get", "… can
# I ask for"), the nearest that means the same .935.
SIMILAR = 0.92
KEPT = 500
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Scope:
    """What must be the same for an answer to hold: the asker's rules, the release, and how answers are made."""

    rules: tuple[int, ...]
    release: int
    way: str


@dataclass(frozen=True)
class Entry:
    """A finished answer. `at` is on the monotonic clock, in seconds."""

    scope: Scope
    question: str
    vector: tuple[float, ...]
    text: str
    passages: tuple[Passage, ...]
    decision: Decision
    verification: tuple[SentenceCheck, ...]
    quoted: bool
    at: float

    def minutes(self) -> int:
        """How long ago it was given, in whole minutes."""
        return int((time.monotonic() - self.at) / 60)


def scope(today: Today, settings: Settings, prompt: Prompt, language: str) -> Scope:
    """Where the answer to a question of today may be kept."""
    models = ",".join(f"{d.name}={d.model}" for d in settings.models.deployments)
    way = f"{prompt.name} {prompt.version}|{models}|{language}|{settings.chat.passages}|{settings.chat.judge}"
    return Scope(today.rules, today.opened.row.id or 0, way)


def sound(record: Record) -> bool:
    """Whether an answer came out as it should: no fallback, no restart, nothing unsupported, nothing of this turn."""
    return (
        record.decision.level is Level.ANSWERED
        and all(a.outcome == "ok" for a in record.attempts)
        and all(c.verdict is not Verdict.UNSUPPORTED for c in record.verification)
        and not (record.restarts or record.said or record.choices)
    )


class AnswerCache:
    """The last answers, for `minutes` each; 0 keeps none."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = minutes * 60
        self._clock = clock
        self._entries: OrderedDict[tuple[Scope, str], Entry] = OrderedDict()

    @property
    def on(self) -> bool:
        return self._seconds > 0

    def find(self, scope: Scope, question: str, vector: Sequence[float]) -> Entry | None:
        """The answer to this question or to one that means the same, youngest first.

        Questions that differ in a number never mean the same, however near they are.
        """
        self._forget_old()
        if (exact := self._entries.get((scope, _plain(question)))) is not None:
            return exact
        numbers = _numbers(question)
        near = (
            e
            for e in reversed(self._entries.values())
            if e.scope == scope and _numbers(e.question) == numbers and sum(map(mul, e.vector, vector)) >= SIMILAR
        )
        return next(near, None)

    def keep(self, entry: Entry) -> None:
        """Keep an answer in place of an older one to the same question."""
        key = (entry.scope, _plain(entry.question))
        self._entries.pop(key, None)
        self._entries[key] = entry
        while len(self._entries) > KEPT:
            self._entries.popitem(last=False)

    def drop(self, entry: Entry) -> None:
        """Forget an answer that no longer holds."""
        self._entries.pop((entry.scope, _plain(entry.question)), None)

    def _forget_old(self) -> None:
        since = self._clock() - self._seconds
        for key in [k for k, e in self._entries.items() if e.at <= since]:
            del self._entries[key]


def _plain(question: str) -> str:
    return " ".join(stems(question)) or question.strip().lower()


def _numbers(question: str) -> list[str]:
    return sorted(_NUMBER.findall(question))
