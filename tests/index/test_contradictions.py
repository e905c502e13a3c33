from __future__ import annotations

import pytest

from assistant.domain import Passage, Place
from assistant.index.contradictions import Disagreement, among, compared, siblings, statements


def between(one: str, other: str) -> list[Disagreement]:
    return [found for a in statements(one) for b in statements(other) if (found := compared(a, b)) is not None]


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (
            "Welcome. Full-time employees have 30 days of holiday a year.",
            "All full-time employees have 28 days of holiday in a year.",
            ("30", "28"),
        ),
        (
            "Expenses of a trip are claimed by 3 May 2026 at the latest.",
            "Expenses of a trip are claimed by 2026-05-10 at the latest.",
            ("3", "2026-05-10"),
        ),
        (
            "A hotel may cost up to 120 € a night in Hamburg.",
            "In Hamburg a hotel may cost up to 140 € a night.",
            ("120", "140"),
        ),
        (
            "The service desk is open until 17:00 on Fridays.",
            "The service desk is open on Fridays until 6 pm.",
            ("17:00", "6"),
        ),
        (
            "The kitchen on the second floor has thirty chairs.",
            "The kitchen on the second floor has 25 chairs.",
            ("thirty", "25"),
        ),
    ],
)
def test_sentences_of_the_same_words_with_another_figure_contradict(
    one: str, other: str, says: tuple[str, str]
) -> None:
    (found,) = between(one, other)
    assert tuple(s.split()[0] for s in found.says) == says
    assert one[slice(*found.one)].endswith(".")
    assert found.says[0].split()[0] in one[slice(*found.one)]
    assert len(between(other, one)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Part-time employees have 15 days of holiday a year.", "Employees have 30 days of holiday a year."),
        ("Full-time employees have 30 days of holiday.", "Full-time employees have thirty days of holiday."),
        ("After 5 years you have 30 days of holiday.", "After 10 years you have 33 days of holiday."),
        ("The Berlin office of the sales team opens at 8:00.", "The Munich office of the sales team opens at 9:00."),
        ("Employees must book trips 14 days ahead.", "Managers must approve trips within 3 days."),
        ("Guests need a badge for 2 days in the office.", "Guests need no badge for 1 day in the office."),
        ("The server runs version API-2 with 4 cores each.", "The server runs version API-3 with 8 cores each."),
        ("How many desks are there, 40 or 45 at all?", "How many desks are there, 50 or 45 at all?"),
        ("The meeting room has 40 desks.", "The meeting room has 45 chairs."),
        ("Room 12 is booked for the weekly meeting of sales.", "Room 14 is booked for the weekly meeting of sales."),
        ("# Working more than 40 hours in one week", "Working more than 32 hours in one week is fine."),
        ("Owner: Ada Lund, General Counsel | Date: 2026-10-16", "Owner: Ada Lund, General Counsel | Date: 2025-10-01"),
        ("Last reviewed by the people team on 3 May 2026.", "Last reviewed by the people team on 5 May 2026."),
        ("4. Ask the user to reach a goal with the prototype.", "1. Ask the user to reach a goal with the prototype."),
        ("Place: London | Limit: 175 £", "Place: Leeds | Limit: 140 £"),
        ("Place: London | Limit: 175 £", "Place: London | Nights: 3"),
        ("Place: London | Limit: 175 £", "Place: London | Limit: 175 £"),
        ("Step: 1 | Time: 3 days", "Step: 1 | Time: 4 days"),
        ("Room: Elbe | Date: 2026-10-16", "Room: Elbe | Date: 2026-10-17"),
        ("", "The meeting room has 45 chairs."),
    ],
)
def test_what_agrees_or_tells_of_two_things_does_not(one: str, other: str) -> None:
    assert between(one, other) == []


def passage(document: int, title: str, text: str) -> Passage:
    return Passage(
        id=f"p{document}", document_id=document, document=f"{document}.md", title=title, text=text, place=Place(),
        access=1, text_hash=str(document),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("title", "other", "two_things"),
    [
        ("Travel policy 2023", "Travel policy 2026", False),
        ("travel_policy_v2", "travel-policy-v3.1", False),
        ("Handbuch Fassung 1", "Handbuch Fassung 2", False),
        ("Office Berlin", "Office Munich", True),
        ("Office 1", "Office 2", True),
        ("Policy 2023 Berlin", "Policy 2026 Munich", True),
    ],
)
def test_titles_that_differ_in_a_version_name_one_thing_and_others_two(
    title: str, other: str, two_things: bool
) -> None:
    assert siblings(title, other) is two_things


def test_among_passages_only_those_of_two_documents_on_the_same_thing_are_named() -> None:
    text = "The warranty period of every device is {} months from delivery."
    old = passage(1, "Terms of sale", text.format(24))
    new = passage(2, "Questions of customers", text.format(12))
    found = among([old, new, passage(1, "Terms of sale", text.format(18))])
    assert next((c.one.id, c.other.id, c.where.says) for c in found) == ("p1", "p2", ("24 month", "12 month"))
    assert all(c.one.document_id != c.other.document_id for c in found)
    falcon, heron = passage(1, "Data sheet Falcon", text.format(24)), passage(2, "Data sheet Heron", text.format(12))
    assert not among([falcon, heron])


def test_short_sentences_are_on_the_same_thing_when_their_titles_are() -> None:
    one, other = "You have 30 days of holiday.", "You have 28 days of holiday."
    assert among([passage(1, "Holiday rules for employees", one), passage(2, "Rules on holiday: employees", other)])
    assert not among([passage(1, "Contract with Alder", one), passage(2, "Minutes", other)])


LIMITS, OLD_LIMITS = "Place: London | Limit: 175 £", "Where: London | Max. per night incl. breakfast: 140 £"


def test_cells_of_one_row_and_column_contradict_whatever_a_lone_column_is_called() -> None:
    new, old = passage(1, "Travel and Expenses Policy 2026", LIMITS), passage(2, "Travel Policy (2023)", OLD_LIMITS)
    (found,) = among([new, old])
    assert found.where.says == ("175 gbp", "140 gbp")
    assert LIMITS[slice(*found.where.one)] == LIMITS
    # Of another matter, in another currency, beside other columns.
    assert not among([new, passage(2, "Office plants", OLD_LIMITS)])
    assert not among([new, passage(2, "Travel Policy (2023)", OLD_LIMITS.replace("£", "€"))])
    assert not among([new, passage(2, "Travel Policy (2023)", f"{OLD_LIMITS} | Deposit: 20 £")])


def test_prices_of_one_article_contradict_column_by_column_and_what_is_named_by_a_code_needs_no_title() -> None:
    one = passage(1, "price list 2025", "SKU: FL3-STD | Product: Logger | List EUR: 122 | List GBP: 106")
    other = passage(2, "Offers", "SKU: FL3-STD | Product: Logger | List EUR: 129 | List GBP: 106 | Lead time weeks: 3")
    (found,) = among([one, other])
    assert found.where.says == ("122 eur", "129 eur")
    apart = other.text.replace("FL3-STD", "FL3-RH")
    assert not among([one, passage(2, "Offers", apart)])


def test_a_row_and_a_sentence_of_the_same_words_contradict() -> None:
    row = passage(1, "Data retention schedule", "Record: Cloud access logs | Kept for: 13 months | System: log store")
    said = passage(2, "Architecture of the cloud", "Access logs are kept for 24 months")
    (found,) = among([row, said])
    assert found.where.says == ("13 month", "24 month")
