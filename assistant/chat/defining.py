"""Questions that ask only what something is: “what is a PIV card”, “what does OKR mean”."""

from __future__ import annotations

import re

# One thing, and no article that says which of several: whoever asks that does not know yet what there is of it.
_ASKED = re.compile(
    r"\W*(?:what(?:['’]?s|\s+is|\s+are|\s+does)|was\s+(?:ist|sind|heißt|bedeutet)|wofür\s+steht)\s+"
    r"(?:an?\s+|eine?\s+)?(?!the\b|this\b|that\b|de[rnm]\b|die\b|das\b)(?P<term>[\w&/-]+)(?:\s+(?:mean|stand\s+for))?\W*",
    re.IGNORECASE,
)


def term(question: str) -> str:
    """What a question asks the meaning of; nothing where it asks anything else."""
    found = _ASKED.fullmatch(question)
    return found["term"] if found else ""


def defines(text: str, what: str) -> bool:
    """Whether a text says what something is: an entry of a glossary, a long name with its short one, “X is a …”."""
    name = re.escape(what)
    entry = (
        rf"(?:^|[\n.!?;:•*]|-\s)\s*\W?{name}\W?(?:\s+[-–—=]\s|:\s|\s+\(|\s+(?:stands\s+for|means|is\s+(?:an?|the)|steht\s+für|"
        r"bedeutet|ist\s+(?:eine?|der|die|das))\s)"
    )
    return bool(re.search(rf"{entry}|\w\s\({name}\)", text, re.IGNORECASE))
