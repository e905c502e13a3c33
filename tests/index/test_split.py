from __future__ import annotations

import io
import itertools
import zipfile

from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.index.page import Page, Parsed
from assistant.index.parse import parse
from assistant.index.split import split

words = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=14)
sentence = st.lists(words, min_size=1, max_size=25).map(lambda ws: " ".join(ws) + ".")
prose = st.lists(sentence, min_size=1, max_size=12).map(" ".join)
long_word = st.integers(1, 9_000).map(lambda n: "x" * n)
parts = st.one_of(
    st.tuples(st.just("heading"), sentence, st.integers(1, 6)),
    st.tuples(st.just("text"), prose | long_word, st.just(0)),
    st.tuples(st.just("code"), st.lists(sentence, min_size=1, max_size=30).map("\n".join), st.just(0)),
    st.tuples(st.just("page"), st.just(""), st.integers(1, 99)),
    st.tuples(st.just("sheet"), st.sampled_from(["", "One", "Two"]), st.just(0)),
    st.tuples(st.just("table"), prose, st.integers(1, 30)),
)


@st.composite
def documents(draw: st.DrawFn) -> Parsed:
    page = Page()
    for kind, text, number in draw(st.lists(parts, max_size=25)):
        if kind == "page":
            page.page = number
        elif kind == "sheet":
            page.sheet = text or None
        elif kind == "table":
            page.table([["Name", "Value"], *([f"row{n}", text[:200]] for n in range(number))])
        else:
            page.add(text, kind, number)
    return page.done("text/plain", "")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(parsed=documents(), limit=st.integers(40, 300), overlap=st.integers(0, 60))
def test_passages_are_exact_cover_everything_and_stay_short(parsed: Parsed, limit: int, overlap: int) -> None:
    chunks = split(parsed, limit, overlap)
    covered = bytearray(len(parsed.text))
    for chunk in chunks:
        place = chunk.place
        assert chunk.text == parsed.text[place.start : place.end]
        assert chunk.text.strip()
        assert chunk.indexed.endswith(chunk.text)
        assert len(chunk.text.split()) <= 2 * limit
        covered[place.start : place.end] = b"\x01" * (place.end - place.start)
    for block in parsed.blocks:
        if block.kind != "heading":
            missing = [i for i in range(block.start, block.end) if not covered[i] and not parsed.text[i].isspace()]
            assert missing == []
    starts = [c.place.start for c in chunks]
    assert starts == sorted(starts)


def test_a_passage_knows_its_headings_and_is_found_by_them() -> None:
    parsed = parse("rules.md", b"# Rules\n\n## Travel\n\n### Trains\n\nSecond class.\n\n## Food\n\nSoup.")
    chunks = split(parsed, 40, 0)
    assert parsed.title == "Rules"
    (travel,) = [c for c in chunks if "Second class" in c.text]
    assert travel.place.headings[:2] == ("Travel", "Trains") or travel.place.headings == ("Travel",)
    assert travel.indexed.startswith("Rules\nTravel")


def test_sections_of_some_length_are_apart_and_a_heading_goes_with_its_text() -> None:
    body = " ".join(f"word{n}" for n in range(60)) + "."
    parsed = parse("a.md", f"# One\n\n{body}\n\n# Two\n\n{body}".encode())
    first, second = split(parsed, 80, 20)
    assert first.text.startswith("One")
    assert second.text.startswith("Two\n\nword0")
    assert (first.place.headings, second.place.headings) == ((), ("Two",))


def test_rows_far_down_a_table_keep_their_column_names() -> None:
    table = "Name;Price;Note\n" + "\n".join(f"Part {n};{n}.50;made of steel number {n}" for n in range(100))
    parsed = parse("prices.csv", table.encode())
    chunks = split(parsed, 60, 10)
    assert len(chunks) > 5
    for chunk in chunks:
        assert "Name | Price | Note" in chunk.indexed
    assert "Name: Part 99 | Price: 99.50" in chunks[-1].text


def test_neighbours_share_words_only_within_a_section() -> None:
    sentences = "\n\n".join(f"Sentence number {n} stands here." for n in range(40))
    chunks = split(parse("a.txt", sentences.encode()), 50, 12)
    shared = [max(0, a.place.end - b.place.start) for a, b in itertools.pairwise(chunks)]
    assert all(shared)
    assert all(s < 100 for s in shared)


def test_a_document_of_headings_only_is_one_passage_and_an_empty_one_has_none() -> None:
    assert [c.text for c in split(parse("a.md", b"# Only a title"), 100, 10)] == ["Only a title"]
    assert split(parse("a.md", b"  \n"), 100, 10) == []


def test_two_tables_in_a_row_keep_their_own_column_names() -> None:
    def table(name: str) -> str:
        rows = "".join(f"<tr><td>{name}{n}</td><td>{n} pieces of it</td></tr>" for n in range(40))
        return f"<table><tr><th>{name}</th><th>Count of {name}</th></tr>{rows}</table>"

    chunks = split(parse("a.html", f"<html><body>{table('Bolt')}{table('Nut')}</body></html>".encode()), 40, 0)
    assert len(chunks) > 8
    for chunk in chunks:
        for name in ("Bolt", "Nut"):
            if f"{name}: {name}" in chunk.text:
                assert f"{name} | Count of {name}" in chunk.indexed


def test_code_stays_whole_and_longer_code_is_cut_between_lines() -> None:
    lines = [f"value_{n} = compute({n}); check(value_{n})  # step {n}." for n in range(12)]
    short, coded = "\n".join(lines), [f"\t{line}" for line in lines]
    source = f"# Setup\n\n```\n{short}\n```"
    (whole,) = [c for c in split(parse("a.md", source.encode()), 60, 10) if "compute" in c.text]
    assert "\n".join(coded) in whole.text
    long = "\n".join(lines * 8)
    cut = split(parse("a.md", f"```\n{long}\n```".encode()), 60, 10)
    assert len(cut) > 5
    assert {line for c in cut for line in c.text.split("\n")} == set(coded)


def test_pages_and_headings_stay_with_the_text() -> None:
    page = Page()
    for number in (1, 2, 3):
        page.page = number
        page.add(f"Chapter {number}", "heading", 2)
        page.add(" ".join(f"page{number}word{n}" for n in range(60)))
    for chunk in split(page.done("application/pdf", "Book"), 70, 10):
        assert chunk.place.headings == (f"Chapter {chunk.place.page}",)
        assert f"page{chunk.place.page}word" in chunk.text


def test_files_of_an_archive_share_no_passage_however_short_they_are() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("loans.md", "# Tools\n\nLadders are lent for three days.\n")
        archive.writestr("keys.txt", "A lost key costs 35 euros.")
        archive.writestr("sub/knots.md", "The bowline moors the buoy.\n\n## Other knots\n\nThe clove hitch.\n")
    chunks = split(parse("box.zip", packed.getvalue()), 180, 30)
    assert [(c.place.headings[0], c.text.split("\n\n")[1]) for c in chunks] == [
        ("loans.md", "Tools"),
        ("keys.txt", "A lost key costs 35 euros."),
        ("sub/knots.md", "The bowline moors the buoy."),
    ]
