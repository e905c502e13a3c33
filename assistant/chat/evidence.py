"""Passages as a model is handed them: numbered, apart from the question, unable to close their own fence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape, unescape
from types import MappingProxyType

from llama_index.core.llms import ChatMessage, MessageRole

from assistant.domain import Passage

_PASSAGE = re.compile(
    r'<passage n="(\d+)" document="([^"]*)" place="([^"]*)"[^>]*?(?: newer="(\d+)")?>\n(.*?)\n</passage>', re.DOTALL
)
_QUESTION = re.compile(r'<question language="(\w+)">\n(.*?)\n</question>', re.DOTALL)


@dataclass(frozen=True)
class Numbered:
    """A passage read back out of a prompt."""

    n: int
    title: str
    text: str
    # The number of the newer passage that says the same, 0 where there is none.
    newer: int = 0


def render(
    passages: Sequence[Passage],
    dates: Mapping[int, datetime] = MappingProxyType({}),
    older: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The passages numbered from 1, each with its document's date and the newer passage in whose place it stood.

    Angle brackets are escaped, so no document can write a tag of ours.
    """
    number = {p.id: n for n, p in enumerate(passages, 1)}

    def facts(p: Passage) -> str:
        date, newer = dates.get(p.document_id), number.get(older.get(p.id, ""))
        return (f' date="{date:%Y-%m-%d}"' if date else "") + (f' newer="{newer}"' if newer else "")

    return "\n".join(
        f'<passage n="{n}" document="{escape(p.title)}" place="{escape(p.place.label())}"{facts(p)}>\n'
        f"{escape(p.text, quote=False)}\n</passage>"
        for n, p in enumerate(passages, 1)
    )


def looked_up(text: str) -> list[ChatMessage]:
    """What tools found, as a message of its own that stands before the question; none where nothing was looked up."""
    if not text:
        return []
    fenced = f"<looked-up>\n{escape(text, quote=False)}\n</looked-up>"
    return [ChatMessage(role=MessageRole.USER, content=fenced)]


def read(prompt: str) -> tuple[list[Numbered], str, str]:
    """Passages, question and language of a prompt that `render` went into."""
    found = _QUESTION.search(prompt)
    language, question = (found.group(1), unescape(found.group(2))) if found else ("en", prompt)
    passages = [
        Numbered(int(n), unescape(title), unescape(text), int(newer or 0))
        for n, title, _, newer, text in _PASSAGE.findall(prompt)
    ]
    return passages, question, language
