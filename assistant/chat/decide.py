"""Whether the evidence carries an answer: a logistic model of a search's signals, fitted on cases."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from assistant.chat import defining, evidence, structured
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.domain import Decision, Level, Plain
from assistant.errors import ModelError, SettingsError
from assistant.index.rerank import WordCodes
from assistant.index.retrieve import Found
from assistant.settings import ChatSettings

log = logging.getLogger(__name__)


class Calibration(Plain):
    """How much each signal of a search counts, and from which evidence on; `assistant eval calibrate` fits one.

    `late`: best late interaction (`rerank.scores`); `vector`: best cosine of a passage. Below `weak_at` a question is
    declined, below `answer_at` the passages are called only close.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    bias: float
    weights: dict[str, float]
    weak_at: float
    answer_at: float
    embedder: str = ""

    def score(self, signals: Mapping[str, float]) -> float:
        """The probability, 0..1, that the passages answer the question."""
        z = self.bias + sum(w * signals.get(name, 0.0) for name, w in self.weights.items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))


# Fitted on the demo's and a real handbook's cases (docs/decisions/0003-declining.md): one in ten questions that the
# documents do answer would be declined, one in four be called only close. Codes out of a table are compared otherwise
# (docs/decisions/0013-table-codes.md).
SHIPPED: Mapping[WordCodes, Calibration] = {
    "model": Calibration(bias=-6.45, weights={"late": 11.87, "vector": 1.82}, weak_at=0.33, answer_at=0.486),
    # Without the vectors, whose cosines mean something else with every provider.
    "table": Calibration(bias=-4.58, weights={"late": 8.5}, weak_at=0.35, answer_at=0.425),
}


def calibration(file: Path, embedder: str) -> Calibration | None:
    """The installation's own calibration, if it has one. One of another embedder says nothing and is left."""
    try:
        own = Calibration.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: is no calibration.", "Run `assistant eval calibrate`, or remove it.") from error
    if own.embedder != embedder:
        log.warning("%s is of another embedder and is not used; run `assistant eval calibrate` again", file)
        return None
    return own


def decide(found: Found, settings: ChatSettings, own: Calibration | None = None) -> Decision:
    """Answered, weak or declined; by the calibration that ships unless the installation has its own."""
    if not found.passages:
        return Decision(level=Level.DECLINED, reason="nothing found")
    return by_signals(found.signals, found.word_codes, settings, own)


def by_signals(
    signals: Mapping[str, float], word_codes: WordCodes, settings: ChatSettings, own: Calibration | None = None
) -> Decision:
    """What `decide` says of passages with these signals."""
    calibrated = own or SHIPPED[word_codes]
    answer_at = settings.answer_threshold if settings.answer_threshold is not None else calibrated.answer_at
    weak_at = settings.weak_threshold if settings.weak_threshold is not None else calibrated.weak_at
    value = calibrated.score(signals)
    level, against, reason = Level.DECLINED, weak_at, "nothing close enough"
    if value >= answer_at:
        level, against, reason = Level.ANSWERED, answer_at, "the passages fit the question"
    elif value >= weak_at:
        level, against, reason = Level.WEAK, answer_at, "the passages are only close"
    return Decision(level=level, score=value, threshold=against, reason=reason, signals=dict(signals))


def defined(decision: Decision, question: str, found: Found) -> Decision:
    """The decision, but answered where a question asks what something is and a passage says it.

    One entry among a glossary's many fits no question as a whole.
    """
    what = defining.term(question)
    if not what or decision.level is Level.ANSWERED or not any(defining.defines(p.text, what) for p in found.passages):
        return decision
    return decision.model_copy(update={"level": Level.ANSWERED, "reason": "a passage says what it is"})


class _Enough(BaseModel):
    model_config = ConfigDict(extra="ignore")

    answers: Literal["yes", "partly", "no"]


_DECIDED = {
    "yes": (Level.ANSWERED, "a model found the answer in the passages"),
    "partly": (Level.WEAK, "a model found only part of the answer"),
    "no": (Level.DECLINED, "a model found no answer in the passages"),
}


async def judged(
    decision: Decision, question: str, found: Found, *, models: Models, prompt: Prompt, call: Call
) -> Decision:
    """A weak decision as a small model decides it; as it was where there is none, or where it fails."""
    if not models.has(prompt.tier):
        return decision
    messages = prompt.render(passages=evidence.render(found.passages, found.dates), question=question)
    try:
        verdict = await structured.ask(models, prompt.tier, messages, _Enough, call)
    except ModelError:
        return decision
    level, reason = _DECIDED[verdict.answers]
    return decision.model_copy(update={"level": level, "reason": reason})


def label(text: str) -> str:
    """A title as the text of a Markdown link: one line, nothing in it acts."""
    return re.sub(r"([\\`*_\[\]<>()!|])", r"\\\1", " ".join(text.split()))
