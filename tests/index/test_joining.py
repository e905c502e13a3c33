"""Passages next to each other that both fit are read as one, and such a one opens, resolves and stays within rights."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import NotFoundError
from assistant.index import joining, release
from assistant.index.parse import parse
from assistant.index.retrieve import Found
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")

# A section of four passages about one thing; words that no other document says.
PART = "The otter census counts every otter holt along the river in spring. "
LONG = "# Wildlife\n\n## Otter census\n\n" + "\n\n".join(
    f"{PART}" * 9 + f"Stretch {n} is walked by team {n}." for n in range(4)
)
OTHERS = {
    "canteen.md": "# Canteen\n\nLunch is served at noon.",
    "parking.md": "# Parking\n\nThe gate closes at ten, and the otter on the sign is painted.",
}


def row(n: int, start: int, end: int, text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"p{n}", "document_id": 1, "document": "a.md", "title": "A", "text": text[start:end], "headings": ["S"],
        "page": None, "sheet": None, "start": start, "end": end, "access": 1, "text_hash": "", **more,
    }  # fmt: skip


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A text in blocks, and passages over it that overlap or stand a block's end apart."""
    blocks = draw(st.lists(st.text("abc. ", min_size=3, max_size=30).map(lambda t: f"X{t}y"), min_size=2, max_size=9))
    text, places = "", []
    for block in blocks:
        text += "\n\n" if text else ""
        places.append((len(text), len(text) + len(block)))
        text += block
    rows, at = [], 0
    while at < len(places):
        last = min(len(places) - 1, at + draw(st.integers(0, 2)))
        rows.append(row(len(rows), places[at][0], places[last][1], text))
        if last == len(places) - 1:
            break
        # The next one begins with the last block of this one, where it has others.
        at = last + 1 if last == at or draw(st.booleans()) else last
    return text, rows


@settings(deadline=None)
@given(cut(), st.data())
def test_what_is_joined_reads_as_the_document_and_each_passage_is_shown_once(
    made: tuple[str, list[dict[str, Any]]], data: st.DataObject
) -> None:
    text, rows = made
    by_id = {r["id"]: r for r in rows}
    fit = {i: data.draw(st.sampled_from([0.2, 0.9, 1.0])) for i in by_id}
    order = data.draw(st.permutations(list(by_id)))
    tokens = data.draw(st.integers(5, 40))
    whole = joining.joined(order, by_id, {1: rows}, fit, tokens)
    shown = [{**by_id, **whole.rows}[i] for i in whole.passages]
    for r in shown:
        assert r["text"] == text[r["start"] : r["end"]]
        assert joining.TO not in r["id"] or r["end"] - r["start"] <= tokens * joining.CHARS_PER_TOKEN
    # Nothing that was shown before is lost, and nothing stands twice as a passage of its own.
    assert all(any(s["start"] <= r["start"] and r["end"] <= s["end"] for s in shown) for r in rows)
    assert len(set(whole.passages)) == len(whole.passages)
    assert set(whole.into) <= set(by_id)
    assert set(whole.into.values()) == set(whole.rows)


def test_other_sections_sheets_and_documents_are_not_taken_in() -> None:
    text = "aaaa\n\nbbbb\n\ncccc"
    one = row(0, 0, 4, text)
    for other in (
        row(1, 6, 10, text, headings=["T"]),
        row(1, 6, 10, text, sheet="2"),
        row(1, 6, 10, text, document_id=2),
        row(1, 12, 16, text),
    ):
        rows = {"p0": one, "p1": other}
        whole = joining.joined(["p0", "p1"], rows, {1: [one, other]}, {"p0": 1.0, "p1": 1.0}, 100)
        assert whole.passages == ["p0", "p1"]


def test_one_passage_between_two_that_fit_is_read_with_them_and_two_are_not() -> None:
    text = "\n\n".join(["aaaa"] * 5)
    rows = [row(n, n * 6, n * 6 + 4, text) for n in range(5)]
    for far, joined in ((2, True), (3, False)):
        found = {r["id"]: r for r in (rows[0], rows[far])}
        whole = joining.joined(list(found), found, {1: rows}, dict.fromkeys(found, 1.0), 100)
        assert (whole.passages == [f"p0~p{far}"]) is joined


async def search(index: Index, query: str, tokens: int = 1_000, k: int = 5) -> Found:
    knowledge = index.knowledge
    knowledge.recipe = replace(knowledge.recipe, join_tokens=tokens)
    return await knowledge.search(asker(), query, k)


async def test_a_passage_grows_to_its_section_and_opens_as_it_was_searched(index: Index) -> None:
    await index.sync({"wild.md": LONG, **OTHERS})
    found = await search(index, "otter census holt river spring team")
    first = found.passages[0]
    assert (first.document, joining.TO in first.id) == ("wild.md", True)
    text = parse("wild.md", LONG.encode()).text
    assert first.text == text[first.place.start : first.place.end]
    assert first.text_hash == hashlib.sha256(first.text.encode()).hexdigest()[:16]
    assert first.place.headings == ("Otter census",)
    assert found.fit[first.id] == max(found.fit.values())
    shown = await index.knowledge.passage(asker(), first.id, found.release_id)
    assert (shown.passage.text, shown.passage.id) == (first.text, first.id)
    assert shown.before + first.text + shown.after in text or not shown.before
    # What stands in it is not shown beside it, and others get its place.
    assert all(p.document_id != first.document_id or p.place.start >= first.place.end for p in found.passages[1:])
    assert any(note.startswith("join") for note in found.notes)


async def test_it_grows_no_further_than_its_bound_and_not_at_all_when_switched_off(index: Index) -> None:
    await index.sync({"wild.md": LONG, **OTHERS})
    apart = await search(index, "otter census holt river spring team", 0)
    assert not any(joining.TO in p.id for p in apart.passages)
    for tokens in (400, 800, 1_600):
        found = await search(index, "otter census holt river spring team", tokens)
        grown = [p for p in found.passages if joining.TO in p.id]
        assert all(len(p.text) <= tokens * joining.CHARS_PER_TOKEN for p in grown)
        assert found.signals == apart.signals


async def test_a_joined_passage_is_as_closed_as_its_document(index: Index) -> None:
    await index.sync({"secret/wild.md": LONG, **OTHERS})
    found = await search(index, "otter census holt river spring team")
    grown = next(p for p in found.passages if joining.TO in p.id)
    index.restrict(secret=["leadership"])
    await index.sync()
    with pytest.raises(NotFoundError):
        await index.knowledge.passage(asker(), grown.id, found.release_id)
    assert (await index.knowledge.passage(asker("leadership"), grown.id)).passage.text == grown.text
    assert "secret/wild.md" not in [p.document for p in (await search(index, "otter census")).passages]


async def test_ids_that_join_what_does_not_belong_together_open_nothing(index: Index) -> None:
    await index.sync({"wild.md": LONG, **OTHERS})
    _, table = await release.open_active(index.db, index.store)
    rows = sorted([r async for r in table.rows(["id", "document", "start"])], key=lambda r: (r["document"], r["start"]))
    own = [r["id"] for r in rows if r["document"] == "wild.md"]
    other = next(r["id"] for r in rows if r["document"] == "canteen.md")
    for wrong in (f"{own[0]}~{other}", f"{own[1]}~{own[0]}", f"{own[0]}~", "~", f"{own[0]}~{own[1]}~{own[2]}"):
        with pytest.raises(NotFoundError):
            await index.knowledge.passage(asker(), wrong)
    many = await joining.read(table, [own[0], f"{own[0]}~{own[-1]}", "x~y"])
    assert [r["id"] for r in many] == [own[0], f"{own[0]}~{own[-1]}"]


async def test_a_passage_within_a_grown_one_is_left_out_when_searches_are_put_together(index: Index) -> None:
    await index.sync({"wild.md": LONG, **OTHERS})
    query = "otter census holt river spring team"
    alone, grown = (await search(index, query, 0)).passages, (await search(index, query)).passages
    together = joining.apart([*alone, *grown])
    assert [p.id for p in together if p.document == "wild.md"] == [grown[0].id]
    assert together[0].id == grown[0].id
