"""Whatever the kind of a source, a run that is killed leaves the release before it, and the next one ends the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlmodel import select

from assistant.database.tables import DocumentRow
from assistant.index import filling, release
from assistant.index.sources.push import About, Push
from assistant.settings import Source
from tests.fakes.serve import serving
from tests.index.conftest import Index, put
from tests.index.sources.test_git import commit, git
from tests.index.sources.test_mail import fill, message
from tests.index.sources.test_website import Site, html

pytestmark = pytest.mark.usefixtures("in_process")
LOT = 10
TEXTS = [f"Paper {n} tells of subject{n} and of what the company holds of it." for n in range(3 * LOT + 4)]


class Killed(BaseException): ...


def make(kind: str, home: Path, site: Site) -> Source:
    if kind == "git":
        home.joinpath("up").mkdir()
        git(home / "up", "init", "--quiet", "--initial-branch", "main")
        commit(home / "up", {f"{n}.md": f"# P{n}\n\n{t}" for n, t in enumerate(TEXTS)})
        return Source(name="s", kind="git", url=str(home / "up"), ref="main")
    if kind == "mail":
        fill(home / "box.mbox", *(message(f"P{n}", t) for n, t in enumerate(TEXTS)))
        return Source(name="s", kind="mail", path=home / "box.mbox")
    if kind == "web":
        site.pages = {"/": html("Start", "x", *(f"/{n}" for n in range(len(TEXTS))))}
        site.pages |= {f"/{n}": html(f"P{n}", t) for n, t in enumerate(TEXTS)}
        return site.source(name="s")
    if kind == "push":
        source = Source(name="s", kind="push")
        for n, text in enumerate(TEXTS):
            Push(source, home / "sources" / "s").put(f"{n}.md", About(), f"# P{n}\n\n{text}".encode())
        return source
    put(home / "files", {f"{n}.md": f"# P{n}\n\n{t}" for n, t in enumerate(TEXTS)})
    return Source(name="s", path=home / "files")


@pytest.mark.parametrize("kind", ["folder", "git", "web", "mail", "push"])
async def test_a_killed_run_loses_nothing_and_the_next_one_embeds_only_what_is_left(
    index: Index, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "EMBEDDED_TOGETHER", LOT)
    site = Site()
    async with serving(site.app) as site.base:
        source = await asyncio.to_thread(make, kind, index.home, site)
        await index.sync({"before.md": "# Before\n\nWhat was there."})
        read, calls = index.embedder.read, 0

        async def third_call_kills(texts: list[str]) -> object:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Killed
            return await read(texts)

        index.embedder.read = third_call_kills  # type: ignore[method-assign, assignment]
        with pytest.raises(Killed):
            await index.sync(None, source)
        index.embedder.read = read  # type: ignore[method-assign]
        assert await index.found("what was there") == ["before.md"]
        report = await index.sync(None, source)
        total = len(TEXTS) + (kind == "web")
        assert (report.documents, report.added, report.failed) == (total + 1, total, [])
        assert 0 < report.embedded < total
        row, table = await release.open_active(index.db, index.store)
        texts = {r["text_hash"] for r in await table.of_document(await _one(index))}
        assert (row.passages, len(texts)) == (total + 1, 1)
        assert (await index.sync(None, source)).unchanged == total


async def _one(index: Index) -> int:
    async with index.db.read() as session:
        found = (await session.exec(select(DocumentRow.id).where(DocumentRow.source == "s"))).first()
    assert found is not None
    return found
