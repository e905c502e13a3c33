"""The words of the product hold what they promise, whoever makes them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from assistant.domain import ADMINS, EVERYONE, Asker, Case, Decision, Level, Place, Receipt, now


def test_who_asks_is_in_everyone_and_an_admin_only_by_its_group() -> None:
    asker = Asker(person_id="1", email="ada@example.test")
    assert asker.groups == {EVERYONE}
    assert not asker.is_admin
    assert asker.model_copy(update={"groups": frozenset({EVERYONE, ADMINS})}).is_admin


@pytest.mark.parametrize(
    ("place", "label"),
    [
        (Place(), ""),
        (Place(page=2, headings=("Leave", "Carrying over")), "page 2 · Leave · Carrying over"),
        (Place(sheet="Prices"), "sheet Prices"),
        (Place(headings=("Only",)), "Only"),
        (Place(headings=("For employees:", "Leave")), "For employees · Leave"),
        (Place(page=0), "page 0"),
    ],
)
def test_a_place_reads_as_a_person_says_it(place: Place, label: str) -> None:
    assert place.label() == label


def test_plain_data_cannot_be_changed_nor_hold_what_is_not_named() -> None:
    decision = Decision(level=Level.ANSWERED)
    with pytest.raises(ValidationError):
        decision.score = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Decision.model_validate({"level": "answered", "mood": "good"})
    with pytest.raises(ValidationError):
        Decision.model_validate({"level": "perhaps"})


def test_a_receipt_comes_back_from_json_as_it_was() -> None:
    receipt = Receipt(
        id="a", thread="t", asked="q", searched="q", decision=Decision(level=Level.DECLINED), created_at=now()
    )
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
    assert Receipt.model_validate(receipt.model_dump(mode="json")) == receipt


def test_a_case_is_read_from_the_shape_that_case_files_have() -> None:
    case = Case.model_validate({"id": "1", "turns": ["q"], "as": "ada@example.test", "something_newer": 1})
    assert case.asked_as == "ada@example.test"
    assert case.model_dump(by_alias=True)["as"] == "ada@example.test"
    with pytest.raises(ValidationError):
        Case.model_validate({"id": "1", "turns": []})


def test_now_is_aware_and_in_utc() -> None:
    assert now().utcoffset() is not None
    assert now().tzname() == "UTC"
