from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.index.parse import parse
from assistant.index.wrapped import unwrapped

SENTENCE = (
    "You may swap up to two public holidays a year for days that matter more to you, such as Eid or Diwali; tell your "
    "manager by the end of January, who answers within five working days."
)


def wrap(text: str, width: int) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


@given(
    st.lists(st.from_regex(r"[A-Za-zäöü]{1,12}[,;]?", fullmatch=True), min_size=30, max_size=80), st.integers(50, 90)
)
def test_prose_that_was_broken_to_any_width_is_one_line_again(words: list[str], width: int) -> None:
    text = " ".join(words).replace(";", ",")
    assert unwrapped(wrap(text, width)) == text


@given(st.text(alphabet=st.sampled_from("ab 1.-:>\n\tÄ|;"), max_size=200))
def test_nothing_but_blanks_and_marks_of_quoting_is_ever_lost(text: str) -> None:
    kept = unwrapped(text)
    assert kept.replace(">", "").split() == text.replace(">", "").split()
    assert unwrapped(kept.replace("\n", "\n\n")) == kept.replace("\n", "\n\n")


@pytest.mark.parametrize(
    "text",
    [
        "From: Marlies Duhn <marlies.duhn@larkfeld.example>\nTo: all-bremen@larkfeld.example\nDate: Mon, 19 Oct 2026",
        "1. Channel, severity and roles within ten minutes of the page.\n2. Status page within fifteen minutes.",
        "lf deploy <service> --canary 5     5 % of traffic, then asks\nlf deploy <service> --full         rest",
        "2026-10-12 09:00:01 gateway of the cold store restarted\n2026-10-12 09:00:07 the gateway answered",
        "Larkfeld Instruments\nSpeicherhof 9\n28217 Bremen",
        "for (const logger of loggers) {\n  send(logger, interval);\n}",
        "§ 1 Geltungsbereich der Vereinbarung über die Arbeitszeit\n§ 2 Wochenarbeitszeit",
    ],
)
def test_lines_that_are_meant_stay_lines(text: str) -> None:
    assert unwrapped(text) == text


def test_a_book_without_an_empty_line_is_joined_in_no_time() -> None:
    line = "it was a bright cold day and all the clocks of the town were striking"
    assert unwrapped("\n".join([line] * 200_000)) == " ".join([line] * 200_000)


def test_what_stands_indented_below_a_bullet_belongs_to_it() -> None:
    text = "- Connect by cable\n  in the office once.\n- Restart."
    assert unwrapped(text) == "- Connect by cable in the office once.\n- Restart."


def test_a_quoted_mail_is_joined_without_its_marks() -> None:
    quoted = "\n".join(f"> {line}" for line in wrap(SENTENCE, 70).split("\n"))
    assert unwrapped(quoted) == f"> {SENTENCE}"


@pytest.mark.parametrize("name", ["rule.md", "rule.txt"])
def test_a_sentence_that_was_broken_over_lines_is_one_sentence_in_the_index(name: str) -> None:
    assert SENTENCE in parse(name, f"Holidays\n\n{wrap(SENTENCE, 72)}\n".encode()).text


def test_a_link_that_was_broken_over_lines_is_read_as_a_link() -> None:
    text = "Write to the list of\n[common container\nissues](https://example.com/issues) first."
    assert "common container issues (https://example.com/issues) first." in " ".join(
        parse("a.md", text.encode()).text.split()
    )
