"""Sentences of ours in the place of an answer."""

from __future__ import annotations

import pytest

from assistant.chat.remarks import declined
from assistant.domain import Nearest


def near(title: str, owner: str = "") -> Nearest:
    return Nearest(document_id=1, document=title, title=title, owner=owner)


@pytest.mark.parametrize(
    ("nearest", "said"),
    [
        ([near("List", "Demo Ltd "), near("Leave", "Ada Byron")], "Ada Byron looks after Leave."),
        ([near("Pay", "Fin Ance"), near("Leave", "Ada Byron")], "Fin Ance looks after Pay."),
        ([near("List", "demo ltd"), near("More")], ""),
    ],
)
def test_a_person_is_named_to_ask_and_never_the_company_itself(nearest: list[Nearest], said: str) -> None:
    text = declined(nearest, "", "en", "Demo Ltd")
    assert said in text
    assert ("looks after" in text) == bool(said)
    assert "Demo Ltd" not in text
