"""A small index on this machine: SQLite and LanceDB in a folder of the test, and an embedder that is only a hash."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from assistant import settings
from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.domain import EVERYONE, Asker
from assistant.index import filling, ingest, parse, rerank, split
from assistant.index.embed import MiniLM
from assistant.index.retrieve import Knowledge
from assistant.index.run import Parts, Report
from assistant.index.store import Store
from assistant.settings import AccessEntry, IndexSettings, Source
from tests.databases import migrated_file

__all__ = ["migrated_file"]
Files = Mapping[str, str | bytes | None]
WIDTH = 64


class HashEmbedder:
    """Words become places in a vector by their hash: texts with words in common are near. Counts what it is asked."""

    dimension = WIDTH
    word_codes: rerank.WordCodes = "model"

    def __init__(self, fingerprint: str = "hash-1") -> None:
        self.fingerprint = fingerprint
        self.embedded = 0

    async def ready(self) -> None:
        """Nothing to load."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.embedded += len(texts)
        return [self._vector(t) for t in texts]

    async def read(self, texts: Sequence[str]) -> list[tuple[list[float], bytes]]:
        return [(v, rerank.encode(*_words(t))) for v, t in zip(await self.embed(texts), texts, strict=True)]

    async def asked(self, question: str) -> rerank.Asked:
        return rerank.asked(*_words(question))

    @staticmethod
    def _vector(text: str) -> list[float]:
        vector = [0.0] * WIDTH
        for word in re.findall(r"\w+", text.lower()) or [""]:
            digest = hashlib.md5(word.encode("utf-8", "replace"), usedforsecurity=False).digest()
            vector[digest[0] % WIDTH] += 1.0 if digest[1] % 2 else -1.0
        length = math.sqrt(sum(v * v for v in vector))
        return [v / length for v in vector] if length else [1.0] + [0.0] * (WIDTH - 1)


def _words(text: str) -> tuple[list[str], Any]:
    """Words as word pieces, each with what late interaction compares, drawn from its hash."""
    words = re.findall(r"\w+", text.lower()) or ["nothing"]
    seeds = [
        int.from_bytes(hashlib.md5(w.encode("utf-8", "replace"), usedforsecurity=False).digest()[:4]) for w in words
    ]
    states = np.stack([np.random.RandomState(s).standard_normal(WIDTH) for s in seeds])
    return words, rerank.projected(states)


def asker(*groups: str) -> Asker:
    return Asker(person_id="p", email="p@example.test", groups=frozenset({EVERYONE, *groups}))


def put(folder: Path, files: Files) -> None:
    """Write files into a folder; None removes one."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


class Index:
    """An installation's index, as the tests use it: files, runs, releases and questions."""

    def __init__(self, home: Path, db: Database) -> None:
        self.home = home
        self.folder = home / "share"
        self.folder.mkdir(exist_ok=True)
        self.db = db
        self.embedder = HashEmbedder()
        self.settings = IndexSettings(keep_releases=3)
        self.source = Source(name="share", path=self.folder)

    @property
    def store(self) -> Store:
        """A door opened anew, so that nothing that LanceDB keeps in memory hides what is on the disk."""
        return Store(str(self.home / "index"))

    @property
    def parts(self) -> Parts:
        return Parts(self.db, self.store, self.embedder, self.settings, self.home / "index.lock", [])

    @property
    def knowledge(self) -> Knowledge:
        return Knowledge(self.db, self.store, self.embedder)

    async def sync(self, files: Files | None = None, *sources: Source, started_by: str = "test") -> Report:
        put(self.folder, files or {})
        return await ingest.sync(self.parts, sources or [self.source], started_by=started_by)

    def restrict(self, **groups: Sequence[str]) -> None:
        """Give each folder its groups; all else stays open to everyone."""
        entries = [AccessEntry(match=f"{folder}/**", groups=list(named)) for folder, named in groups.items()]
        self.source = Source(name="share", path=self.folder, access=entries)

    async def found(self, query: str, who: Asker | None = None, k: int = 10) -> list[str]:
        """The paths of the documents that a search shows, best first."""
        found = await self.knowledge.search(who or asker(), query, k)
        return list(dict.fromkeys(p.document for p in found.passages))

    async def numbers(self) -> dict[str, int | None]:
        """The numbers of the documents that are indexed, by path."""
        async with self.db.read() as session:
            rows = (await session.exec(select(DocumentRow).where(DocumentRow.state == "indexed"))).all()
        return {d.path: d.id for d in rows}


@pytest.fixture
async def db(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(migrated_file, tmp_path / "assistant.db")
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'assistant.db'}")
    yield database
    await database.close()


@pytest.fixture
def index(tmp_path: Path, db: Database) -> Index:
    return Index(tmp_path, db)


class InThisProcess:
    """Reads files where the test runs: starting a process for each run takes most of a second."""

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    def end(self) -> None: ...

    async def read(self, path: str, data: bytes, words: int, overlap: int) -> object:
        parsed = parse.parse(path, data)
        return parsed, split.split(parsed, words, overlap)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests promise does not depend on where files are parsed; test_workers tests that."""
    monkeypatch.setattr(filling, "Workers", InThisProcess)


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    """The model that ships, built once for all tests."""
    return MiniLM(settings.load().models_dir, threads=1)


@contextmanager
def calls_of(owner: type, name: str, hook: Callable[[], None]) -> Iterator[None]:
    """Run `hook` before each call of a coroutine method."""
    original = getattr(owner, name)

    async def hooked(self: object, *args: object, **kwargs: object) -> object:
        hook()
        return await original(self, *args, **kwargs)

    setattr(owner, name, hooked)
    try:
        yield
    finally:
        setattr(owner, name, original)
