"""Whether there is enough to answer: three levels, calibrated, never from nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat import decide
from assistant.domain import Level, Passage, Place
from assistant.errors import SettingsError
from assistant.index.retrieve import Found
from assistant.settings import ChatSettings

PASSAGE = Passage(
    id="p", document_id=1, document="a.md", title="A", text="Ten days.", place=Place(), access=1, text_hash=""
)
RULED = decide.Calibration(bias=0, weights={"late": 1.0}, weak_at=0.4, answer_at=0.6, embedder="e")


def found(late: float) -> Found:
    return Found((PASSAGE,), 1, {"late": late})


def test_without_a_passage_nothing_is_answered() -> None:
    assert decide.decide(Found((), 1, {"late": 9.0}), ChatSettings()).level is Level.DECLINED


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_more_evidence_never_lowers_the_level(a: float, b: float) -> None:
    order = [Level.DECLINED, Level.WEAK, Level.ANSWERED]
    low, high = (decide.decide(found(x), ChatSettings(), RULED) for x in sorted((a, b)))
    assert order.index(low.level) <= order.index(high.level)


def test_a_decision_says_what_it_was_made_of() -> None:
    decision = decide.decide(found(0.5), ChatSettings(), RULED)
    assert decision.signals == {"late": 0.5}
    assert decision.level is Level.ANSWERED
    assert decision.score > decision.threshold == 0.6


def test_thresholds_in_the_settings_go_before_measured_ones() -> None:
    strict = ChatSettings(weak_threshold=0.9, answer_threshold=0.95)
    assert decide.decide(found(0.5), strict, RULED).level is Level.DECLINED


def test_an_installations_own_calibration_is_used_if_it_is_of_its_embedder(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    assert decide.calibration(file, "e") is None
    file.write_text(json.dumps({**RULED.model_dump(), "curve": []}))
    assert decide.calibration(file, "e") == RULED
    assert decide.calibration(file, "another") is None


def test_a_broken_calibration_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text("{")
    with pytest.raises(SettingsError, match="is no calibration"):
        decide.calibration(file, "e")
