"""Sentences of ours in the place of an answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assistant.chat.conflicts import Conflict
from assistant.chat.remarks import contradicted, declined, expired, unnamed
from assistant.domain import Nearest, Passage, Place
from assistant.index.retrieve import Found


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


def titled(title: str) -> Passage:
    return Passage(id="1", document_id=1, document="a", title=title, text="", place=Place(), access=1, text_hash="")


@pytest.mark.parametrize(("language", "said"), [("en", "1 March 2026"), ("de", "1. März 2026")])
def test_the_dates_of_documents_are_said_as_the_reader_writes_them(language: str, said: str) -> None:
    on = datetime(2026, 3, 1, tzinfo=UTC)
    conflict = Conflict(titled("Leave"), titled("Holidays"), "25 days", "30 days", on, None, True)
    (sentence,) = contradicted([conflict], language)
    assert f"({said})" in sentence
    assert sentence.count("(") == 1, "a document without a date has none"
    (warning,) = expired("All get it [1].", Found((titled("Leave"),), 1, expired={1: on}), language)
    assert said in warning


def found(text: str) -> Found:
    place = Place(headings=("How do I get in?",))
    one = Passage(
        id="p", document_id=1, document="leeds.md", title="Leeds", text=text, place=place, access=1, text_hash="h"
    )
    return Found((one,), 1)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("what is the wifi password in the Berlin office", "*None of the passages found names “Berlin”.*"),
        ("Which airline does Mr Pete Miller, from the Hamburg team, use?", "“Pete Miller”, “Hamburg”"),
        ("What is the Berlin office address", "“Berlin”"),
        # Named by the passage or its title, in lower case, at the start of a sentence, in a headline, in a mail.
        ("what is the wifi password in the Leeds office", ""),
        ("what do guests of the Concur Hotel type?", ""),
        ("what is the wifi password in the berlin office", ""),
        ("is the canteen open on a Friday in August", ""),
        ("was kostet eine Schulung beim Kunden pro Tag in Euro", ""),
        ("Berlin office: what is the wifi password? Berlin is new.", ""),
        ("The Wifi Password Of The Berlin Office", ""),
        ("what is the password of the wifi?\n\nThanks\nall the best Pete", ""),
        ("Wie lautet das Passwort für das WLAN im Büro in Hamburg?", ""),
    ],
)
def test_a_name_that_no_passage_has_is_told_of(question: str, said: str) -> None:
    told = "".join(
        f"*{sentence}*" for sentence in unnamed(question, found("Guests of the Concur Hotel type it."), "en")
    )
    assert said in told
    assert bool(told) == bool(said)
    assert not unnamed(question, found("Guests type it."), "en", {"berlin", "pete", "hamburg", "concur", "leeds"})
