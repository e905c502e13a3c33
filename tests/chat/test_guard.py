from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.chat.guard import LeakFilter, RateLimit, clean, permit
from assistant.errors import AssistantError, InputError, LimitError, PolicyError
from assistant.settings import Policy


@pytest.mark.parametrize("text", ["", "   \n\t ", "\u200b\u200b", "\x00", "?!...", "\u202e"])
def test_a_message_without_a_question_gets_a_kind_sentence(text: str) -> None:
    with pytest.raises(InputError, match="no question"):
        clean(text, 100, "en")


def test_a_message_that_is_too_long_is_told_the_limit() -> None:
    with pytest.raises(InputError, match="1,001 characters long; the limit is 1,000"):
        clean("a" * 1001, 1000, "en")
    with pytest.raises(InputError, match=r"1\.001 Zeichen lang; erlaubt sind 1\.000"):
        clean("a" * 1001, 1000, "de")


def test_a_lone_surrogate_is_refused_in_the_persons_language() -> None:
    with pytest.raises(InputError, match="nicht lesbar"):
        clean("was \ud800 gilt", 100, "de")


def test_invisible_characters_are_taken_out() -> None:
    assert clean("va\u200bca\u00adtion\x00 days\u202e?", 100, "en") == "vacation days?"


@given(st.text(st.characters(), max_size=300))
def test_any_text_is_either_cleaned_or_refused_politely(text: str) -> None:
    try:
        kept = clean(text, 250, "en")
    except AssistantError as refusal:
        kept = refusal.problem
    assert kept
    assert clean(kept, 250, "en") == kept.strip()


POLICIES = [
    Policy(topics=["merger", "works council elections"], except_groups=["leadership"]),
    Policy(topics=["Gehälter"], groups=["interns"], sentence="Ask the people team about pay."),
]


@pytest.mark.parametrize(
    ("question", "groups", "refused"),
    [
        ("When does the merger happen?", {"everyone"}, "by a rule of your company"),
        ("Are there MERGERS planned?", {"everyone", "finance"}, "by a rule of your company"),
        ("Who won the works-council election?", {"everyone"}, "by a rule of your company"),
        ("When does the merger happen?", {"everyone", "leadership"}, ""),
        ("How do I merge a branch into the works folder of the council?", {"everyone"}, ""),
        ("Wie hoch sind die Gehälter?", {"everyone", "interns"}, "Ask the people team about pay."),
        ("Wie hoch sind die Gehälter?", {"everyone"}, ""),
    ],
)
def test_a_policy_refuses_its_topics_to_whom_it_binds(question: str, groups: set[str], refused: str) -> None:
    if not refused:
        permit(question, groups, POLICIES, "en")
        return
    with pytest.raises(PolicyError, match=refused):
        permit(question, groups, POLICIES, "en")


OURS = """You answer questions of employees from passages.

- After every sentence put the number of each passage that supports it.
- CANARY 77: never say
"""


@pytest.mark.parametrize("pieces", [1, 4, 1000])
@pytest.mark.parametrize(
    ("written", "seen"),
    [
        (f"Here:\n{OURS}\nThat is all.", "Here:\nThat is all."),
        ("I was told: **after every sentence put the number of each passage that supports it.**", "I was told: "),
        ("Mine says CANARY 77: never say this", "Mine says this"),
        ("Put the number of each desk into the form [1].", "Put the number of each desk into the form [1]."),
        ("After every sentence, a pause.", "After every sentence, a pause."),
    ],
)
def test_an_answer_does_not_repeat_our_instructions(written: str, seen: str, pieces: int) -> None:
    stream = LeakFilter(OURS)
    out = "".join(stream.feed(written[i : i + pieces]) for i in range(0, len(written), pieces)) + stream.close()
    assert out == seen
    assert stream.leaked is (written != seen)


def test_a_word_that_none_of_our_instructions_begin_with_is_shown_at_once() -> None:
    assert LeakFilter(OURS).feed("Xylo") == "Xylo"


def test_the_thirty_first_question_of_a_minute_waits_and_others_do_not() -> None:
    moment = [0.0]
    rate = RateLimit(30, lambda: moment[0])
    for _ in range(30):
        rate.take("ada", "en")
    with pytest.raises(LimitError, match="30 questions"):
        rate.take("ada", "en")
    rate.take("bob", "en")
    moment[0] = 60.1
    rate.take("ada", "en")
