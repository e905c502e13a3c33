"""Whether the evidence carries an answer. Signals are combined by a logistic model fitted on cases, not by hand."""

from __future__ import annotations

import math
import re

from assistant.domain import Decision, Level
from assistant.index.retrieve import Found
from assistant.settings import ChatSettings

# Fitted on the demo's and a real handbook's cases; docs/decisions/0003-declining.md has the data and the figures.
# `late`: best late interaction (`rerank.score`); `vector`: best cosine of a passage.
BIAS = -7.16
WEIGHTS = {"late": 13.44, "vector": 2.08}
# Below the first, one in ten questions that the documents do answer would be declined; below the second, one in four
# is only called close.
WEAK_AT = 0.32
ANSWER_AT = 0.48


def score(signals: dict[str, float]) -> float:
    """The probability, 0..1, that the passages answer the question."""
    z = BIAS + sum(w * signals.get(name, 0.0) for name, w in WEIGHTS.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))


def decide(found: Found, settings: ChatSettings) -> Decision:
    """Answered, weak or declined."""
    if not found.passages:
        return Decision(level=Level.DECLINED, reason="nothing found")
    answer_at = settings.answer_threshold if settings.answer_threshold is not None else ANSWER_AT
    weak_at = settings.weak_threshold if settings.weak_threshold is not None else WEAK_AT
    value = score(found.signals)
    if value >= answer_at:
        return Decision(level=Level.ANSWERED, score=value, threshold=answer_at, reason="the passages fit the question")
    if value >= weak_at:
        return Decision(level=Level.WEAK, score=value, threshold=answer_at, reason="the passages are only close")
    return Decision(level=Level.DECLINED, score=value, threshold=weak_at, reason="nothing close enough")


def label(text: str) -> str:
    """A title as the text of a Markdown link: one line, nothing in it acts."""
    return re.sub(r"([\\`*_\[\]<>()!|])", r"\\\1", " ".join(text.split()))
