"""Questions that ask two things are searched for each; others are left whole."""

from __future__ import annotations

from typing import Any

import pytest

from assistant.chat.decompose import asked, hinted, parts
from tests.chat.conftest import Provider
from tests.chat.test_engine import Office, db, in_process, index, migrated_file, office

__all__ = ["db", "in_process", "index", "migrated_file", "office"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "What is the difference between the travel policy and the leave policy?",
            ["the travel policy", "the leave policy"],
        ),
        ("Compare Leeds with Bremen.", ["Leeds", "Bremen"]),
        ("Was ist der Unterschied zwischen Urlaub und Sonderurlaub?", ["Urlaub", "Sonderurlaub"]),
        (
            "What does a hotel in London cost and how many vacation days do interns have?",
            ["What does a hotel in London cost", "how many vacation days do interns have"],
        ),
        (
            "Wann ist Zahltag in Bremen und wer genehmigt Dienstreisen?",
            ["Wann ist Zahltag in Bremen", "wer genehmigt Dienstreisen"],
        ),
    ],
)
def test_two_things_are_two_questions(question: str, expected: list[str]) -> None:
    assert parts(question) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Hi, I am new here, started monday, my manager said something about a buddy, and I was wondering what I am "
            "supposed to do in my first week and who do I talk to if my laptop is broken",
            ["what I am supposed to do in my first week", "who do I talk to if my laptop is broken"],
        ),
        (
            "Hallo zusammen, ich bin seit Montag neu im Team in Bremen und wollte fragen, ob ich meinen Hund ins Büro "
            "mitbringen darf. Danke und viele Grüße, Jan",
            ["ich meinen Hund ins Büro mitbringen darf"],
        ),
        (
            "Dear Ada,\nI hope you are well. I wanted to ask whether I may accept a ticket that a vendor offers. My "
            "boss is on leave.\nThanks\nPete Miller",
            ["I may accept a ticket that a vendor offers"],
        ),
    ],
)
def test_a_long_message_is_known_by_the_questions_it_puts(message: str, expected: list[str]) -> None:
    assert asked(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        "new code repo, which licence do I pick",
        "I leaked an api key of the billing server yesterday evening in a public repository, how do I report it",
        "How many vacation days does a new colleague in the sales team of the office in Bremen have in a year",
        "Our server in Bremen broke down yesterday evening, customers complain, Ada is on vacation.",
    ],
)
def test_what_a_question_needs_is_not_taken_from_it(message: str) -> None:
    assert asked(message) == []


@pytest.mark.parametrize(
    "question",
    [
        "How many vacation days do I have and who approves them?",
        "What are the terms and conditions?",
        "Who signs for laptops and phones?",
        "Is it allowed, and how?",
    ],
)
def test_what_belongs_together_is_one_question(question: str) -> None:
    assert parts(question) == [question]


async def test_both_documents_are_among_the_evidence(office: Office) -> None:
    asked = "How many vacation days has every employee and when are laptops replaced?"
    answer, _ = await office.ask(office.services(), asked)
    assert [p.document for p in answer.receipt.passages][:2] in (["leave.md", "laptops.md"], ["laptops.md", "leave.md"])
    assert any("2 parts searched apart" in s.note for s in answer.receipt.steps)


ASKED = "Do I get a new laptop before my unused vacation days lapse, or later than that?"
SPLIT = '{"questions": ["When is a laptop replaced?", "When do unused vacation days lapse?"]}'


def replying(provider: Provider, verdict: str) -> None:
    def obey(messages: list[dict[str, Any]]) -> str:
        split = "You split a question" in str(messages[0])
        return verdict if split else "A laptop is replaced after four years [1]."

    provider.obey = obey


@pytest.mark.parametrize(
    ("verdict", "count"),
    [
        (SPLIT, 2),
        ('{"questions": []}', 1),
        ('{"questions": ["When is a laptop replaced?"]}', 1),
        ('{"questions": ["When is a laptop replaced?", "when is a laptop replaced"]}', 1),
        ('{"questions": "When?"}', 1),
        ("I cannot split this.", 1),
    ],
)
async def test_a_strong_model_splits_what_needs_several_documents_and_the_whole_stands_where_it_does_not(
    office: Office, provider: Provider, verdict: str, count: int
) -> None:
    replying(provider, verdict)
    answer, _ = await office.ask(office.services(provider.settings("ok", tier="strong")), ASKED)
    (step,) = [s for s in answer.receipt.steps if s.name == "decompose"]
    assert step.note.startswith(f"{count} parts")
    assert ("2 parts searched apart" in str(answer.receipt.steps)) is (count == 2)
    if count == 2:
        assert {p.document for p in answer.receipt.passages[:3]} >= {"leave.md", "laptops.md"}
    assert "decompose" in [p.name for p in answer.receipt.prompts]
    assert {a.tier for a in answer.receipt.attempts if a.feature == "decompose"} == {"strong"}


@pytest.mark.parametrize(
    "why", ["a short question", "no strong model", "split by rule", "switched off", "no money left"]
)
async def test_no_model_is_asked_where_it_could_not_help(office: Office, provider: Provider, why: str) -> None:
    replying(provider, SPLIT)
    asked = {"a short question": "How many vacation days?", "split by rule": "Compare vacation days with laptops."}
    tier = "small" if why == "no strong model" else "strong"
    more: dict[str, Any] = {}
    if why == "switched off":
        more = {"steps": office.settings.chat.steps.model_copy(update={"decompose_by_model": False})}
    if why == "no money left":
        more = {"dollars_per_person_day": 0.0}
    services = office.services(provider.settings("ok", tier=tier), **more)
    answer, _ = await office.ask(services, asked.get(why, ASKED))
    assert "decompose" not in {a.feature for a in answer.receipt.attempts}
    assert "decompose" not in {s.name for s in answer.receipt.steps}


def test_only_questions_that_bring_things_together_are_worth_a_model() -> None:
    assert hinted(ASKED)
    assert hinted("Ist das Hotel in London teurer als die Grenze für Praktikanten in Bremen?")
    for plain in ("How many vacation days do I have?", "Who signs for laptops and phones?", "", "and or both than"):
        assert not hinted(plain), plain
