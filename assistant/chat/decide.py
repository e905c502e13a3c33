"""Whether the evidence carries an answer: a logistic model of a search's signals, fitted on cases."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict

from assistant.domain import Decision, Level, Plain
from assistant.errors import SettingsError
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
# documents do answer would be declined, one in four be called only close.
SHIPPED = Calibration(bias=-7.16, weights={"late": 13.44, "vector": 2.08}, weak_at=0.32, answer_at=0.48)


def calibration(file: Path, embedder: str) -> Calibration:
    """The installation's own calibration, or the one that ships. One of another embedder says nothing and is left."""
    try:
        own = Calibration.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return SHIPPED
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: is no calibration.", "Run `assistant eval calibrate`, or remove it.") from error
    if own.embedder != embedder:
        log.warning("%s is of another embedder and is not used; run `assistant eval calibrate` again", file)
        return SHIPPED
    return own


def decide(found: Found, settings: ChatSettings, calibrated: Calibration = SHIPPED) -> Decision:
    """Answered, weak or declined."""
    if not found.passages:
        return Decision(level=Level.DECLINED, reason="nothing found")
    answer_at = settings.answer_threshold if settings.answer_threshold is not None else calibrated.answer_at
    weak_at = settings.weak_threshold if settings.weak_threshold is not None else calibrated.weak_at
    value = calibrated.score(found.signals)
    level, against, reason = Level.DECLINED, weak_at, "nothing close enough"
    if value >= answer_at:
        level, against, reason = Level.ANSWERED, answer_at, "the passages fit the question"
    elif value >= weak_at:
        level, against, reason = Level.WEAK, answer_at, "the passages are only close"
    return Decision(level=level, score=value, threshold=against, reason=reason, signals=found.signals)


def label(text: str) -> str:
    """A title as the text of a Markdown link: one line, nothing in it acts."""
    return re.sub(r"([\\`*_\[\]<>()!|])", r"\\\1", " ".join(text.split()))
