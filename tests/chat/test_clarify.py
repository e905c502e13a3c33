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


def passage(title: str, document: str = "a", text: str = "", number: int = 0) -> Passage:
    return Passage(
        id=f"{title}{document}",
        document_id=number or sum(map(ord, title)),
        document=document,
        title=title,
        text=text,
        place=Place(),
        access=1,
        text_hash="",
    )


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
        # What it is at all stands in no title.
        ("what is TTS?", {"Intro to TTS Tech": 1.0, "TTS Technology Desk": 0.9}, 0),
        ("What does TTS stand for", {"Intro to TTS Tech": 1.0, "TTS Technology Desk": 0.9}, 0),
        ("Was ist TTS?", {"Intro to TTS Tech": 1.0, "TTS Technology Desk": 0.9}, 0),
        ("What is the plan?", {"Fire plan": 1.0, "Storm plan": 0.9}, 2),
        ("What is in the plan?", {f"Plan {x}": 1.0 for x in ("alpha", "beta", "gamma", "delta", "omega")}, 0),
    ],
)
def test_only_two_to_four_things_of_one_sort_that_fit_alike_are_asked_about(
    question: str, fits: dict[str, float], expected: int
) -> None:
    fit = {f"{t}a": value for t, value in fits.items()}
    assert len(clarify.things(question, [], [passage(t) for t in fits], fit)) == expected


CLASH = {
    "support/handling.md": "# Checklist\n\nBefore a return is booked the serial number of the logger is read aloud.\n",
    "finance-open/audit.md": "# Checklist\n\nBefore a return is booked the tax consultant signs the form twice.\n",
    "canteen.md": OFFICES["canteen.md"],
}


async def test_documents_of_the_same_title_are_told_apart_by_their_folders_and_a_click_searches_that_one(
    office: Office,
) -> None:
    await office.index.sync(CLASH)
    services, thread = office.services(), str(uuid4())
    asked, _ = await office.ask(services, "What is done before a return is booked?", thread=thread)
    assert {c.label for c in asked.choices} == {"Checklist (support / handling)", "Checklist (finance open / audit)"}
    audit = next(c for c in asked.choices if "audit" in c.label)
    answer, _ = await office.ask(services, audit.question, thread=thread)
    assert {p.document for p in answer.receipt.passages} == {"finance-open/audit.md"}
    assert "tax consultant" in answer.text
    assert answer.receipt.filtered == audit.label
    # Only the very choice narrows, and only while it stands last in the talk.
    for question in ("What is done before a return is booked, in finance?", audit.question):
        other, _ = await office.ask(services, question, thread=thread)
        assert len({p.document for p in other.receipt.passages}) > 1


async def test_a_choice_gives_nobody_more_than_they_may_read(office: Office) -> None:
    await office.index.sync(CLASH)
    services, thread = office.services(), str(uuid4())
    asked, _ = await office.ask(services, "What is done before a return is booked?", thread=thread)
    support = next(c for c in asked.choices if "support" in c.label)
    office.index.restrict(finance=["finance"], support=["finance"])
    await office.index.sync()
    answer, _ = await office.ask(services, support.question, thread=thread)
    assert "support/handling.md" not in {p.document for p in answer.receipt.passages}
    assert "serial number" not in answer.text


def test_versions_copies_and_what_was_said_make_documents_of_one_title_clear() -> None:
    one, two = passage("FAQ", "it/faq.md", "laptops phones", 1), passage("FAQ", "people/faq.md", "holiday leave", 2)
    fit = {one.id: 1.0, two.id: 1.0}
    ask = "What does the FAQ say?"
    assert [m.label for m in clarify.things(ask, [], [one, two], fit)] == ["FAQ (it)", "FAQ (people)"]
    assert clarify.things(ask, [], [one, two], fit, {two.id}) == []
    assert clarify.things(ask, ["in the people team"], [one, two], fit) == []
    copy = two.model_copy(update={"text": one.text})
    assert clarify.things(ask, [], [one, copy], fit) == []
    same_path = two.model_copy(update={"document": "it/faq.txt"})
    assert clarify.things(ask, [], [one, same_path], fit) == []


@pytest.mark.parametrize("paths", [("9f3c/1 615.md", "9f3c/616 1230.md"), ("2b7a11.md", "77c0e2.md")])
def test_parts_of_one_page_that_only_numbers_tell_apart_are_not_asked_about(paths: tuple[str, str]) -> None:
    texts = ("It was built in 1961 by the east.", "Its fall was in the autumn of 1989.")
    passages = [passage("Berlin Wall", path, text, n) for n, (path, text) in enumerate(zip(paths, texts, strict=True))]
    fit = {p.id: 1.0 for p in passages}
    assert clarify.things("why was the berlin wall built", [], passages, fit) == []


def test_a_long_title_is_cut_so_that_what_tells_it_apart_is_read() -> None:
    long = "Guide of the company for everybody who has anything to do with what happens every day in the office of "
    titles = [long + place for place in ("Leeds", "Bremen")]
    found = clarify.things("What does the guide of the company for the office say?", [],
                           [passage(t, text=t[-6:]) for t in titles], {f"{t}a": 1.0 for t in titles})  # fmt: skip
    assert [m.label[-6:].strip() for m in found] == ["Leeds", "Bremen"]
    assert all(m.label.startswith("…") and len(m.label) <= clarify.LABEL_CHARS for m in found)
