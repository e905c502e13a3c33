"""The question that a document asks itself in a heading, and answers: something to begin with for whoever is new."""

from __future__ import annotations

import re

from assistant.index.page import Parsed
from assistant.index.sentences import stems

# Longer ones fit on no button; shorter ones ask nothing that can be told from others.
LONGEST, LEAST_WORDS = 70, 2
_ASKS = re.compile(
    r"(?:who|what|when|where|which|why|how|can|may|must|do|does|is|are|should|wer|wen|wem|was|wann|wo|wohin|woher|welche[rsn]?"
    r"|warum|wie|wieso|wozu|darf|kann|muss|müssen|dürfen|können|gibt|ist|sind|bekomme|habe)\b",
    re.IGNORECASE,
)
# What is meant stands around such a heading and not in it.
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|here|there|he|she|es|sie|ihn|dies\w*|das|dort|hier|dafür|davon|dabei)\b",
    re.IGNORECASE,
)


def question_of(parsed: Parsed) -> str:
    """The first heading that is a question which can be asked alone; empty where there is none."""
    for block in parsed.blocks:
        if block.kind == "heading":
            line = parsed.text[block.start : block.end].strip().lstrip("#").strip()
            if _can_be_asked(line):
                return line
    return ""


def _can_be_asked(line: str) -> bool:
    whole = len(line) <= LONGEST and line.count("?") == 1 and line.endswith("?") and "\n" not in line
    return whole and bool(_ASKS.match(line)) and not _POINTS.search(line) and len(set(stems(line))) >= LEAST_WORDS
