"""What was typed wrong is read as the word that was meant: only what no document has, within the asker's rights."""

from __future__ import annotations

import asyncio
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.index import retrieve
from assistant.index.spelling import Words
from assistant.index.store import Table
from bench.spelling import misspelt, mistyped
from tests.index.conftest import Index, asker

EVERYONE, FINANCE = 1, 2
WRITTEN = (
    "Every employee has 28 days of annual holiday. Expenses are paid after approval. The password has twelve letters. "
    "Sunniva Brekke leads Engineering. Überstunden werden im Folgemonat ausgeglichen. Accommodation is booked by us."
)
WORDS = Words(
    [(w.strip("."), EVERYONE, 3) for w in WRITTEN.split() if w.isalpha() or w.endswith(".")]
    + [("Falconry", FINANCE, 9), ("severance", FINANCE, 9)]
)


def read(text: str, language: str = "en", rules: tuple[int, ...] = (EVERYONE,)) -> str:
    return WORDS.spelled(text, language, rules).text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("how many days of holliday does an employe get", "how many days of holiday does an employee get"),
        ("Pasword letters?", "Password letters?"),
        ("how long is my passwrod", "how long is my password"),
        ("who books accomodation for me", "who books accommodation for me"),
        ("Who is Sunnvia Brekke?", "Who is Sunniva Brekke?"),
        ("who is sunnvia brekke", "who is sunniva brekke"),
        ("WHO GETS A HOLLIDAY", "WHO GETS A Holiday"),
        ("are expneses paid", "are expenses paid"),
        ("xepenses", "expenses"),
        ("Wann werden Überstunen ausgeglichen?", "Wann werden Überstunden ausgeglichen?"),
    ],
)
def test_a_misspelt_word_is_read_as_the_nearest_word_of_the_documents(typed: str, meant: str) -> None:
    found = WORDS.spelled(typed, "en", [EVERYONE])
    assert found.text == meant
    assert WORDS.strange(typed, "en")
    assert all(was in typed and now in meant for was, now in found.changed)


@pytest.mark.parametrize(
    "typed",
    [
        "how do I book a vacation",  # no document has it, but it is a word
        "are employees paid for holidays",  # a form of one that they have
        "what does EXPNS mean",  # an abbreviation
        "where is /pasword or me@pasword or pasword2",  # a piece of an address or a code
        'who wrote "pasword" and “holliday”',  # in quotation marks
        "how long is the lease of Pasword",  # a name, and no name of the documents is near
        "xylophonist",  # near nothing
        "where is paswrd",  # more than one mistake away
        "",
        "p" * 4_000,
        "pasword " * 600,  # so many are of a language that we do not know
    ],
)
def test_what_is_no_misspelt_word_of_the_documents_stays_as_it_was_typed(typed: str) -> None:
    assert WORDS.spelled(typed, "en", [EVERYONE]).text == typed
    assert WORDS.spelled(typed, "en", [EVERYONE]).changed == ()


def test_in_a_language_whose_words_we_do_not_know_short_words_stay() -> None:
    assert read("ich hatte hollda", "de") == "ich hatte hollda"
    assert read("wieviel Überstundn", "de") == "wieviel Überstunden"


def test_nobody_learns_a_word_of_documents_that_they_may_not_read() -> None:
    for typed in ("what is falconr", "what is severence pay"):
        assert read(typed) == typed
        assert read(typed, rules=()) == typed
        assert read(typed, rules=(EVERYONE, FINANCE)) != typed


PIECES = st.sampled_from([*WRITTEN.split(), "vacation", "FALCON", '"', "me@", "/etc", "7", "severence", "über", "ß"])


@given(st.lists(PIECES | st.text(max_size=6), max_size=8), st.randoms(use_true_random=False), st.booleans())
def test_only_what_is_named_as_changed_is_changed_and_nothing_is_left_to_change(
    pieces: list[str], rng: random.Random, finance: bool
) -> None:
    typed = " ".join(mistyped(p, rng) if len(p) > 4 and rng.random() < 0.5 else p for p in pieces)
    rules = [EVERYONE, FINANCE] if finance else [EVERYONE]
    found = WORDS.spelled(typed, "en", rules)
    assert WORDS.spelled(found.text, "en", rules).changed == ()
    assert bool(found.changed) <= WORDS.strange(typed, "en")
    left, at = list(found.changed), 0
    for was, now in zip(re.findall(r"\w+|\W+", typed), re.findall(r"\w+|\W+", found.text), strict=True):
        if was != now:
            assert (was, now) == left[at]
            at += 1
    assert at == len(left)


def test_the_bench_puts_one_mistake_behind_the_first_letter() -> None:
    rng = random.Random(1)
    for _ in range(200):
        made = mistyped("holiday", rng)
        assert made[0] == "h"
        assert abs(len(made) - 7) <= 1
    assert misspelt("a pay day", 2, rng) == "a pay day"


async def test_the_words_are_those_of_the_release_that_answers(index: Index) -> None:
    await index.sync({"a.txt": "The password is long.", "finance/b.txt": "The severance is paid in cash."})
    index.restrict(finance=["finance"])
    await index.sync()
    knowledge, who = index.knowledge, asker()
    assert (await knowledge.spelled(who, "how long is a passwrod", "en")).text == "how long is a password"
    assert (await knowledge.spelled(who, "what severrance", "en")).changed == ()
    assert (await knowledge.spelled(asker("finance"), "what severrance", "en")).text == "what severance"
    await index.sync({"c.txt": "Sabbaticals last a year."})
    await knowledge.release()
    assert (await knowledge.spelled(who, "a sabaticals", "en")).text == "a sabbaticals"


async def test_words_that_cannot_be_read_leave_a_question_as_it_is(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await index.sync({"a.txt": "The password is long."})

    async def broken(self: Table) -> None:
        raise OSError("/secret/path/password")

    monkeypatch.setattr(Table, "words", broken)
    assert (await index.knowledge.spelled(asker(), "passwrod", "en")).text == "passwrod"
    assert "the words of release 1 cannot be read: OSError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_question_does_not_wait_long_for_words_and_one_after_it_has_them(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.sync({"a.txt": "The password is long."})
    held, go = index.knowledge, asyncio.Event()
    counted = Table.words

    async def slow(self: Table) -> object:
        await go.wait()
        return await counted(self)

    monkeypatch.setattr(Table, "words", slow)
    monkeypatch.setattr(retrieve, "WORDS_S", 0.01)
    assert (await held.spelled(asker(), "passwrod", "en")).text == "passwrod"
    go.set()
    await held.read_words(await held.release())
    assert (await held.spelled(asker(), "passwrod", "en")).text == "password"


async def test_an_index_without_a_word_changes_nothing(index: Index) -> None:
    await index.sync({"a.txt": "12 34 56."})
    assert (await index.knowledge.spelled(asker(), "passwrod", "en")).text == "passwrod"


def test_words_that_no_document_has_in_any_form_are_told_of_once() -> None:
    assert WORDS.missing("How much PTO, pto and furlough has an employee?") == ["pto", "furlough"]
    assert WORDS.missing("employees, passwords, an expense and the letter; “furlough” at pto@lindt.example") == []
