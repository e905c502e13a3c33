"""What is written about the code is what the code does."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import ReceiptRow
from assistant.domain import Decision, Level, PassageUse, Receipt, Scores, SentenceCheck, Verdict, now
from assistant.memory import people
from assistant.settings import PROJECT, load
from tests.ops.conftest import answered

DOCS = PROJECT / "docs"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_make", DOCS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads((DOCS / "receipt.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
async def file_db(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    await database.migrate()
    yield database
    await database.close()


def test_the_made_pages_are_what_the_code_says(make: ModuleType) -> None:
    assert make.differing() == [], "run: python docs/make.py"


def test_a_page_that_differs_is_noticed_and_written_again(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "DOCS", tmp_path)
    (tmp_path / "settings.md").write_text("something else")
    assert make.main(check=True) == 1
    assert (tmp_path / "settings.md").read_text() == "something else"
    assert make.main(check=False) == 0
    assert make.main(check=True) == 0


def test_every_setting_is_described_in_words(make: ModuleType) -> None:
    for name, _, section in make.sections():
        assert section.get("description"), f"[{name}] has no description"
        for key, _, _, description, _ in make.rows(section):
            assert description, f"{name}.{key} has no description"
            assert not description.endswith("."), f"{name}.{key}"


def test_every_key_of_the_shipped_settings_stands_in_the_page() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    shipped = (PROJECT / "assistant.toml").read_text(encoding="utf-8")
    load(PROJECT / "assistant.toml")
    for line in shipped.splitlines():
        key, equals, _ = line.lstrip("# ").partition(" = ")
        if equals and key.isidentifier():
            assert f"| `{key}` |" in page, key


def test_the_receipts_schema_is_one(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema_version"]["const"] == 1


async def test_a_receipt_as_it_is_stored_is_valid_by_the_published_schema(file_db: Database, schema: Any) -> None:
    asker = people.asker_of(await people.add(file_db, "ada@example.test"))
    answer = await answered(file_db, asker)
    async with file_db.read() as session:
        (row,) = (await session.exec(select(ReceiptRow))).all()
    jsonschema.validate(row.body, schema)
    assert Receipt.model_validate(row.body) == answer.receipt


def test_a_receipt_with_every_part_is_valid_by_the_published_schema(schema: Any) -> None:
    use = PassageUse(
        n=1, passage="p", document_id=1, document="a.md", title="A", place="page 2", text_hash="x", scores=Scores(),
        cited=True,
    )  # fmt: skip
    receipt = Receipt(
        id="a", thread="t", asked="q", searched="q", fused_with=("before",), release=1, passages=(use,),
        decision=Decision(level=Level.WEAK, score=0.5, threshold=0.6, reason="little"),
        verification=(SentenceCheck(start=0, end=4, citations=(1,), verdict=Verdict.SUPPORTED),),
        outcome="stopped", created_at=now(),
    )  # fmt: skip
    jsonschema.validate(receipt.model_dump(mode="json"), schema)


@pytest.mark.parametrize(
    "change", [{"unknown": 1}, {"schema_version": 2}, {"outcome": "fine"}, {"decision": {}}, {"cost_nano": "5"}]
)
def test_what_is_no_receipt_is_refused_by_the_published_schema(schema: Any, change: dict[str, Any]) -> None:
    receipt = Receipt(
        id="a", thread="t", asked="q", searched="q", decision=Decision(level=Level.ANSWERED), created_at=now()
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**receipt.model_dump(mode="json"), **change}, schema)
