"""Documents that programs push: stored at once, indexed by the next run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.domain import now
from assistant.errors import InputError, ParseError
from assistant.index.sources import kept, kinds
from assistant.index.sources.origin import File, Found, address, fingerprint, wanted
from assistant.settings import Source

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@ -]*(/[A-Za-z0-9][A-Za-z0-9._~@ -]*)*")
ID_CHARS = 300


@dataclass(frozen=True)
class About:
    """What a program says of the document it pushes. Empty: what the document itself says counts."""

    content_type: str = ""
    title: str = ""
    owner: str = ""
    groups: tuple[str, ...] | None = None
    valid_until: str = ""


class Push:
    """A source that keeps what was pushed in `own`, a folder of the data folder."""

    def __init__(self, source: Source, own: Path) -> None:
        self._source, self._own = source, own
        self.note = ""

    def documents(self) -> Iterator[Found]:
        for _, head in kept.every(self._own):
            if wanted(self._source, head["id"]):
                yield self._found(head)

    def read(self, path: str, limit: int) -> File:
        file = kept.file_of(self._own, path)
        if (head := kept.head(file)) is None:
            raise ParseError("is no longer there")
        return File(kinds.named(path, head["content_type"]), kept.body(file, limit))

    def put(self, id_: str, about: About, data: bytes) -> bool:
        """Keep a document, in place of the one of that id. False when it is the one that is there already.

        Raises `InputError` when it can never be indexed as it is.
        """
        if len(id_) > ID_CHARS or not _ID.fullmatch(id_):
            raise InputError(
                f"The id must be letters, digits and . _ ~ @ - in parts divided by /, at most {ID_CHARS} characters.",
                "Choose another one.",
            )
        if not wanted(self._source, id_):
            raise InputError(f"The source {self._source.name} leaves that id out.", "See its include and exclude.")
        if not kinds.ending(about.content_type) and "." not in id_.rsplit("/", 1)[-1]:
            raise InputError(
                "Neither the Content-Type nor the ending of the id says what kind of document it is.",
                f"Send one of {', '.join(sorted(kinds.ENDINGS))}.",
            )
        if not data.strip():
            raise InputError("The document is empty.", "Send its bytes as the body.")
        file = kept.file_of(self._own, id_)
        head = {"id": id_, **asdict(about), "size": len(data), "sha256": fingerprint(data)}
        known = kept.head(file)
        if known is not None and {**known, "received": None} == {**json.loads(json.dumps(head)), "received": None}:
            return False
        kept.write(file, {**head, "received": now().isoformat()}, data)
        return True

    def get(self, id_: str) -> Found | None:
        """A document that is kept, None where there is none."""
        head = kept.head(kept.file_of(self._own, id_))
        return None if head is None else self._found(head)

    def remove(self, id_: str) -> bool:
        """Forget a document. False where there was none."""
        return kept.remove(kept.file_of(self._own, id_))

    def _found(self, head: dict[str, Any]) -> Found:
        return Found(
            source=self._source.name,
            path=head["id"],
            size=head["size"],
            modified=datetime.fromisoformat(head["received"]),
            mark=hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:32],
            link=address(self._source, head["id"]),
            title=head["title"],
            owner=head["owner"],
            valid_until=datetime.fromisoformat(head["valid_until"]) if head["valid_until"] else None,
            groups=None if head["groups"] is None else tuple(head["groups"]),
        )
