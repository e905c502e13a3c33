from __future__ import annotations

import time

import pytest

from assistant.chat import prompts
from assistant.chat.models import Call, Models
from assistant.chat.verify import check, judged
from assistant.domain import Passage, Place, Verdict
from assistant.index.sentences import spans
from assistant.settings import PROJECT
from tests.chat.conftest import Provider


def passage(text: str, title: str = "Leave policy") -> Passage:
    return Passage(
        id="p", document_id=1, document="leave.md", title=title, text=text, place=Place(), access=1, text_hash="h"
    )


PASSAGES = {
    1: passage("Every employee has 28 days a year. Up to ten unused days may be carried into the next calendar year."),
    2: passage("Laptops above 2,000 EUR are signed off by Mara Lindt before 15 December.", "Equipment"),
}


LINKED = {
    1: passage("Ask for a badge with the [form](https://forms.example.com/d/1KW2Vv11_x?tab=2), at least 3 days before.")
}


@pytest.mark.parametrize(
    "address",
    [
        "https://forms.example.com/d/1KW2Vv11_x?tab=2",
        "forms.example.com/d/1KW2Vv11_x?tab=2",
        "https://www.forms.example.com/d/1KW2Vv11_x",
    ],
)
def test_an_address_that_the_source_has_is_supported_however_much_of_it_is_shown(address: str) -> None:
    (result,) = check(f"Ask for a badge with the form ({address}) [1].", LINKED)
    assert result.verdict is Verdict.SUPPORTED, result.reason


@pytest.mark.parametrize(
    "address", ["https://forms.example.com/d/1KW3Vv11_x", "forms.example.com/d/1KW2Vv12_x?tab=2", "www.example.org"]
)
def test_an_address_that_no_source_has_is_marked(address: str) -> None:
    (result,) = check(f"Ask for a badge with the form at {address} [1].", LINKED)
    assert result.verdict is Verdict.UNSUPPORTED
    assert address in result.reason


@pytest.mark.parametrize(
    "sentence",
    [
        "Every employee has 28 days a year [1].",
        "You may carry up to ten unused days into the next year [1].",
        "Up to 10 unused days may be carried over into the next calendar year [1].",
        "Laptops above 2000 EUR are signed off by Mara Lindt [2].",
        "> **Laptops above 2,000 EUR are signed off by Mara Lindt before 15 December.** [2]",
    ],
)
def test_what_the_source_says_is_supported(sentence: str) -> None:
    (result,) = check(sentence, PASSAGES)
    assert result.verdict is Verdict.SUPPORTED, result.reason


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("Every employee has 30 days a year [1].", "30"),
        ("Laptops above 2,000 EUR are signed off by Tom Berger [2].", "Tom Berger"),
        ("Laptops above 2,000 EUR are signed off before 16 December [2].", "16"),
        ("Every employee has 28 days a year [2].", "it stands in [1], not in [2]"),
        ("Dogs are welcome in every office building at any time [1].", "something else"),
    ],
)
def test_a_wrong_number_name_date_or_source_is_marked_with_its_reason(sentence: str, why: str) -> None:
    (result,) = check(sentence, PASSAGES)
    assert result.verdict is Verdict.UNSUPPORTED
    assert why in result.reason


OFFICES = {
    1: passage(
        "Every employee has 28 days a year; interns have twenty. Up to ten unused days may be carried into the next "
        "calendar year. Days carried over lapse on 31 March.\n\nLeeds: 27 days plus bank holidays.\nBremen: 30 days."
    ),
    2: passage(
        "Laptops above 2,000 EUR are signed off by Mara Lindt before 15 December 2026. Tom Berger signs off phones "
        "from 09:00 to 17:30. A claim takes 14 days. Offices close at 6 pm. The rate rose by 1.2 million to 4.5 %.",
        "Equipment",
    ),
    3: passage(
        "Der Zugang ist von 6 bis 22 Uhr mit Ausweis möglich. Wer krank ist, meldet sich bis 9 Uhr bei der "
        "Führungskraft. Für Dienstreisen ab 1.200 € ist die Freigabe von Marlies Duhn nötig.",
        "Hausordnung",
    ),
}


@pytest.mark.parametrize(
    "sentence",
    [
        "Employees get 28 vacation days per year, interns 20 [1].",
        "In Bremen it is 30 days, in Leeds 27 days plus bank holidays [1].",
        "Days that were carried over expire on March 31 [1].",
        "Mara Lindt signs off laptops that cost more than €2,000, before 2026-12-15 [2].",
        "Phones are signed off by Tom Berger between 9:00 and 17:30 [2].",
        "The offices close at 18:00 [2].",
        "The rate rose by 1,200,000 to 4.5 percent [2].",
        "Sie kommen zwischen 6:00 und 22:00 Uhr mit Ihrem Ausweis hinein [3].",
        "Für Reisen ab 1200 EUR braucht man die Freigabe von Marlies Duhn [3].",
        "Bei Krankheit muss man sich bis 9 Uhr bei der Führungskraft melden [3].",
        "Interns have twenty days [1], and laptops over 2000 euros are signed off by Mara Lindt [2].",
        "It says that “up to ten unused days may be carried … into the next calendar year” [1].",
    ],
)
def test_the_same_said_in_other_words_forms_and_order_is_supported(sentence: str) -> None:
    (result,) = check(sentence, OFFICES)
    assert result.verdict is Verdict.SUPPORTED, result.reason


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("Employees get 10 vacation days per year [1].", "“10” stands in its source, but of something else"),
        ("In Bremen it is 27 days [1].", "of something else"),
        ("Mara Lindt signs off phones [2].", "“Mara Lindt” stands in its source, but of something else"),
        ("Mara Berger signs off laptops above 2,000 EUR [2].", "Mara Berger"),
        ("Laptops above 2,000 USD are signed off by Mara Lindt [2].", "2,000"),
        ("A claim takes 14 weeks [2].", "14"),
        ("The rate rose to 1.2 % [2].", "1.2"),
        ("Offices close at 5 pm [2].", "5 pm"),
        ("Der Zugang ist von 7 bis 22 Uhr mit Ausweis möglich [3].", "7"),
        ("It says “unused days may be sold back to the company” [1].", "does not say"),
        ("> Unused days may be sold back at any time. [1]", "does not say"),
    ],
)
def test_what_stands_in_the_source_of_something_else_or_in_another_unit_is_marked(sentence: str, why: str) -> None:
    (result,) = check(sentence, OFFICES)
    assert result.verdict is Verdict.UNSUPPORTED
    assert why in result.reason


@pytest.mark.parametrize(
    "piece", ["a-", "abcdefgh", "A b ", "1.", "1,", "“a b ", "x@", "May ", "a.b_", "one two ", "1 "]
)
def test_a_hostile_document_does_not_hold_the_check_up(piece: str) -> None:
    began = time.process_time()
    check(f"The {piece * 40} rule of 28 days holds [1].", {1: passage(piece * 1_000)})
    assert time.process_time() - began < 10  # patterns that try every split take hours


def test_the_reason_is_in_the_persons_language() -> None:
    (result,) = check("Every employee has 30 days a year [1].", PASSAGES, "de")
    assert result.reason == "„30“ steht nicht in der Quelle"


OPEN = "Whoever falls ill tells the boss early in the morning [1]. Every employee has 28 days a year [1]."
SICK = {1: passage("Anyone who is ill informs the manager before nine. Every employee has 28 days a year.")}


async def _judged(provider: Provider, reply: str) -> tuple[list[Verdict], str, int]:
    provider.reply = reply
    call = Call("judge", time.monotonic() + 5)
    models = Models(provider.settings("ok", tier="small"))
    prompt = prompts.load(PROJECT / "prompts")["judge"]
    checks, decided = await judged(OPEN, SICK, "en", models=models, prompt=prompt, call=call)
    return [c.verdict for c in checks], checks[0].reason, decided


async def test_a_judge_decides_what_the_rules_leave_open_and_nothing_else(provider: Provider) -> None:
    first, _, _ = await _judged(provider, '{"verdicts": [{"n": 1, "supported": true, "why": ""}]}')
    assert first == [Verdict.SUPPORTED, Verdict.SUPPORTED]
    second, why, decided = await _judged(
        provider,
        '{"verdicts": [{"n": 1, "supported": false, "why": "It says before nine."}, {"n": 2, "supported": false}]}',
    )
    assert second == [Verdict.UNSUPPORTED, Verdict.SUPPORTED]
    assert (why, decided) == ("It says before nine.", 1)
    asked = provider.requests[-1]["messages"][-1]["content"]
    assert '<statement n="1" passages="1">Whoever falls ill' in asked
    assert "28 days a year</statement>" not in asked


@pytest.mark.parametrize(
    "reply", ["I cannot judge that.", '{"verdicts": []}', '{"verdicts": [{"n": 9, "supported": true}]}']
)
async def test_without_a_usable_verdict_the_rules_decide(provider: Provider, reply: str) -> None:
    verdicts, reason, decided = await _judged(provider, reply)
    (by_rules, _) = check(OPEN, SICK)
    assert (verdicts[0], reason, decided) == (by_rules.verdict, by_rules.reason, 0)


def test_a_statement_without_a_source_is_called_uncited() -> None:
    (result,) = check("Every employee has 28 days a year.", PASSAGES)
    assert result.verdict is Verdict.UNCITED


RUNBOOK = {
    1: passage("Restart it with:\n\n\tkubectl get pods -n shop | grep web\n\tkubectl delete pod <name>\n\nThen wait."),
    2: passage("Nothing else."),
}


def test_code_whose_lines_stand_in_a_passage_is_supported_by_it() -> None:
    text = "Restart the pod with this [1]:\n```sh\nkubectl get pods -n shop | grep web\nkubectl delete pod <name>\n```"
    (code,) = check(text, RUNBOOK)
    assert code.verdict is Verdict.SUPPORTED
    assert code.citations == (1,)
    assert text[code.start : code.end].startswith("```sh")


def test_code_that_no_passage_has_is_called_uncited() -> None:
    text = "> Restart the pod with this [1]:\n> ```\n> kubectl delete namespace shop\n> ```"
    (code,) = check(text, RUNBOOK)
    assert code.verdict is Verdict.UNCITED


def test_introductions_and_questions_are_no_statements() -> None:
    assert check("From our documents:\n\nDo you mean the Leeds office or the Bremen one?", PASSAGES) == ()


def test_each_sentence_is_found_where_it_stands() -> None:
    text = "It takes e.g. two days, says Dr. Lindt. Then it ends.\n- First point\n- Second point. Third one!"
    assert [text[a:b] for a, b in spans(text)] == [
        "It takes e.g. two days, says Dr. Lindt.",
        "Then it ends.",
        "- First point",
        "- Second point.",
        "Third one!",
    ]
