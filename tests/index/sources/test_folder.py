from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from assistant.errors import InputError, ParseError
from assistant.index.sources import folder
from assistant.settings import AccessEntry, Source
from tests.index.conftest import put

MB = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    put(folder, {"a.md": "open", "sub/b.md": "below", "sub/deep/c.txt": "deeper"})
    put(tmp_path, {"secret.md": "secret"})
    return folder


def listed(root: Path, **options: list[str]) -> dict[str, str]:
    return {f.path: f.problem for f in folder.walk(Source(name="share", path=root, **options))}


def test_every_file_below_the_folder_is_found_in_a_stable_order(root: Path) -> None:
    assert list(listed(root)) == ["a.md", "sub/b.md", "sub/deep/c.txt"]
    assert folder.read(root, "sub/deep/c.txt", MB) == b"deeper"


def test_hidden_files_and_office_locks_are_left_out(root: Path) -> None:
    put(root, {".env": "x", ".git/config": "x", "sub/.hidden.md": "x", "~$plan.docx": "x", "sub/Thumbs.db": "x"})
    assert list(listed(root)) == ["a.md", "sub/b.md", "sub/deep/c.txt"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["**/*.md"], [], ["a.md", "sub/b.md"]),
        (["*.txt"], [], ["sub/deep/c.txt"]),
        (["**"], ["sub/**"], ["a.md"]),
        (["sub/**"], ["**/*.txt"], ["sub/b.md"]),
        (["nothing/**"], [], []),
    ],
)
def test_patterns_say_what_is_indexed(root: Path, include: list[str], exclude: list[str], expected: list[str]) -> None:
    assert list(listed(root, include=include, exclude=exclude)) == expected


def test_links_pipes_and_sockets_are_listed_and_never_read(root: Path, tmp_path: Path) -> None:
    (root / "out.md").symlink_to(tmp_path / "secret.md")
    (root / "in.md").symlink_to(root / "a.md")
    (root / "loop.md").symlink_to(root / "loop.md")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.md"))
        found = listed(root)
    refused = {p: problem for p, problem in found.items() if problem}
    assert set(refused) == {"out.md", "in.md", "loop.md", "pipe.md", "socket.md"}
    assert "folder/secret.md" not in found
    for path in (*refused, "folder/secret.md"):
        with pytest.raises(ParseError):
            folder.read(root, path, MB)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.md",
        "sub/../../secret.md",
        "sub/../a.md",
        "/etc/passwd",
        "//etc/passwd",
        "a.md\x00.txt",
        "\x00",
        "/dev/zero",
        "/proc/self/environ",
        "..",
        ".",
        "",
        "sub",
        "a.md/..",
        "missing.md",
        "x" * 5000,
        "..\\secret.md",
        "\u2025/secret.md",
        "%2e%2e/secret.md",
        "\udcff.md",
    ],
)
def test_a_path_that_is_no_file_of_the_folder_is_refused(root: Path, path: str) -> None:
    with pytest.raises(ParseError):
        folder.read(root, path, MB)


def test_a_link_put_in_place_of_a_folder_after_the_walk_is_not_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path, {"elsewhere/b.md": "secret"})
    (root / "sub").rename(root / "was")
    (root / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ParseError, match="outside"):
        folder.read(root, "sub/b.md", MB)
    (root / "sub").unlink()
    (root / "sub").symlink_to(root / "was")
    with pytest.raises(ParseError, match="link"):
        folder.read(root, "sub/b.md", MB)


def test_a_source_that_is_a_link_itself_is_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert "a.md" in listed(tmp_path / "alias")
    assert folder.read(tmp_path / "alias", "a.md", MB) == b"open"


def test_a_file_over_the_limit_is_refused_and_one_at_it_is_read(root: Path) -> None:
    put(root, {"large.txt": b"x" * (MB + 1), "fits.txt": b"x" * MB})
    with pytest.raises(ParseError, match=r"larger than 1 MB; raise index\.max_file_mb"):
        folder.read(root, "large.txt", MB)
    assert len(folder.read(root, "fits.txt", MB)) == MB


def test_a_file_that_changes_while_it_is_read_is_read_again_and_at_last_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    fdopen = os.fdopen

    def changing(handle: int, mode: str) -> object:
        nonlocal opened
        opened += 1
        file = fdopen(handle, mode)
        if opened <= changes:
            read = file.read

            class Half:
                def __enter__(self) -> Half:
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

                def fileno(self) -> int:
                    return file.fileno()

                def read(self, limit: int) -> bytes:
                    data = read(limit)
                    (root / "a.md").write_bytes(b"longer" * opened)
                    return bytes(data)

            return Half()
        return file

    monkeypatch.setattr(os, "fdopen", changing)
    changes = 1
    assert folder.read(root, "a.md", MB) == b"longer"
    opened, changes = 0, 99
    with pytest.raises(ParseError, match="changed while it was read"):
        folder.read(root, "a.md", MB)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_listed(root: Path) -> None:
    (root / "sub").chmod(0)
    try:
        assert "folder that cannot be read" in listed(root)["sub"]
    finally:
        (root / "sub").chmod(0o755)


def test_a_folder_that_cannot_be_listed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: object) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refusing)
    assert listed(root) == {"a.md": "", "sub": "a folder that cannot be read: Permission denied"}


def test_a_folder_that_is_not_there_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        listed(tmp_path / "missing")


def test_the_last_entry_that_matches_a_path_decides_who_may_read() -> None:
    from assistant.index import access

    source = Source(
        name="share",
        path=Path(),
        access=[AccessEntry(match="hr/**", groups=["people"]), AccessEntry(match="hr/open/*.md", groups=["everyone"])],
    )
    assert access.rule_for(source, "a.md") == "share:**"
    assert access.rule_for(source, "hr/pay.xlsx") == "share:hr/**"
    assert access.rule_for(source, "hr/open/dress.md") == "share:hr/open/*.md"
