"""What needs no search: greetings, thanks and questions about the assistant itself. In doubt, it is searched."""

from __future__ import annotations

import re

from assistant.texts import say

_GREETING = r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|hallo|guten (?:morgen|tag|abend)|moin|servus)"
_THANKS = r"(?:(?:many )?thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|cheers|danke(?: schön| sehr)?|vielen dank)"
_ABOUT = (
    r"(?:who are you|what are you|what can you do|what do you do|how (?:do|can) (?:i|we) use you|"
    r"wer bist du|wer sind sie|was kannst du|was können sie)"
)
_END = r"(?: (?:there|all|everyone|zusammen))?\W*"
_KINDS = [
    (re.compile(rf"\W*{_GREETING}{_END}", re.IGNORECASE), "greeting"),
    (re.compile(rf"\W*(?:ok(?:ay)?\W+|great\W+|super\W+)?{_THANKS}{_END}", re.IGNORECASE), "thanks"),
    (re.compile(rf"\W*(?:{_GREETING}\W+)?{_ABOUT}\W*", re.IGNORECASE), "about"),
]


def small_talk(question: str, language: str, company: str) -> str | None:
    """The reply to a message that is nothing but small talk, or None when it must be searched."""
    for pattern, kind in _KINDS:
        if pattern.fullmatch(question):
            return say(language, f"chat.{kind}", company=company)
    return None
