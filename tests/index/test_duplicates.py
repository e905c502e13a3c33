from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from sqlmodel import select

from assistant.database.tables import DocumentRow
from assistant.index.duplicates import NEAR, Kept, groups
from assistant.index.sketch import resemblance, sketch, text_hash, values
from tests.index.conftest import Files, Index, asker, put

pytestmark = pytest.mark.usefixtures("in_process")


def prose(seed: int, words: int = 400) -> list[str]:
    rng = random.Random(seed)
    return [f"word{rng.randrange(900)}" for _ in range(words)]


def text_of(words: list[str]) -> str:
    return "\n\n".join(" ".join(words[at : at + 40]) + "." for at in range(0, len(words), 40))


def changed(words: list[str], count: int) -> list[str]:
    """The same text with some words replaced, far apart."""
    step = len(words) // (count + 1)
    return [f"other{at}" if at and at % step == 0 and at // step <= count else w for at, w in enumerate(words)]


def aged(folder: Path, files: Files) -> None:
    """Write files, each a day newer than the one before it."""
    put(folder, files)
    for day, name in enumerate(files):
        os.utime(folder / name, (day * 86400.0, day * 86400.0))


async def repeats(index: Index) -> dict[str, str]:
    """Which document repeats which, by path."""
    async with index.db.read() as session:
        rows = (await session.exec(select(DocumentRow))).all()
    path = {row.id: row.path for row in rows}
    return {row.path: path[row.duplicate_of] for row in rows if row.duplicate_of}


def test_the_sketch_tells_how_much_two_texts_have_in_common() -> None:
    words = prose(1)
    for count in (0, 3, 10, 40):
        other = changed(words, count)
        one, two = ({" ".join(w[at : at + 4]) for at in range(len(w) - 3)} for w in (words, other))
        true = len(one & two) / len(one | two)
        told = resemblance(values(sketch(" ".join(words))), values(sketch(" ".join(other))))
        assert told == pytest.approx(true, abs=0.12)
    assert resemblance(values(sketch(" ".join(words))), values(sketch(" ".join(prose(2))))) < 0.05


def test_layout_does_not_make_a_text_another_one() -> None:
    assert text_hash("Holiday rules.\n\n- thirty days off") == text_hash("holiday  RULES: thirty days off!")
    assert text_hash("Holiday rules, thirty days off") != text_hash("Holiday rules, twenty days off")
    assert text_hash("Sheet1") == text_hash(" \n") == ""


def test_every_repeat_names_the_newest_and_none_names_a_repeat() -> None:
    words = prose(3)
    texts = [text_of(words), text_of(changed(words, 2)), text_of(prose(4)), text_of(words), "Short.", "Shorter."]
    kept = [Kept(i, text_hash(t), sketch(t)) for i, t in enumerate(texts, 1)]
    assert groups(kept) == {2: 1, 4: 1}
    assert groups([Kept(i, "", b"") for i in range(1, 4)]) == {}


def test_a_document_that_is_half_another_is_no_repeat_of_it() -> None:
    words = prose(5)
    half = words[:200] + prose(6, 200)
    kept = [Kept(i, text_hash(t), sketch(t)) for i, t in enumerate((text_of(words), text_of(half)), 1)]
    assert 0 < resemblance(values(kept[0].sketch), values(kept[1].sketch)) < NEAR
    assert groups(kept) == {}


async def test_a_text_that_stands_in_two_documents_is_shown_once_from_the_newer(index: Index) -> None:
    text = text_of(prose(7))
    aged(index.folder, {"old.md": text, "copy.txt": text, "other.md": text_of(prose(8))})
    report = await index.sync()
    assert report.duplicates == 1
    assert await repeats(index) == {"old.md": "copy.txt"}
    found = await index.found(" ".join(prose(7)[:12]))
    assert "copy.txt" in found
    assert "old.md" not in found


async def test_of_near_duplicates_what_each_says_alone_is_still_found(index: Index) -> None:
    words = prose(9)
    berlin, munich = [*words, "desk", "berlin", "anna"], [*words, "desk", "munich", "bob"]
    aged(index.folder, {"berlin.md": text_of(berlin), "munich.md": text_of(munich)})
    await index.sync()
    assert await repeats(index) == {"berlin.md": "munich.md"}
    for word in ("berlin anna", "munich bob"):
        knowledge = await index.knowledge.search(asker(), f"desk {word}", 5)
        assert any(word in p.text for p in knowledge.passages)
    texts = [p.text for p in (await index.knowledge.search(asker(), " ".join(words[:12]), 10)).passages]
    assert len(texts) == len(set(texts))


async def test_a_text_is_not_hidden_by_a_twin_that_the_asker_may_not_read(index: Index) -> None:
    index.restrict(board=["board"])
    text = text_of(prose(10))
    aged(index.folder, {"open.md": text, "board/newer.md": text})
    await index.sync()
    query = " ".join(prose(10)[:12])
    assert await repeats(index) == {"open.md": "board/newer.md"}
    assert await index.found(query, asker()) == ["open.md"]
    assert await index.found(query, asker("board")) == ["board/newer.md"]


async def test_a_repeat_stands_alone_again_when_its_twin_is_gone_or_changed(index: Index) -> None:
    text = text_of(prose(11))
    aged(index.folder, {"a.md": text, "b.md": text, "c.md": text})
    await index.sync()
    assert await repeats(index) == {"a.md": "c.md", "b.md": "c.md"}
    await index.sync({"c.md": None})
    assert await repeats(index) == {"a.md": "b.md"}
    await index.sync({"b.md": "Something else."})
    assert await repeats(index) == {}
    assert await index.found(" ".join(prose(11)[:12])) == ["a.md", "b.md"]
