"""What something is, is asked in a few words and told in fewer."""

from __future__ import annotations

import pytest

from assistant.chat import defining


@pytest.mark.parametrize(
    ("question", "term"),
    [
        ("what is TTS", "TTS"),
        ("What's a PIV?", "PIV"),
        ("what does OKR mean?", "OKR"),
        ("Was bedeutet OKR", "OKR"),
        ("what is the plan?", ""),
        ("what is our travel policy?", ""),
        ("what does OKR mean for my bonus?", ""),
        ("who is Ada?", ""),
    ],
)
def test_what_is_asked_the_meaning_of(question: str, term: str) -> None:
    assert defining.term(question) == term


@pytest.mark.parametrize(
    ("text", "defines"),
    [
        ("OGP - Open Government. OKR - Objectives and Key Results. OMB - The Office.", True),
        ("OKR: what we aim at", True),
        ("We write Objectives and Key Results (OKR) each quarter.", True),
        ("An OKR review: bring your okrs.", False),
        ("OKR stands for objectives.", True),
        ("Our okr is a list of aims.", False),
        ("Since May. An aim. OKR ist eine Liste von Zielen.", True),
        ("Write to okr-help@demo.example - the OKR desk - or call.", False),
    ],
)
def test_a_text_defines_what_it_introduces_and_not_what_it_mentions(text: str, defines: bool) -> None:
    assert defining.defines(text, "okr") == defines
