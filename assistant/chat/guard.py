"""What is refused before it costs anything: unreadable, empty, too long, too fast, against a policy."""

from __future__ import annotations

import time
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence

from assistant.errors import InputError, LimitError, PolicyError
from assistant.index.sentences import all_stems
from assistant.settings import Policy
from assistant.texts import say

_MINUTE = 60.0


def clean(text: str, limit: int, language: str) -> str:
    """The question as it is worked with: no invisible or control characters, composed Unicode.

    Raises `InputError` or `LimitError` with a sentence in the person's language.
    """
    if len(text) > limit:
        raise LimitError(say(language, "chat.too_long", length=f"{len(text):,}", limit=f"{limit:,}"))
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise InputError(say(language, "chat.unreadable"))
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(c for c in composed if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Co", "Cn"})
    kept = kept.strip()
    if not any(unicodedata.category(c)[0] in "LNS" for c in kept):
        raise InputError(say(language, "chat.empty"))
    return kept


def permit(question: str, groups: Collection[str], policies: Sequence[Policy], language: str) -> None:
    """Raises `PolicyError` with the policy's sentence when one that binds these groups names the question's topic."""
    asked = f" {' '.join(all_stems(question))} "
    for policy in policies:
        if not set(policy.groups) & set(groups) or set(policy.except_groups) & set(groups):
            continue
        for topic in policy.topics:
            words = all_stems(topic)
            if words and f" {' '.join(words)} " in asked:
                raise PolicyError(policy.sentence or say(language, "chat.not_allowed"))


class RateLimit:
    """At most `limit` questions a minute from each person, on a monotonic clock."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, person_id: str, language: str) -> None:
        """Count a question. Raises `LimitError` when it is one too many."""
        asked, moment = self._asked[person_id], self._clock()
        while asked and asked[0] <= moment - _MINUTE:
            asked.popleft()
        if len(asked) >= self._limit:
            raise LimitError(say(language, "chat.too_fast", limit=self._limit))
        asked.append(moment)
