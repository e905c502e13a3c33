from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import InputError
from assistant.index.evaluate import evaluate
from assistant.settings import IndexSettings
from tests.index.conftest import HashEmbedder

DOCUMENTS = {
    "d1": ("Whales", "Whales are large mammals that live in the ocean."),
    "d2": ("Bread", "Bread is baked from flour, water and yeast."),
    "d3": ("Trains", "Trains run on steel rails between stations."),
    "d4": ("", "Volcanoes erupt lava and ash."),
}
QUERIES = {"q1": "ocean mammals", "q2": "flour and yeast", "q3": "steel rails", "q4": "lava", "q5": "not judged"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus = [{"_id": k, "title": title, "text": text} for k, (title, text) in DOCUMENTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    queries = [{"_id": k, "text": text} for k, text in QUERIES.items()]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\n\n")
    (tmp_path / "qrels").mkdir()
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(1, 5))
    (tmp_path / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return tmp_path


async def test_obvious_questions_are_answered_perfectly(folder: Path) -> None:
    seen: list[str] = []
    figures = await evaluate(
        folder, "test", HashEmbedder(), IndexSettings(), lambda _done, _total, message: seen.append(message)
    )
    assert (figures["documents"], figures["queries"]) == (4, 4)
    perfect = dict.fromkeys(["ndcg@10", "recall@5", "recall@10", "recall@100", "mrr@10"], 1.0)
    assert figures["hybrid"] == figures["text"] == perfect
    assert figures["vector"]["recall@5"] == 1.0
    assert "searching" in seen


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
async def test_a_folder_that_lacks_a_part_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing):
        await evaluate(folder, "test", HashEmbedder(), IndexSettings())


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("queries.jsonl", '{"_id": "q1", "text": "a"}\n{cut', "queries.jsonl:2"),
        ("qrels/test.tsv", "a\tb\tc\n1\t2\t3\n", "test.tsv"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tmuch\n", "test.tsv"),
    ],
)
async def test_a_part_that_cannot_be_read_is_named(folder: Path, file: str, content: str, named: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=named):
        await evaluate(folder, "test", HashEmbedder(), IndexSettings())
