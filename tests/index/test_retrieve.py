from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import QueryBundle

from assistant.chat import decide
from assistant.errors import NotFoundError
from assistant.index import release
from assistant.index.embed import MiniLM
from assistant.index.parse import parse
from assistant.index.retrieve import Knowledge, ThreadQuery
from assistant.index.scoring import Recipe, fuse, normalised, of_pieces, pieces, stages
from assistant.index.vector_store import PassageVectorStore
from tests.index.conftest import HashEmbedder, Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 50, allow_subnormal=False), max_size=8)


@given(scores)
def test_normalised_scores_lie_between_nothing_and_one_and_keep_their_order(found: dict[str, float]) -> None:
    for floor in (None, 0.0):
        out = normalised(found, floor)
        assert out.keys() == found.keys()
        assert all(0 <= v <= 1 for v in out.values())
        assert not out or max(out.values()) == 1
        for a, score in found.items():
            assert all(out[a] >= out[b] for b, other in found.items() if score > other)


def test_a_lone_hit_counts_in_full_and_the_zero_of_bm25_is_nothing() -> None:
    assert normalised({"a": 0.2}) == {"a": 1.0}
    assert normalised({"a": 3.0, "b": 3.0}) == {"a": 1.0, "b": 1.0}
    assert normalised({"a": 4.0, "b": 2.0, "c": 0.0}, 0.0) == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert normalised({"a": 4.0, "b": 2.0}) == {"a": 1.0, "b": 0.0}
    assert normalised({}) == {}


@given(scores, scores)
def test_fusing_adds_what_any_list_has(one: dict[str, float], two: dict[str, float]) -> None:
    out = fuse([(one, 0.5), (two, 2.0)])
    assert out.keys() == one.keys() | two.keys()
    for key, value in out.items():
        assert value == pytest.approx(0.5 * one.get(key, 0.0) + 2.0 * two.get(key, 0.0))


def test_a_long_question_counts_by_its_mean_and_its_best_piece() -> None:
    assert of_pieces([{"a": 0.3}]) == {"a": 0.3}
    # What a list does not reach counts there as its last.
    assert of_pieces([{"a": 0.8, "b": 0.2}, {"b": 0.6}]) == {"a": pytest.approx(0.75), "b": pytest.approx(0.5)}
    assert pieces("a few words") == ["a few words"]
    long = " ".join(f"w{n}" for n in range(130))
    assert " ".join(pieces(long)) == long
    assert len(pieces(long * 50)) <= 12


BOOK = {
    "leave/holiday.md": "# Holiday\n\nEmployees take thirty days of holiday. Days are requested in the portal.",
    "leave/interns.md": "# Interns\n\nInterns take twelve days.",
    "it/interns.md": "# Interns and laptops\n\nInterns bring no laptop; they borrow one.",
    "it/laptops.md": "# Laptops\n\nLaptops are replaced after four years.",
}


async def test_a_follow_up_finds_what_its_own_words_do_not(index: Index) -> None:
    await index.sync(BOOK)
    alone = await index.knowledge.search(asker(), "and how many for them?", 1)
    threaded = await index.knowledge.search(
        asker(), "and how many for them?", 1, before=[("holiday days requested in the portal", 1.0)]
    )
    assert threaded.passages[0].document == "leave/holiday.md"
    assert [p.document for p in alone.passages] != ["leave/holiday.md"]
    # Blank texts and texts without weight change nothing.
    same = await index.knowledge.search(asker(), "laptops", 3, before=[("  ", 1.0), ("holiday", 0.0)])
    assert same.passages == (await index.knowledge.search(asker(), "laptops", 3)).passages


async def test_the_answer_before_leans_on_the_order_and_not_on_how_well_the_question_is_met(index: Index) -> None:
    await index.sync(BOOK)
    today = await index.knowledge.today(asker())
    store = PassageVectorStore(today.opened.table, list(today.rules))
    thread = [("and for them?", 1.0), ("what is given to people", 0.3), ("They borrow a laptop.", 0.3)]
    apart, leaning = [await stages(store, index.embedder, thread, Recipe(late_before=share)) for share in (0.0, 0.5)]
    assert leaning.late == apart.late
    documents = {row["id"]: row["document"] for row in await today.opened.table.passages(list(leaning.final))}
    gained = {documents[i]: leaning.final[i] - apart.final[i] for i in leaning.final}
    assert max(gained, key=lambda d: gained[d]) == "it/interns.md"


async def test_a_passage_carries_its_exact_text_and_place(index: Index) -> None:
    source = "# Rules\n\n## Travel\n\n" + "Trains are booked early. " * 40 + "\n\n## Food\n\n" + "Soup is free. " * 80
    await index.sync({"rules.md": source})
    parsed = parse("rules.md", source.encode())
    found = await index.knowledge.search(asker(), "soup", 2)
    assert found.passages
    for p in found.passages:
        assert p.text == parsed.text[p.place.start : p.place.end]
        assert p.text_hash == hashlib.sha256(p.text.encode()).hexdigest()[:16]
        assert (p.document, p.title) == ("rules.md", "Rules")
    assert found.passages[0].place.headings == ("Food",)
    assert found.passages[0].place.label() == "Food"


async def test_a_passage_is_shown_in_its_surroundings_without_saying_anything_twice(index: Index) -> None:
    lines = [f"Line {n} of the long document says its number {n} once." for n in range(120)]
    await index.sync({"long.md": "# Long\n\n" + "\n\n".join(lines)})
    _, table = await release.open_active(index.db, index.store)
    rows = sorted([r async for r in table.rows(["id", "start"])], key=lambda r: r["start"])
    assert len(rows) > 5
    shown = [await index.knowledge.passage(asker(), r["id"]) for r in rows]
    assert (shown[0].before, shown[-1].after) == ("", "")
    text = parse("long.md", ("# Long\n\n" + "\n\n".join(lines)).encode()).text
    for s in shown:
        for line in lines:
            assert (s.before + s.passage.text + s.after).count(line) <= 1
        assert text.startswith(s.passage.text, s.passage.place.start)
        assert s.before == "" or text.find(s.before[-100:]) < s.passage.place.start
        assert s.after == "" or text.find(s.after[:100]) >= s.passage.place.end
        assert len(s.before) <= 700 >= len(s.after)
    middle = shown[3]
    assert middle.before.rstrip().endswith(text[: middle.passage.place.start].rstrip()[-60:])
    assert middle.after.lstrip().startswith(text[middle.passage.place.end :].lstrip()[:60])


async def test_passages_of_a_swept_release_are_looked_for_in_the_active_one(index: Index) -> None:
    await index.sync(BOOK)
    passage = (await index.knowledge.search(asker(), "laptops replaced", 1)).passages[0]
    for n in range(4):
        await index.sync({"news.md": f"# News\n\nNumber {n}."})
    assert (await index.knowledge.passage(asker(), passage.id, 1)).passage.text == passage.text
    assert (await index.knowledge.passage(asker(), passage.id, 4)).passage.text == passage.text
    assert (await index.knowledge.passage(asker(), passage.id, 999)).passage.text == passage.text
    with pytest.raises(NotFoundError):
        await index.knowledge.passage(asker(), "x' OR '1'='1", 4)


async def test_one_document_does_not_fill_the_list(index: Index) -> None:
    long = "# Laptops in full\n\n" + "\n\n".join(f"## Part {n}\n\n" + "Laptops again. " * 70 for n in range(8))
    await index.sync({**BOOK, "it/full.md": long})
    found = await index.knowledge.search(asker(), "laptops", 5)
    documents = [p.document for p in found.passages]
    assert documents.count("it/full.md") <= 2
    assert len(set(documents)) >= 3
    assert [n.document for n in found.nearest] == list(dict.fromkeys(documents))


async def test_signals_tell_a_question_of_the_documents_from_a_foreign_one(index: Index) -> None:
    await index.sync(BOOK)
    own = (await index.knowledge.search(asker(), "How many days of holiday do employees take?", 3)).signals
    foreign = (await index.knowledge.search(asker(), "Which volcano erupted near Naples?", 3)).signals
    assert own["late"] > foreign["late"] + 0.1
    assert decide.SHIPPED["model"].score(own) > decide.SHIPPED["model"].score(foreign)


@pytest.mark.parametrize(
    "query",
    ["", "   ", "?!", "\x00", "a" * 20_000, "👍🏽", "x' OR '1'='1", '"unclosed', "\ud800", "مرحبا", "NEAR(a b)"],
)
async def test_no_question_breaks_the_search(index: Index, query: str) -> None:
    await index.sync(BOOK)
    assert len((await index.knowledge.search(asker(), query, 3)).passages) <= 3


async def test_the_retriever_gives_llama_index_the_same_passages(index: Index) -> None:
    await index.sync(BOOK)
    retriever = index.knowledge.retriever(asker(), 3)
    nodes = await retriever.aretrieve(QueryBundle("laptops"))
    found = retriever.found.passages
    assert [(n.node.node_id, n.node.get_content(), n.score) for n in nodes] == [
        (p.id, p.text, p.scores.fused) for p in found
    ]
    assert [n.node.metadata["headings"] for n in nodes] == [p.place.headings for p in found]
    threaded = await retriever.aretrieve(ThreadQuery("and them?", before=(("thirty days of holiday", 1.0),)))
    assert threaded[0].node.metadata["document"] == "leave/holiday.md"


async def test_the_file_of_a_document_is_handed_out_only_from_its_source(index: Index) -> None:
    await index.sync(BOOK)
    passage = (await index.knowledge.search(asker(), "laptops replaced", 1)).passages[0]
    original = await index.knowledge.original(asker(), passage.document_id)
    assert original.path == (index.folder / "it/laptops.md").resolve()
    assert (original.title, original.media_type) == ("Laptops", "text/markdown")
    original.path.unlink()
    with pytest.raises(NotFoundError):
        await index.knowledge.original(asker(), passage.document_id)


async def test_the_model_that_ships_finds_by_meaning(index: Index, minilm: MiniLM) -> None:
    index.embedder = minilm  # type: ignore[assignment]
    await index.sync(BOOK)
    found = await index.knowledge.search(asker(), "vacation entitlement of staff", 2)
    assert found.passages[0].document == "leave/holiday.md"
    assert sum(v * v for v in (await minilm.embed(["a"]))[0]) == pytest.approx(1, abs=1e-3)


NOTES = range(7, 47)
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


async def test_a_number_that_few_passages_bear_lifts_them_and_one_that_many_bear_lifts_none(index: Index) -> None:
    # Words of its own keep a note from being taken for a copy of another.
    own = {
        n: " ".join(hashlib.sha256(bytes([n, i])).hexdigest()[:8].translate(_LETTERS) for i in range(9)) for n in NOTES
    }
    await index.sync({f"note-{n}.txt": f"The locker code of depot {n:04} in 2026 is {own[n]}." for n in NOTES})

    async def scores_for(question: str, named: float) -> dict[str, float]:
        knowledge = index.knowledge
        knowledge.recipe = Recipe(named=named)
        found = await knowledge.search(asker(), question, 40)
        return {p.document: p.scores.fused for p in found.passages}

    async def lifted(question: str) -> dict[str, float]:
        plain, lifted = await scores_for(question, 0.0), await scores_for(question, 0.2)
        return {name: round(lifted[name] - plain[name], 3) for name in plain if lifted[name] != plain[name]}

    assert await lifted("What is the locker code of depot 0008?") == {"note-8.txt": 0.2}
    assert await lifted("Are the codes of 0008 and 0011 alike?") == {"note-8.txt": 0.2, "note-11.txt": 0.2}
    assert await lifted("What are the locker codes in 2026?") == {}
    assert await lifted("Which depot has 12 lockers?") == {}


async def test_a_release_of_another_model_is_searched_with_that_model_and_so_is_the_one_gone_back_to(
    index: Index,
) -> None:
    await index.sync({"a.md": "# Trains\n\nTrains are booked in second class."})
    old, new = index.embedder, HashEmbedder("hash-2")
    made = {e.fingerprint: e for e in (old, new)}
    knowledge = Knowledge(index.db, index.store, old, lambda row: made.get(row.embedder))
    alone = Knowledge(index.db, index.store, old)
    index.embedder = new
    await index.sync({"b.md": "# Flights\n\nFlights are the exception."})
    spent = new.embedded, old.embedded
    found = await knowledge.search(asker(), "how are trains booked", 3)
    assert (found.release_id, found.passages[0].document) == (2, "a.md")
    assert found.passages[0].scores.vector > 0
    assert new.embedded > spent[0]
    assert old.embedded == spent[1]
    first, second = [(await release.open_kept(index.db, index.store, n))[0] for n in (1, 2)]
    assert [knowledge.other_embedder(r) for r in (first, second)] == ["", "known"]
    assert [alone.other_embedder(r) for r in (first, second)] == ["", "gone"]
    # Without that model the text alone is searched, and the answer still comes.
    assert (await alone.search(asker(), "how are trains booked", 3)).passages[0].scores.vector == 0
    await release.activate(index.db, index.store, 1, "ada")
    assert (await knowledge.search(asker(), "how are trains booked", 3)).release_id == 1


async def test_what_is_said_aside_helps_to_order_and_is_not_part_of_the_question(index: Index) -> None:
    await index.sync(
        {"a.txt": "Opening hours: the door opens at nine.", "b.txt": "Opening hours: the shop opens at ten."}
    )
    alone = await index.knowledge.search(asker(), "opening hours", 2)
    for said, first in (("the door", "a.txt"), ("the shop", "b.txt")):
        found = await index.knowledge.search(asker(), "opening hours", 2, aside=[(said, 0.2)])
        assert found.passages[0].document == first
        assert found.signals["late"] == alone.signals["late"]
        leaning = await index.knowledge.search(asker(), "opening hours", 2, before=[(said, 0.2)])
        assert leaning.signals["late"] != alone.signals["late"]
