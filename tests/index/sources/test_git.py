"""A repository on this machine, through the program `git`."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.errors import InputError, ParseError
from assistant.index.sources.git import Git
from assistant.settings import Source
from tests.index.conftest import Index, put

pytestmark = pytest.mark.usefixtures("in_process")
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.test")
MB = 1_000_000


def git(at: Path, *words: str, date: str = "2026-01-02T03:04:05Z") -> str:
    env = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date, "PATH": "/usr/bin:/bin", "HOME": str(at)}
    done = subprocess.run(["git", *WHO, *words], cwd=at, check=True, capture_output=True, text=True, env=env)
    return done.stdout.strip()


def commit(at: Path, files: dict[str, str | bytes | None], date: str = "2026-01-02T03:04:05Z") -> str:
    put(at, files)
    git(at, "add", "--all")
    git(at, "commit", "--quiet", "--message", "change", date=date)
    return git(at, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    at = tmp_path / "upstream"
    at.mkdir()
    git(at, "init", "--quiet", "--initial-branch", "main")
    commit(at, {"docs/holiday.md": "# Holiday\n\nThirty days.", "src/code.py": "print()"})
    return at


def source(upstream: Path, **more: object) -> Source:
    return Source.model_validate(
        {"name": "handbook", "kind": "git", "url": str(upstream), "ref": "main", "include": ["docs/**"], **more}
    )


def test_the_files_of_a_ref_are_found_with_blob_date_and_link(upstream: Path, tmp_path: Path) -> None:
    commit(upstream, {"docs/new ü.md": "new"}, date="2026-05-06T00:00:00Z")
    read = Git(source(upstream, link="https://git.example/blob/{ref}/{path}"), tmp_path / "own")
    found = {f.path: f for f in read.documents()}
    assert list(found) == ["docs/holiday.md", "docs/new ü.md"]
    assert found["docs/holiday.md"].modified == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found["docs/new ü.md"].modified == datetime(2026, 5, 6, tzinfo=UTC)
    assert found["docs/new ü.md"].link == "https://git.example/blob/main/docs/new%20%C3%BC.md"
    assert found["docs/holiday.md"].mark == git(upstream, "rev-parse", "main:docs/holiday.md")
    assert read.read("docs/new ü.md", MB).data == b"new"
    with pytest.raises(ParseError, match="larger than"):
        read.read("docs/holiday.md", 3)


def test_links_are_listed_and_never_read_through_and_no_path_leads_out(upstream: Path, tmp_path: Path) -> None:
    (upstream / "docs/out.md").symlink_to("/etc/passwd")
    commit(upstream, {"docs/a.md": "a"})
    read = Git(source(upstream), tmp_path / "own")
    assert {f.path for f in read.documents() if f.problem} == {"docs/out.md"}
    for path in ("../secret", "/etc/passwd", "docs", "docs/none.md", "a\nb", "docs/../docs/a.md", "\0", ""):
        with pytest.raises(ParseError):
            read.read(path, MB)


def test_a_repository_or_ref_that_is_not_there_is_an_error_a_person_understands(upstream: Path, tmp_path: Path) -> None:
    for wrong in (source(tmp_path / "nowhere"), source(upstream, ref="no-such-branch")):
        with pytest.raises(InputError, match="The repository of handbook cannot be read"):
            list(Git(wrong, tmp_path / "own").documents())


@pytest.mark.parametrize("url", ["--upload-pack=touch x", "ext::sh -c touch%20x", ""])
def test_an_address_that_would_run_a_program_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="what git fetch takes"):
        Source(name="x", kind="git", url=url)


async def test_a_run_follows_the_branch_and_reads_only_what_changed(index: Index, upstream: Path) -> None:
    kind = source(upstream)
    first = await index.sync(None, kind)
    assert (first.documents, first.added) == (1, 1)
    assert await index.found("holiday thirty") == ["docs/holiday.md"]
    assert (await index.sync(None, kind)).unchanged == 1
    commit(upstream, {"docs/holiday.md": "# Holiday\n\nForty days.", "docs/b.md": "# B\n\nMore of it."})
    again = await index.sync(None, kind)
    assert (again.added, again.changed, again.unchanged) == (1, 1, 0)
    commit(upstream, {"docs/b.md": None, "docs/.access.toml": 'groups = ["people"]'})
    last = await index.sync(None, kind)
    assert (last.removed, last.unchanged, last.embedded) == (1, 1, 0)
    assert await index.found("holiday") == []
    upstream.rename(upstream.with_name("away"))
    with pytest.raises(InputError, match="cannot be read"):
        await index.sync(None, kind)
