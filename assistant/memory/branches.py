"""A thread is a tree: a question that was edited, or answered again, stands beside what was there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Node(Protocol):
    """A message as the tree sees it."""

    id: str
    parent_id: str | None
    role: str


N = TypeVar("N", bound=Node)


def path(messages: Sequence[N], leaf_id: str | None) -> list[N]:
    """From the first message to the leaf, or to the newest where none is named. `messages` are in the order made."""
    by_id = {m.id: m for m in messages}
    start = leaf_id if leaf_id in by_id else messages[-1].id if messages else None
    # Taken out one by one, so that no ring of parents can hold us.
    at = by_id.pop(start or "", None)
    found: list[N] = []
    while at is not None:
        found.append(at)
        at = by_id.pop(at.parent_id or "", None)
    return found[::-1]


def versions(messages: Sequence[Node]) -> dict[str, list[str]]:
    """For each answer that has versions, all answers to the same question or to another version of it, as made."""
    asked = {m.id: m.parent_id for m in messages if m.role == "user"}
    beside: dict[str | None, list[str]] = defaultdict(list)
    for message in messages:
        if message.role == "assistant" and message.parent_id in asked:
            beside[asked[message.parent_id]].append(message.id)
    return {answer: group for group in beside.values() if len(group) > 1 for answer in group}
