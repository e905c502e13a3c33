"""The decision is fitted on cases and judged on others."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.errors import InputError
from assistant.ops.calibrate import Judged, calibrate


def judged(count: int, apart: float, seed: int = 1) -> list[Judged]:
    """Half answerable; `fits` tells the halves apart by so many standard deviations, `noise` does not."""
    draw = np.random.default_rng(seed)
    return [
        Judged(f"c{n}", {"fits": draw.normal(apart * (n % 2)), "noise": draw.normal()}, bool(n % 2))
        for n in range(count)
    ]


def test_the_signal_that_tells_counts_and_the_one_that_does_not_counts_little() -> None:
    found = calibrate(judged(400, 2.0))
    assert found["weights"]["fits"] > 5 * abs(found["weights"]["noise"])
    assert 0.85 < found["auc"] < 0.97


def test_signals_that_tell_nothing_are_not_made_to_look_good() -> None:
    assert 0.4 < calibrate(judged(400, 0.0))["auc"] < 0.6


def test_the_thresholds_decline_as_many_answerable_cases_as_was_asked() -> None:
    rows = judged(400, 1.5)
    found = calibrate(rows, declined_wrong=0.05, only_close=0.30)
    scores = [
        1 / (1 + np.exp(-(found["bias"] + sum(found["weights"][k] * v for k, v in r.signals.items()))))
        for r in rows
        if r.answerable
    ]
    assert np.mean(np.array(scores) < found["weak_at"]) == pytest.approx(0.05, abs=0.01)
    assert np.mean(np.array(scores) < found["answer_at"]) == pytest.approx(0.30, abs=0.01)


def test_the_curve_never_falls() -> None:
    curve = [point["declined_right"] for point in calibrate(judged(300, 1.0))["curve"]]
    assert curve == sorted(curve)


def test_too_few_cases_are_refused_with_what_is_missing() -> None:
    with pytest.raises(InputError, match="30 answerable and 0 other cases are too few"):
        calibrate([Judged(f"c{n}", {"fits": 1.0}, True) for n in range(30)])
