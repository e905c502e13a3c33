"""Numbers in an answer, as the page shows them: small links that a script of ours opens beside the text."""

from __future__ import annotations

import re
from itertools import chain

from assistant.chat.cite import CODE

# A bracket with an address behind it is a link already.
_CITED = re.compile(r"\[(\d{1,3})\](?!\()")


def linked(text: str) -> str:
    """The text with every `[1]` as the link `[1](#source-1)`; code keeps its brackets."""
    out, at = [], 0
    for start, end in chain((found.span() for found in CODE.finditer(text)), [(len(text), len(text))]):
        out += [_CITED.sub(r"[\1](#source-\1)", text[at:start]), text[start:end]]
        at = end
    return "".join(out)
