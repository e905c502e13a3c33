"""A zip of documents: each member becomes a section. Nothing is ever unpacked to the disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath

from assistant.errors import ParseError
from assistant.index.page import Page, Parsed
from assistant.index.sources.narrowing import narrower

MEMBERS = 500
MEMBER_BYTES = 50_000_000


def zipped(data: bytes, parse: Callable[[str, bytes], Parsed]) -> Parsed:
    """What the members say that `parse` reads; the note names those that it does not."""
    page = Page()
    unread: list[str] = []
    groups: tuple[str, ...] | None = None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not _is_left_out(m.filename)]
        if len(members) > MEMBERS:
            raise ParseError(f"holds more than {MEMBERS} files; put them into the source as they are")
        for member in members:
            try:
                parsed = parse(member.filename, _bytes(archive, member))
            except ParseError as error:
                unread.append(f"{member.filename}: {error.problem}")
                continue
            if parsed.groups is not None:
                # What is restricted for one of its files is so for all that stands beside it.
                groups = parsed.groups if groups is None else tuple(narrower(groups, parsed.groups))
            if parsed.blocks:
                page.add(member.filename, "heading", 1, apart=True)
                page.append(parsed)
    if unread and not page.blocks:
        raise ParseError(f"holds no file that can be read ({unread[0]})")
    note = f"{len(unread)} of {len(members)} files in it are not read ({unread[0]})" if unread else ""
    parsed = page.done("application/zip", "", note=note, groups=groups)
    # Its first member's name is no title of the whole.
    parsed.title = ""
    return parsed


def _is_left_out(name: str) -> bool:
    """What a system or an editor leaves in an archive."""
    return any((part.startswith(".") and part not in {".", ".."}) or part == "__MACOSX" for part in name.split("/"))


def _bytes(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise ParseError("its name leads out of the archive")
    if member.flag_bits & 1:
        raise ParseError("protected by a password")
    if member.file_size > MEMBER_BYTES:
        raise ParseError(f"larger than {MEMBER_BYTES // 1_000_000} MB")
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError) as error:
        raise ParseError("damaged, or packed in a way we do not read") from error
