"""The running installation, for the web edge. Chainlit loads its callbacks by file, so the parts are kept here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assistant.bootstrap import Parts
    from assistant.chat.turns import Turns

_parts: Parts | None = None


def furnish(parts: Parts | None) -> None:
    """Keep the parts for every route and callback of this process; None takes them away again."""
    global _parts  # noqa: PLW0603 - Chainlit's callbacks and data layer get no argument of ours
    _parts = parts


def parts() -> Parts:
    """The parts. Raises `RuntimeError` before the start is over."""
    if _parts is None:
        raise RuntimeError("the web edge was used before it was furnished")
    return _parts


def turns() -> Turns:
    """The turns that run in this process."""
    found = parts().turns
    assert found is not None, "the web edge answers people"
    return found
