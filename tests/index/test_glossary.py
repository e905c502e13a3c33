"""A company's own words are searched by what they mean, too, and nothing else of a question is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.database.tables import GlossaryRow
from assistant.errors import InputError, NotFoundError
from assistant.index import glossary
from tests.index.conftest import Index

MEANT = {
    "PTO": "annual leave",
    "holiday": "annual leave",
    "sick note": "medical certificate",
    "note": "minutes of a meeting",
    "IT": "information technology",
    "P45": "leaving papers",
    "R&D": "research",
    "the Barn": "Leeds office",
}
TERMS = [GlossaryRow(key=said.casefold(), said=said, meant=meant, by="") for said, meant in MEANT.items()]


@pytest.mark.parametrize(
    ("asked", "searched"),
    [
        ("how much pto do I get", "how much pto (annual leave) do I get"),
        ("PTO?", "PTO (annual leave)?"),
        ("when do I need a sick note", "when do I need a sick note (medical certificate)"),
        ("do sick notes reach IT?", "do sick notes (medical certificate) reach IT (information technology)?"),
        ("who heads r&d and who sends the P45", "who heads r&d (research) and who sends the P45 (leaving papers)"),
        ("parking at the barn", "parking at the barn (Leeds office)"),
        ("PTO or more PTO", "PTO (annual leave) or more PTO"),
        # Nothing to add.
        ("is PTO annual leave", "is PTO annual leave"),
        ("is it open", "is it open"),
        ("who has “PTO” in the title", "who has “PTO” in the title"),
        ("write to pto@lindt.example", "write to pto@lindt.example"),
        ("", ""),
    ],
)
def test_a_word_of_the_glossary_is_searched_with_what_it_means(asked: str, searched: str) -> None:
    found = glossary.read(asked, TERMS)
    assert found.text == searched
    assert all(f"{said} ({meant})" in searched for said, meant in found.terms)


@given(st.text(max_size=80) | st.lists(st.sampled_from([*MEANT, "a", "of", "“", "days"]), max_size=12).map(" ".join))
def test_what_was_asked_stands_in_what_is_searched_and_little_is_added(asked: str) -> None:
    found = glossary.read(asked, TERMS)
    assert len(found.terms) <= glossary.MOST
    without = found.text
    for _, meant in found.terms:
        without = without.replace(f" ({meant})", "", 1)
    assert without == asked
    assert glossary.read(asked, ()).text == asked


async def test_a_term_is_kept_changed_and_removed_however_it_is_written(index: Index) -> None:
    async with index.db.write() as session:
        await glossary.add(session, "  pto ", "paid  time off", "ada@example.test")
        await glossary.add(session, "PTO", "annual leave", "bo@example.test")
    async with index.db.read() as session:
        assert [(t.said, t.meant, t.by) for t in await glossary.listed(session)] == [
            ("PTO", "annual leave", "bo@example.test")
        ]
    async with index.db.write() as session:
        await glossary.remove(session, "Pto")
        with pytest.raises(NotFoundError, match="glossary list"):
            await glossary.remove(session, "Pto")


@pytest.mark.parametrize(
    ("said", "meant", "problem"),
    [
        ("", "annual leave", "Fill in both"),
        ("PTO", " ", "Fill in both"),
        ("PTO", "pto", "cannot mean itself"),
        ("a@b.example", "mail", "words and numbers"),
        ("“PTO”", "annual leave", "words and numbers"),
        ("PTO", "...", "words and numbers"),
        ("x" * 61, "annual leave", "at most 60"),
        ("PTO", "x" * 121, "at most 60"),
    ],
)
async def test_what_can_be_no_term_is_refused_in_words(index: Index, said: str, meant: str, problem: str) -> None:
    async with index.db.write() as session:
        with pytest.raises(InputError, match=problem):
            await glossary.add(session, said, meant, "ada@example.test")


async def test_a_glossary_holds_no_more_than_is_read_with_each_question(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glossary, "TERMS", 1)
    async with index.db.write() as session:
        await glossary.add(session, "PTO", "annual leave", "ada")
        with pytest.raises(InputError, match="nobody says any more"):
            await glossary.add(session, "holiday", "annual leave", "ada")
        await glossary.add(session, "PTO", "leave", "ada")
