"""fsspec's own store in memory stands in for S3 and its like."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest

from assistant.errors import InputError, ParseError
from assistant.index.sources.files import Files
from assistant.settings import Source
from tests.index.conftest import Index, asker

pytestmark = pytest.mark.usefixtures("in_process")
MB = 1_000_000


@pytest.fixture
def bucket() -> Iterator[str]:
    name = f"/bucket{uuid4().hex}"
    yield name
    fsspec.filesystem("memory").rm(name, recursive=True)


def store(bucket: str, files: dict[str, str]) -> None:
    memory = fsspec.filesystem("memory")
    for path, text in files.items():
        memory.pipe(f"{bucket}/{path}", text.encode())


async def test_objects_below_an_address_are_indexed_and_read_again_only_when_they_change(
    index: Index, bucket: str
) -> None:
    store(bucket, {"a/holiday.md": "# Holiday\n\nThirty days.", "a/b/trip.md": "# Trip\n\nTrains.", "other.md": "x"})
    source = Source(name="store", kind="files", url=f"memory:/{bucket}/a", link="https://files.example/{path}")
    assert (await index.sync(None, source)).added == 2
    passages = (await index.knowledge.search(asker(), "thirty days holiday", 3)).passages
    assert passages[0].document == "holiday.md"
    shown = await index.knowledge.passage(asker(), passages[0].id)
    assert shown.link == "https://files.example/holiday.md"
    assert (await index.knowledge.original(asker(), passages[0].document_id)).data == b"# Holiday\n\nThirty days."
    assert (await index.sync(None, source)).unchanged == 2
    store(bucket, {"a/holiday.md": "# Holiday\n\nForty days.", "a/b/.access.toml": 'groups = ["sales"]'})
    again = await index.sync(None, source)
    assert (again.changed, again.unchanged) == (1, 1)
    assert await index.found("trip trains") == ["holiday.md"]
    assert "b/trip.md" in await index.found("trip trains", asker("sales"))


@pytest.mark.parametrize("url", ["file:///etc", "http://127.0.0.1/x", "simplecache::s3://a", "zip://a::s3://b"])
def test_an_address_that_reads_this_machine_or_the_web_is_refused(url: str) -> None:
    try:
        source = Source(name="x", kind="files", url=url)
    except ValueError:
        return
    with pytest.raises(InputError, match="is not read"):
        list(Files(source).documents())


def test_a_store_that_needs_a_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gcsfs", "gcsfs.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"pip install 'assistant\[gcs\]'"):
        list(Files(Source(name="x", kind="files", url="gs://bucket/x")).documents())


def test_nothing_outside_of_the_address_is_read(bucket: str) -> None:
    store(bucket, {"a/x.md": "in", "secret.md": "out"})
    files = Files(Source(name="x", kind="files", url=f"memory:/{bucket}/a"))
    assert files.read("x.md", MB).data == b"in"
    for path in ("../secret.md", "a/../../secret.md", "none.md"):
        with pytest.raises(ParseError):
            files.read(path, MB)
    with pytest.raises(ParseError, match="larger than"):
        files.read("x.md", 1)


def test_an_empty_address_is_an_error_and_no_loss_of_all_documents(bucket: str) -> None:
    store(bucket, {"a.md": "x"})
    with pytest.raises(InputError, match="cannot be listed"):
        list(Files(Source(name="x", kind="files", url=f"memory:/{bucket}/none")).documents())


def test_options_that_are_no_json_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "{secret")
    settings = {"name": "x", "kind": "files", "url": "memory://a", "secret_env": "STORE"}
    with pytest.raises(InputError, match="Correct the value of STORE") as error:
        list(Files(Source.model_validate(settings)).documents())
    assert "{secret" not in str(error.value)
