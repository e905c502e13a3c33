"""The demo's documents are of the day that they say, so that newer and older ones are told apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.index.parse import parse
from assistant.settings import PROJECT

DEMO = PROJECT / "data/demo"
BUILT = sorted(p for p in (DEMO / "documents").rglob("*") if p.suffix in {".pdf", ".docx", ".pptx", ".xlsx"})


def stated(document: Path) -> str:
    """The day that the source of a document states; empty where it states none."""
    source = DEMO / "sources" / document.relative_to(DEMO / "documents")
    if source.is_dir():
        first = min(source.glob("*.csv")).read_text(encoding="utf-8").partition("\n")[0]
        return "".join(re.findall(r"\d{4}-\d\d-\d\d", first)[:1])
    text = source.with_name(f"{source.name}.md").read_text(encoding="utf-8")
    return "".join(re.findall(r"^date: (\S+)$", text, re.MULTILINE)[:1])


@pytest.mark.parametrize("document", BUILT, ids=lambda p: p.name)
def test_a_document_of_the_demo_is_of_the_day_that_it_states(document: Path) -> None:
    day = stated(document)
    if not day:
        pytest.skip("it states no day")
    modified = parse(document.name, document.read_bytes()).modified
    assert modified is not None
    assert modified.astimezone(UTC) == datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_most_documents_of_the_demo_state_a_day() -> None:
    assert len(BUILT) > 15
    assert sum(bool(stated(d)) for d in BUILT) >= len(BUILT) - 1
