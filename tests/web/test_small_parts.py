"""The small functions that a page's words and marks are made of."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from assistant.domain import (
    Attempt,
    Decision,
    Level,
    PassageUse,
    Place,
    Receipt,
    Scores,
    SentenceCheck,
    ToolUse,
    Verdict,
    now,
)
from assistant.settings import Settings
from assistant.texts import day, figure, section
from assistant.web.admin.render import by, when, with_what
from assistant.web.app import Front
from assistant.web.citations import linked
from assistant.web.in_words import Usual, duration, line, money, place, rows
from assistant.web.limits import Tries
from assistant.web.marks import carrying, claims_citing, flowing, pieces
from assistant.web.opening import announce
from assistant.web.sessions import Visit, enter, zone_named
from assistant.web.templating import code
from assistant.web.today import nearest_today, text_today


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("So it is. [1]", "So it is. [1](#source-1)"),
        ("[1][12]", "[1](#source-1)[12](#source-12)"),
        ("`list[1]` and [2]", "`list[1]` and [2](#source-2)"),
        ("```\na[1]\n```\n[1]", "```\na[1]\n```\n[1](#source-1)"),
        ("```\na[1]", "```\na[1]"),
        ("[1](https://evil.example)", "[1](https://evil.example)"),
        ("[x] [1234]", "[x] [1234]"),
    ],
)
def test_numbers_become_links_and_code_stays_code(text: str, shown: str) -> None:
    assert linked(text) == shown


@pytest.mark.parametrize(("path", "kind"), [("/v1/questions", "application/json"), ("/admin/runs", "text/html")])
async def test_a_program_is_told_in_data_that_the_server_is_starting_and_a_browser_by_a_page(
    path: str, kind: str
) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Front(Settings())), base_url="http://test") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"].startswith(kind)
    assert "The assistant is starting" in answer.text
    assert (kind == "text/html") == ("<html" in answer.text)


def test_a_full_log_keeps_nobody_from_being_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        announce(Settings(data=tmp_path))
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


def test_a_claim_is_marked_by_its_own_words() -> None:
    passage = "Leeds: on the 25th.\nBremen: on the 27th of the month. Parental leave is another matter."
    claims = claims_citing("> When is it? **Leeds: on the 25th.** Where? [1]", 1, [])
    assert [passage[a:b] for a, b in carrying(passage, claims)] == ["Leeds: on the 25th."]


def test_a_quotation_is_marked_where_it_stands_and_nowhere_else() -> None:
    passage = (
        "2.3 In the year you join you get one twelfth per full month. We round up to half days.\n"
        "2.8 Carry-over. Up to 5 days may be carried into the next year and must be taken by 31 March."
    )
    quoted = "Up to 5 days may be carried into the next year and must be taken by 31 March."
    claims = claims_citing(f"> 2.8 Carry-over. **{quoted}** After that they lapse. [1]", 1, [])
    assert [passage[a:b] for a, b in carrying(passage, claims)] == [quoted]


def test_pieces_are_the_whole_passage() -> None:
    passage = "One two three. Four five six. Seven."
    cut = pieces(passage, [(15, 29)])
    assert "".join(str(p["text"]) for p in cut) == passage
    assert [p["claim"] for p in cut] == [False, True, False]


def test_lines_that_the_page_broke_flow_and_lists_stay() -> None:
    assert flowing("Regular\ntherapy is agreed.\n- one\n- two") == "Regular therapy is agreed.\n- one\n- two"


def _receipt(*checks: SentenceCheck) -> Receipt:
    passages = tuple(
        PassageUse(
            n=n,
            passage=f"{n}",
            document_id=n,
            document="d",
            title="t",
            place="",
            text_hash="",
            scores=Scores(),
            cited=True,
        )
        for n in (1, 2)
    )
    return Receipt(
        id="a",
        thread="t",
        asked="q",
        searched="q",
        passages=passages,
        decision=Decision(level=Level.ANSWERED),
        verification=checks,
        created_at=now(),
    )


def test_sentences_that_rest_on_a_hidden_passage_are_not_shown_again() -> None:
    text = "Open fact. [1] Hidden fact. [2]"
    checks = (
        SentenceCheck(start=0, end=14, citations=(1,), verdict=Verdict.SUPPORTED),
        SentenceCheck(start=15, end=31, citations=(2,), verdict=Verdict.SUPPORTED),
    )
    assert text_today(text, _receipt(*checks), {1, 2}, "en") == text
    today = text_today(text, _receipt(*checks), {1}, "en")
    assert "Hidden" not in today
    assert "[2]" not in today
    assert today.startswith("Open fact. [1]")
    assert "no longer available to you" in today
    looked_up = ToolUse(name="find_document", by="rules", outcome="ok", documents=(1, 3))
    named = _receipt(*checks).model_copy(update={"tools": (looked_up,)})
    assert text_today(text, named, {1, 2, 3}, "en") == text
    assert "fact" not in text_today(text, named, {1, 2}, "en")
    unchecked = text_today(text, _receipt(), {1}, "en")
    assert "fact" not in unchecked


def test_a_declined_answer_names_only_what_may_still_be_seen() -> None:
    nearest = [{"document_id": 1, "title": "Open [x]"}, {"document_id": 2, "title": "Secret"}]
    text = "The nearest are Open, Secret."
    assert nearest_today(nearest, text, {1, 2}, "en") == text
    assert "Secret" not in nearest_today(nearest, text, {1}, "en")
    assert "Open \\[x\\]" in nearest_today(nearest, text, {1}, "en")
    assert nearest_today(nearest, text, set(), "en") == "Our documents do not say."


def test_tries_are_counted_by_key_and_forgotten_after_a_minute() -> None:
    clock = [0.0]
    tries = Tries(clock=lambda: clock[0])
    for _ in range(5):
        assert not tries.exhausted("a")
        tries.take("a", "address")
    assert tries.exhausted("a")
    assert tries.exhausted("b", "address")
    assert not tries.exhausted("b")
    tries.give_back("address")
    assert not tries.exhausted("address")
    clock[0] = 61
    assert not tries.exhausted("a")


def test_figures_are_written_as_the_language_writes_them() -> None:
    assert figure("en", 1930) == "1,930"
    assert figure("de", 1930.5, 1) == "1.930,5"
    assert duration("en", 38.2) == "38 ms"
    assert duration("de", 1400) == "1,4 s"
    assert money("en", 1_100_000) == "$0.0011"
    assert day("de", datetime(2026, 5, 12, tzinfo=UTC)) == "12. Mai 2026"


@pytest.mark.parametrize(
    ("stands", "said"),
    [
        (Place(page=2, headings=("Carrying days over",)), "Seite 2 · Carrying days over"),
        (Place(page=12), "Seite 12"),
        (Place(sheet="Preise 2026", headings=("Preise",)), "Blatt Preise 2026 · Preise"),
        (Place(page=1, sheet="Q3"), "Seite 1 · Blatt Q3"),
        (Place(headings=("page three", "sheet 4")), "page three · sheet 4"),
        (Place(), ""),
    ],
)
def test_a_place_is_said_in_the_readers_language_and_headings_stay_as_they_are(stands: Place, said: str) -> None:
    assert place("de", stands.label()) == said
    assert place("en", stands.label()) == stands.label()


def test_times_are_told_by_the_readers_clock_and_as_utc_while_it_is_not_known() -> None:
    moment = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
    enter(Visit(zone=zone_named("Europe/Berlin")))
    assert when("en", moment, clock=True) == "1 April 2026, 00:30"
    just_now = now().astimezone(zone_named("Europe/Berlin"))
    assert when("de", just_now) == f"heute {just_now:%H:%M}"
    enter(Visit())
    assert when("en", moment, clock=True) == "31 March 2026, 22:30 UTC"
    assert when("en", moment) == "31 March 2026"


@pytest.mark.parametrize("name", ["", "../etc/passwd", "/etc/passwd", "Nowhere/Land", "Europe/Berlin\n", "x" * 99])
def test_what_is_no_time_zone_changes_nothing(name: str) -> None:
    assert zone_named(name) is None


def test_what_runs_by_itself_is_named_in_words_and_people_by_their_address() -> None:
    assert by("de", "schedule") == "Zeitplan"
    assert by("en", "indexing run") == "an indexing run"
    assert by("de", "damage check") == "Prüfung auf Schäden"
    assert by("de", "ada@demo.example") == "ada@demo.example"


def test_what_a_deed_was_done_with_is_said_in_the_readers_language_and_names_stay() -> None:
    assert with_what("de", "re-index", "wiki, allow removals, retry failed") == (
        "wiki, Wegfall zugelassen, Fehlgeschlagenes noch einmal"
    )
    assert with_what("en", "re-index", "wiki, allow removals") == "wiki, allow removals"
    assert with_what("de", "add key", "0a1b asks as ada@demo.example") == "0a1b fragt als ada@demo.example"
    assert with_what("de", "dismiss contradiction", "7: documents 1 and 2") == "7: Dokumente 1 und 2"
    assert with_what("de", "add term", "bot asks as Ada: a robot") == "bot asks as Ada: a robot"


def test_a_command_in_a_sentence_looks_like_one_and_nothing_else_becomes_markup() -> None:
    assert code("See `assistant doctor`.") == "See <code>assistant doctor</code>."
    assert code("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"


@pytest.mark.parametrize("name", ["web", "admin"])
def test_every_word_is_there_in_both_languages(name: str) -> None:
    english, german = section("en", name), section("de", name)
    assert english.keys() == german.keys()
    for key, text in english.items():
        fields = {part.split("}")[0] for part in text.split("{")[1:]}
        assert fields == {part.split("}")[0] for part in german[key].split("{")[1:]}, key


@pytest.mark.parametrize(
    ("first", "whole", "usual", "said"),
    [
        (320, 1_400, Usual(None, None, 2_000, 20_000), "first words after 320 ms; within what is allowed"),
        (None, 1_400, Usual(None, None, 2_000, 20_000), "within what is allowed"),
        (2_500, 3_000, Usual(None, None, 2_000, 20_000), "first words after 2.5 s; slower than it should be"),
        (320, 25_000, Usual(900, 30_000, 2_000, 20_000),
         "first words after 320 ms; slower than it should be; 95 of 100 begin within 900 ms (allowed: 2.0 s); "
         "95 of 100 are whole within 30.0 s (allowed: 20.0 s)"),
    ],
)  # fmt: skip
def test_how_fast_an_answer_was_stands_beside_what_is_usual_and_what_is_allowed(
    first: int | None, whole: int, usual: Usual, said: str
) -> None:
    receipt = Receipt(
        id="a", thread="t", asked="q", searched="q", decision=Decision(level=Level.ANSWERED), ms_first=first, ms=whole,
        created_at=now(),
    )  # fmt: skip
    (row,) = (r for r in rows(receipt, "en", None, usual) if r[0] == "How fast")
    assert row[1:] == [said, duration("en", whole)]


def test_a_quotation_is_not_called_checked_for_standing_in_its_own_source() -> None:
    check = SentenceCheck(start=0, end=14, citations=(1,), verdict=Verdict.SUPPORTED)
    quoted = Attempt(feature="answer", provider="builtin", model_asked="built-in", model_served="extract")
    written = quoted.model_copy(update={"provider": "openai", "model_served": "gpt"})
    by_quotes, by_a_model = (_receipt(check).model_copy(update={"attempts": (a,)}) for a in (quoted, written))
    assert line(by_quotes, "en")[0] == {"text": "quoted word for word", "tone": "plain"}
    assert line(by_quotes, "de")[0]["text"] == "wörtlich zitiert"
    assert line(by_a_model, "en")[0] == {"text": "1 of 1 statements checked", "tone": "good"}
    given_again = _receipt(check).model_copy(update={"quoted_before": True, "cache": "hit"})
    assert line(given_again, "en")[0] == line(by_quotes, "en")[0]
