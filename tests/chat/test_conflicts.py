from __future__ import annotations

from assistant.chat.conflicts import found
from assistant.domain import Passage, Place

TITLES = {1: "Handbook", 2: "Questions of newcomers"}
SAYS = "Full-time employees have {} days of holiday a year."


def passage(document: int, text: str) -> Passage:
    return Passage(
        id=f"p{document}", document_id=document, document=f"{document}.md", title=TITLES[document], text=text,
        place=Place(), access=1, text_hash=str(document),
    )  # fmt: skip


def test_only_what_the_answer_cites_and_says_is_named_as_contradicted() -> None:
    one, other = passage(1, SAYS.format(30)), passage(2, SAYS.format(28))
    fit = {"p1": 1.0, "p2": 0.9}
    (named,) = found("You have 30 days [1].", [one, other], {1}, {}, {}, fit)
    assert {named.says, named.otherwise} == {"30 day", "28 day"}
    assert not named.known, "neither is newer"
    assert not found("You have holiday [1].", [one, other], {1}, {}, {}, fit)
    assert not found("You have 30 days.", [one, other], set(), {}, {}, fit)
    assert not found("You have 30 days [1].", [one, other], {1}, {}, {}, {"p1": 1.0, "p2": 0.2})


def test_what_somebody_dismissed_is_not_named_though_its_passage_has_grown() -> None:
    one, other = passage(1, f"Welcome to all of you. {SAYS.format(30)}"), passage(2, SAYS.format(28))
    dismissed = [frozenset({SAYS.format(30), SAYS.format(28)})]
    given = "You have 30 days [1].", [one, other], {1}, {}, {}, {"p1": 1.0, "p2": 0.9}
    assert found(*given)
    assert not found(*given, dismissed)
