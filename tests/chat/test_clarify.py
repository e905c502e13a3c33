"""An ambiguous question gets one short question back, with choices taken from the documents."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from assistant.chat import clarify
from assistant.domain import Level, Passage, Place
from tests.chat.conftest import Provider
from tests.chat.test_engine import Office, db, in_process, index, migrated_file, office

__all__ = ["db", "in_process", "index", "migrated_file", "office"]

OFFICES = {
    "leeds.md": "# Leeds office\n\nThe office is open until eight, and somebody is at the desk by seven.\n",
    "bremen.md": "# Bremen office\n\nThe office is open until nine.\n",
    "canteen.md": "# Canteen\n\nLunch is served at noon.\n",
}
ASKED = "When is the office open?"


@pytest.fixture
async def offices(office: Office) -> Office:
    await office.index.sync(OFFICES)
    return office


async def test_choices_are_the_documents_that_fit_and_each_asks_the_narrowed_question(offices: Office) -> None:
    services, thread = offices.services(), str(uuid4())
    answer, _ = await offices.ask(services, ASKED, thread=thread)
    assert answer.text.startswith("Which one do you mean?")
    assert {c.label for c in answer.choices} == {"Leeds office", "Bremen office"}
    assert answer.receipt.choices == answer.choices
    assert (answer.receipt.decision.level, answer.abstained, answer.citations) == (Level.ASKED, False, ())
    leeds = next(c for c in answer.choices if c.label == "Leeds office")
    chosen, _ = await offices.ask(services, leeds.question, thread=thread)
    assert chosen.receipt.passages[0].document == "leeds.md"
    assert "until eight" in chosen.text


async def test_nobody_is_asked_back_twice_in_a_row(offices: Office) -> None:
    services, thread = offices.services(), str(uuid4())
    first, _ = await offices.ask(services, ASKED, thread=thread)
    second, _ = await offices.ask(services, "I want to know when the office is open", thread=thread)
    assert [bool(a.choices) for a in (first, second)] == [True, False]
    assert second.citations


async def test_what_was_said_before_makes_a_question_clear(offices: Office) -> None:
    services, thread = offices.services(), str(uuid4())
    await offices.ask(services, "Where do I find lunch in Leeds?", thread=thread)
    answer, _ = await offices.ask(services, ASKED, thread=thread)
    assert answer.choices == ()


async def test_it_can_be_switched_off(offices: Office) -> None:
    steps = offices.settings.chat.steps.model_copy(update={"clarify": False})
    answer, _ = await offices.ask(offices.services(steps=steps), ASKED)
    assert answer.choices == ()
    assert "clarify" not in [s.name for s in answer.receipt.steps]


@pytest.mark.parametrize(
    ("verdict", "asked_back"),
    [
        ('{"ambiguous": true, "options": [1, 2]}', True),
        ('{"ambiguous": false, "options": []}', False),
        ("no idea", True),
    ],
)
async def test_a_small_model_says_whether_it_matters_and_the_rule_stands_where_it_fails(
    offices: Office, provider: Provider, verdict: str, asked_back: bool
) -> None:
    def obey(messages: list[dict[str, Any]]) -> str:
        return verdict if "<things>" in str(messages) else "The office is open until nine [1]."

    provider.obey = obey
    answer, _ = await offices.ask(offices.services(provider.settings("ok", tier="small")), ASKED)
    assert bool(answer.choices) is asked_back
    assert "clarify" in [p.name for p in answer.receipt.prompts]
    assert "clarify" in {a.feature for a in answer.receipt.attempts}


def passage(title: str) -> Passage:
    return Passage(id=title, document_id=1, document="a", title=title, text="", place=Place(), access=1, text_hash="")


@pytest.mark.parametrize(
    ("question", "fits", "expected"),
    [
        (
            "What is the power of the prime minister?",
            {"Prime Minister of Canada": 1.0, "Prime Minister of India": 0.9},
            2,
        ),
        (
            "What is the power of the prime minister?",
            {"Prime Minister of Canada": 1.0, "Prime Minister of India": 0.5},
            0,
        ),
        ("What may the minister of Canada do?", {"Prime Minister of Canada": 1.0, "Prime Minister of India": 0.9}, 0),
        ("What does a hotel cost by the policy?", {"Travel policy 2023": 1.0, "Travel policy 2026": 1.0}, 0),
        ("How many vacation days?", {"Leave": 1.0, "Travel": 0.9}, 0),
        ("What is in the plan?", {f"Plan {x}": 1.0 for x in ("alpha", "beta", "gamma", "delta", "omega")}, 0),
    ],
)
def test_only_two_to_four_things_of_one_sort_that_fit_alike_are_asked_about(
    question: str, fits: dict[str, float], expected: int
) -> None:
    assert len(clarify.things(question, [], [passage(t) for t in fits], fits)) == expected
