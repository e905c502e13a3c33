"""Numbers in an answer, as the page shows them: small links that a script of ours opens beside the text."""

from __future__ import annotations

import re

# Code keeps its brackets; a bracket with an address behind it is a link already.
_CITED = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)|\[(\d{1,3})\](?!\()", re.DOTALL)


def linked(text: str) -> str:
    """The text with every `[1]` as the link `[1](#source-1)`."""
    return _CITED.sub(lambda m: m.group(1) or f"[{m.group(2)}](#source-{m.group(2)})", text)
