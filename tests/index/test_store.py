from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from assistant.errors import ReleaseError
from assistant.index.store import INDEX_RULES_FROM, Store, Table
from assistant.index.vector_store import PassageVectorStore
from tests.index.conftest import WIDTH, HashEmbedder

embedder = HashEmbedder()
HOSTILE = [
    "x' OR '1'='1",
    "O'Brien",
    'say "hello"',
    "a; DROP TABLE passages; --",
    "back\\slash",
    "per%cent _under_ *star* ?",
    "`tick` ``double``",
    "NOT (a AND b) OR c",
    "+must -not ~near^2 field:value [a TO b] {c}",
    "NEAR(a, b)",
    "line\nbreak\ttab",
    "\u202eevil\u202c \u200bzero",
    "日本語 ünïcode 👩‍👩‍👧",
    "''",
    '""',
    "NULL",
    "1=1",
    "$1 :name ?1 {x}",
    "a" * 3000,
]


async def rows(*texts: str, access: int = 1, first: int = 0) -> list[dict[str, Any]]:
    read = await embedder.read(texts)
    return [
        {
            "id": f"p{n}",
            "document_id": n,
            "document": f"{n}.md",
            "title": "",
            "text": text,
            "indexed": text,
            "headings": [],
            "page": None,
            "sheet": None,
            "start": 0,
            "end": len(text),
            "access": access,
            "text_hash": "",
            "vector": vector,
            "codes": codes,
        }
        for n, (text, (vector, codes)) in enumerate(zip(texts, read, strict=True), first)
    ]


async def filled(folder: Path, *parts: list[dict[str, Any]]) -> Table:
    table = await Store(str(folder)).create("t", WIDTH)
    for part in parts:
        await table.add(part)
    await table.build_indexes()
    return table


@pytest.fixture(scope="module")
def loop() -> Any:
    """One loop for all examples of a property: LanceDB's connection belongs to it."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def hostile(loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table in which names, ids and texts are hostile."""

    async def make() -> Table:
        made = await rows(*(f"passage number {n} says {text}" for n, text in enumerate(HOSTILE)))
        for row, name in zip(made, HOSTILE, strict=True):
            row |= {"id": name, "document": name, "title": name}
        return await filled(tmp_path_factory.mktemp("hostile"), made)

    return loop.run_until_complete(make())


def test_a_hostile_id_finds_its_own_passage_only(loop: asyncio.AbstractEventLoop, hostile: Table) -> None:
    for name in HOSTILE:
        found = loop.run_until_complete(hostile.passages([name]))
        assert [r["document"] for r in found] == [name]


relaxed = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(max_size=200) | st.lists(st.sampled_from(HOSTILE), max_size=3).map(" ".join)


@relaxed
@given(text=texts)
def test_any_text_is_an_id_and_a_query_without_an_error(
    loop: asyncio.AbstractEventLoop, hostile: Table, text: str
) -> None:
    async def ask() -> None:
        stored = text.encode("utf-8", "replace").decode()
        assert [r["id"] for r in await hostile.passages([stored])] == [n for n in HOSTILE if n == stored]
        found = await hostile.by_text(stored, [1], 50)
        assert set(found) <= set(HOSTILE)
        assert all(score >= 0 for score in found.values())
        assert await hostile.by_text(stored, [], 50) == {}
        assert await hostile.by_text(stored, [2], 50) == {}

    loop.run_until_complete(ask())


@relaxed
@given(rules=st.lists(st.integers(0, 2**31 - 1), max_size=30))
def test_only_the_rules_named_are_searched(loop: asyncio.AbstractEventLoop, hostile: Table, rules: list[int]) -> None:
    async def ask() -> tuple[int, int]:
        vector = (await embedder.embed(["passage"]))[0]
        return len(await hostile.by_text("passage", rules, 50)), len((await hostile.by_vectors([vector], rules, 50))[0])

    expected = len(HOSTILE) if 1 in rules else 0
    assert loop.run_until_complete(ask()) == (expected, expected)


async def test_without_rules_there_is_nothing(tmp_path: Path) -> None:
    table = await filled(tmp_path, await rows("apples and pears"))
    vector = (await embedder.embed(["apples"]))[0]
    assert await table.by_text("apples", [], 5) == {}
    assert await table.by_vectors([vector, vector], [], 5) == [{}, {}]
    assert await table.by_vectors([], [1], 5) == []
    for blank in ("", "  ", "\n", "?!", "the of and", '"'):
        assert await table.by_text(blank, [1], 5) == {}


@pytest.mark.parametrize("hidden", [300, INDEX_RULES_FROM])
async def test_rights_come_before_scoring_so_that_the_list_is_full(tmp_path: Path, hidden: int) -> None:
    # The hidden passages fit best by both measures, and there are far more of them than are asked for.
    best = await rows(*["apples"] * hidden, access=1, first=1000)
    seen = await rows(*(f"apples among many other words {n}" for n in range(10)), access=2)
    table = await filled(tmp_path, best, seen)
    vector = (await embedder.embed(["apples"]))[0]
    expected = {r["id"] for r in seen}
    assert set(await table.by_text("apples", [2], 10)) == expected
    for asked in ([vector], [vector, vector[::-1]]):
        assert [set(found) for found in await table.by_vectors(asked, [2], 10)] == [expected] * len(asked)
    assert len(await table.by_text("apples", [1, 2], 10)) == 10


async def test_scores_are_bm25_and_cosine_best_first(tmp_path: Path) -> None:
    table = await filled(tmp_path, await rows("red apples", "red pears", "green plums"))
    vector = (await embedder.embed(["red apples"]))[0]
    (near,) = await table.by_vectors([vector], [1], 3)
    assert next(iter(near)) == "p0"
    assert near["p0"] == pytest.approx(1.0, abs=1e-5)
    assert list(near.values()) == sorted(near.values(), reverse=True)
    found = await table.by_text("red apple", [1], 3)
    assert list(found) == ["p0", "p1"]
    assert found["p0"] > found["p1"] > 0


async def test_vectors_asked_together_find_what_each_finds_alone(tmp_path: Path) -> None:
    table = await filled(tmp_path, await rows(*(f"text {n} of {n % 7} and {n % 11}" for n in range(300))))
    vectors = await embedder.embed(["text 3", "of 5", "and 9", "text 3"])
    for limit in (1, 20, 1000):
        alone = [(await table.by_vectors([v], [1], limit))[0] for v in vectors]
        together = await table.by_vectors(vectors, [1], limit)
        assert [sorted(found.values()) for found in together] == [
            pytest.approx(sorted(found.values())) for found in alone
        ]
        if limit == 1000:
            assert [found.keys() for found in together] == [found.keys() for found in alone]


async def test_a_document_leaves_whole_and_alone(tmp_path: Path) -> None:
    table = await filled(tmp_path, await rows(*(f"text {n}" for n in range(1200))))
    await table.remove_documents(list(range(600)))
    assert (await table.contents()).passages == 600
    await table.remove_documents([])
    await table.set_access(700, 9)
    await table.build_indexes()
    assert await table.by_text("700", [9], 5) != {}
    assert len(await table.by_text("text", [1], 1000)) == 599


async def test_the_hashes_tell_every_change_and_do_not_depend_on_order(tmp_path: Path) -> None:
    made = await rows("one", "two", "three")
    table = await filled(tmp_path / "a", made)
    held = await table.contents()
    assert await (await filled(tmp_path / "b", made[2:], made[:2])).contents() == held
    for change in ({"text": "x"}, {"access": 5}, {"id": "x"}, {"indexed": "x"}):
        other = await (await filled(tmp_path / f"{change}", [made[0] | change, *made[1:]])).contents()
        assert other.content_hash != held.content_hash
        assert other.vectors_hash == held.vectors_hash
    vector = [*made[0]["vector"][:-1], 0.123]
    other = await (await filled(tmp_path / "v", [made[0] | {"vector": vector}, *made[1:]])).contents()
    assert (other.content_hash, other.vectors_hash != held.vectors_hash) == (held.content_hash, True)


async def test_a_table_that_is_not_there_is_a_release_error(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot be opened"):
        await Store(str(tmp_path)).open("missing")
    await filled(tmp_path, await rows("one"))
    with pytest.raises(ReleaseError, match="cannot be opened"):
        await Store(str(tmp_path)).open("t", 99)


async def test_a_newest_version_that_was_cut_off_does_not_hide_the_ones_before(tmp_path: Path) -> None:
    table = await filled(tmp_path, await rows("one"))
    version = await table.version()
    cut = tmp_path / "t.lance" / "_versions" / f"{2**64 - 2 - version}.manifest"
    cut.write_bytes(b"cut off")
    held = await (await Store(str(tmp_path)).open("t", version)).contents()
    assert held.passages == 1
    assert cut.with_suffix(".damaged").exists()
    # A whole manifest is never touched.
    assert len(list(cut.parent.glob("*.manifest"))) == version


async def test_llama_index_sees_ids_scores_and_places(tmp_path: Path) -> None:
    store = PassageVectorStore(await filled(tmp_path, await rows("red apples", "green pears")), [1])
    text = await store.aquery(
        VectorStoreQuery(query_str="apples", similarity_top_k=5, mode=VectorStoreQueryMode.TEXT_SEARCH)
    )
    assert text.ids == ["p0"]
    vector = (await embedder.embed(["green pears"]))[0]
    near = await store.aquery(VectorStoreQuery(query_embedding=vector, similarity_top_k=5))
    assert near.ids is not None
    assert near.ids[0] == "p1"
    nodes = await store.aget_nodes(["p1", "missing", "p0"])
    assert [n.node_id for n in nodes] == ["p1", "p0"]
    assert nodes[0].metadata["document"] == "1.md"
    for write in (lambda: store.add([]), lambda: store.delete("x"), lambda: store.query(VectorStoreQuery())):
        with pytest.raises(NotImplementedError):
            write()
