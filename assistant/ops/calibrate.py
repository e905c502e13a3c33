"""Fits the decision to answer on cases: how much each signal counts, and from which evidence on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assistant.errors import InputError

FOLDS = 10
LEAST = 20
# Ridge: the few cases of an installation must not bend the weights to themselves.
RIDGE = 0.03


@dataclass(frozen=True)
class Judged:
    """What a search found for one case, and whether the documents answer it."""

    id: str
    signals: dict[str, float]
    answerable: bool


def calibrate(rows: Sequence[Judged], declined_wrong: float = 0.10, only_close: float = 0.25) -> dict[str, Any]:
    """A logistic model over the signals, and two thresholds, with figures of cases that it was not fitted on.

    `declined_wrong` is the share of answerable cases that may fall below `weak_at`, `only_close` the share below
    `answer_at`. `auc`, `curve` and the shares declined come from ten-fold cross-validation by case; `curve` holds for
    each twentieth of the answerable cases declined the share of the others that is declined with them. Raises
    `InputError` with fewer than twenty cases of either sort.
    """
    answerable = np.array([r.answerable for r in rows])
    counts = (int(answerable.sum()), int((~answerable).sum()))
    if min(counts) < LEAST:
        raise InputError(
            f"{counts[0]} answerable and {counts[1]} other cases are too few; {LEAST} of each are needed.",
            "Add cases without `doc`, or name another company's questions: --foreign FILE.",
        )
    names = sorted({name for r in rows for name in r.signals})
    signals = np.array([[r.signals.get(n, 0.0) for n in names] for r in rows])
    folds = np.array([hashlib.sha256(r.id.encode()).digest()[0] % FOLDS for r in rows])
    held_out = np.zeros(len(rows))
    for fold in range(FOLDS):
        inside, outside = folds != fold, folds == fold
        if outside.any():
            weights, bias = _fit(signals[inside], answerable[inside])
            held_out[outside] = signals[outside] @ weights + bias
    weights, bias = _fit(signals, answerable)
    scores = 1 / (1 + np.exp(-(signals @ weights + bias)))
    yes, no = held_out[answerable], held_out[~answerable]
    curve = [
        {"declined_wrong": share, "declined_right": round(float((no < np.quantile(yes, share)).mean()), 4)}
        for share in (round(n / 20, 2) for n in range(1, 11))
    ]
    return {
        "bias": round(float(bias), 3),
        "weights": {n: round(float(w), 3) for n, w in zip(names, weights, strict=True)},
        "weak_at": round(float(np.quantile(scores[answerable], declined_wrong)), 3),
        "answer_at": round(float(np.quantile(scores[answerable], only_close)), 3),
        "cases": len(rows),
        "auc": round(float((yes[:, None] > no).mean() + (yes[:, None] == no).mean() / 2), 4),
        "declined_wrong": declined_wrong,
        "declined_right": round(float((no < np.quantile(yes, declined_wrong)).mean()), 4),
        "curve": curve,
    }


def _fit(signals: Any, answerable: Any) -> tuple[Any, float]:
    """Weights and bias of a ridge logistic regression, both classes counting alike (Newton's method)."""
    mean, spread = signals.mean(axis=0), signals.std(axis=0) + 1e-9
    x = np.c_[(signals - mean) / spread, np.ones(len(signals))]
    y = answerable.astype(float)
    counts = np.where(answerable, 0.5 / answerable.mean(), 0.5 / (1 - answerable.mean()))
    penalty = np.r_[np.full(signals.shape[1], RIDGE * len(y)), 1e-9]
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ w)))
        slope = x.T @ (counts * (p - y)) + penalty * w
        w -= np.linalg.solve((x.T * (counts * p * (1 - p))) @ x + np.diag(penalty), slope)
    weights = w[:-1] / spread
    return weights, float(w[-1] - mean @ weights)
