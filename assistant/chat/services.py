"""What every turn uses, built once; and what a call of a model beside the answer may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from assistant.chat import cache, decide, guard
from assistant.chat.growing import Growing
from assistant.chat.models import Call, Models, Tier
from assistant.chat.prompts import Prompt
from assistant.chat.receipt import Record
from assistant.database.engine import Database
from assistant.domain import NANO
from assistant.index.retrieve import Knowledge
from assistant.settings import Settings
from assistant.texts import say


@dataclass(frozen=True)
class Route:
    """The tier that answers, whether only quoting is left (no model, or no money), and what to tell of it."""

    tier: Tier
    quoting: bool = False
    why: str = ""


@dataclass(frozen=True)
class Services:
    """What every turn uses; built once."""

    settings: Settings
    db: Database
    knowledge: Knowledge
    models: Models
    prompts: dict[str, Prompt]
    rate: guard.RateLimit
    # Names this process in the rows of answers that it streams.
    owner: str
    # The installation's own.
    calibration: decide.Calibration | None = None
    cache: cache.AnswerCache = field(default_factory=lambda: cache.AnswerCache(0))

    @cached_property
    def growing(self) -> Growing:
        """Keeps what is shown of answers while they are written."""
        return Growing(self.db)

    def route(self, spent: int, language: str) -> Route:
        """Who answers a person whose turns have cost `spent` nano-dollars today."""
        if not (self.models.has("strong") or self.models.has("small")):
            return Route("small", quoting=True)
        if spent >= self.settings.chat.dollars_per_person_day * NANO:
            return Route("small", quoting=True, why=say(language, "chat.over_budget"))
        return Route("strong" if self.models.has("strong") else "small")

    def until(self, record: Record) -> float:
        """When the turn has to be over, on the monotonic clock."""
        return record.began + self.settings.models.turn_s

    @contextmanager
    def job(self, name: str, limit_s: float, record: Record) -> Iterator[tuple[Prompt, Call]]:
        """The prompt and the call of a job beside the answer, until its limit or the turn's end, put on record."""
        prompt, call = self.prompts[name], Call(name, min(self.until(record), time.monotonic() + limit_s))
        try:
            yield prompt, call
        finally:
            record.attempts.extend(call.attempts)
        if call.attempts:
            record.prompts.append(prompt.use)
