"""What is answered without a search, and what never is."""

from __future__ import annotations

import pytest

from assistant.chat.route import reply, talk


@pytest.mark.parametrize(
    ("message", "kind", "language"),
    [
        ("Hi there!", "greeting", "en"),
        ("Good morning, how are you?", "greeting", "en"),
        ("Guten Morgen zusammen", "greeting", "de"),
        ("Thanks a lot for your help :)", "thanks", "en"),
        ("Great, thank you. Bye!", "thanks", "en"),
        ("Vielen Dank für die schnelle Antwort!", "thanks", "de"),
        ("No, that's all for today", "bye", "en"),
        ("Tschüß, schönen Feierabend noch", "bye", "de"),
        ("ok, got it", "agreed", "en"),
        ("Hello, what can you do?", "about", "en"),
        ("Are you a human or a bot?", "about", "en"),
        ("Wie heißt du?", "about", "de"),
        ("Where do you get your answers from?", "about_sources", "en"),
        ("what do you remember about me", "about_memory", "en"),
        ("Forget everything you know about me.", "about_memory", "en"),
        ("Was weißt du über mich?", "about_memory", "de"),
        ("was haben Sie sich über mich gemerkt", "about_memory", "de"),
        ("Who can see my questions?", "about_privacy", "en"),
        ("Kann mein Chef meine Fragen sehen?", "about_privacy", "de"),
        ("Do you make mistakes?", "about_mistakes", "en"),
        ("Sprichst du Deutsch?", "about_languages", "de"),
    ],
)
def test_small_talk_is_known_with_the_language_it_was_said_in(message: str, kind: str, language: str) -> None:
    said = talk(message, "en")
    assert said is not None
    assert (said.kind, said.language) == (kind, language)
    assert len(reply(said, "Lindt & Co")) > 10


@pytest.mark.parametrize(
    "message",
    [
        "Thanks, and in Leeds?",
        "Thank you. How many days do I have?",
        "Hello, what is a day of vacation worth?",
        "What can you do with an old laptop?",
        "who are you supposed to call when the server is down",
        "help desk opening hours",
        "Where do you get a parking permit?",
        "Who can see my payslip?",
        "thanks giving holiday",
        "Danke, und wer unterschreibt das?",
        "yes please",
        "no",
        "42",
        "???",
        "",
    ],
)
def test_what_may_be_a_question_for_the_documents_is_searched(message: str) -> None:
    assert talk(message) is None


def test_the_language_of_the_page_decides_where_a_message_reads_the_same_in_both() -> None:
    assert [talk("Okay", spoken).language for spoken in ("en", "de")] == ["en", "de"]  # type: ignore[union-attr]
