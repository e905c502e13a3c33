"""What is refused before it costs anything: unreadable, empty, too long, too fast, against a policy."""

from __future__ import annotations

import re
import time
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence

from assistant.errors import InputError, LimitError, PolicyError
from assistant.index.sentences import all_stems
from assistant.settings import Policy
from assistant.texts import figure, say

_MINUTE = 60.0
# Words in a row, or in a line of their own, that no answer has in common with our instructions by chance.
LEAK_WORDS = 7
LEAK_LINE = 3
_AFTER_BLANK = re.compile(r"(?<=\s)(?=\S)")


def clean(text: str, limit: int, language: str) -> str:
    """The question as it is worked with: no invisible or control characters, composed Unicode.

    Raises `InputError` with a sentence in the person's language.
    """
    if len(text) > limit:
        raise InputError(
            say(language, "chat.too_long", length=figure(language, len(text)), limit=figure(language, limit))
        )
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


class LeakFilter:
    """Takes out of a stream what repeats our own instructions: a whole line of them, or `LEAK_WORDS` in a row.

    Words are held back only while they are such a run so far; all else goes on at once. `leaked` tells whether it did.
    """

    def __init__(self, instructions: str) -> None:
        self._all = f" {' '.join(_words(instructions))} "
        lines = (" ".join(_words(line)) for line in instructions.splitlines())
        self._lines = {line for line in lines if line.count(" ") + 1 >= LEAK_LINE}
        self._held: list[tuple[str, list[str]]] = []
        self._partial = ""
        self._dropping = False
        self.leaked = False

    def feed(self, piece: str) -> str:
        *whole, self._partial = _AFTER_BLANK.split(self._partial + piece)
        out = "".join(self._take(token) for token in whole)
        begun = _words(self._partial)
        if begun and not self._held and f" {' '.join(begun)}" not in self._all:
            # No word of ours begins like this: the rest of it need not be waited for.
            out, self._partial, self._dropping = out + self._partial, "", False
        return out

    def close(self) -> str:
        rest = self._take(self._partial) if self._partial else ""
        rest += self._release(len(self._held))
        self._partial = ""
        return rest

    def _take(self, token: str) -> str:
        self._held.append((token, _words(token)))
        out = ""
        while self._held and not self._is_ours(self._run()):
            out += self._release(len(self._held) - 1) if self._dropping else self._release(1)
            self._dropping = False
        run = self._run()
        if len(run) >= LEAK_WORDS or " ".join(run) in self._lines:
            self.leaked = self._dropping = True
        return out

    def _run(self) -> list[str]:
        return [word for _, words in self._held for word in words]

    def _is_ours(self, run: list[str]) -> bool:
        return f" {' '.join(run)} " in self._all if run else False

    def _release(self, count: int) -> str:
        """The text of the first tokens held, or nothing of it when it was found to be a leak."""
        gone, self._held = self._held[:count], self._held[count:]
        return "" if self._dropping else "".join(token for token, _ in gone)


# Over so many processes a person may spread their questions before that is noticed.
PROCESSES = 8


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

    def fast(self, person_id: str) -> bool:
        """Whether somebody asks so fast here that what they ask of other processes may matter."""
        return len(self._asked[person_id]) * PROCESSES >= self._limit

    def check(self, count: int, language: str) -> None:
        """Raises `LimitError` when so many questions in a minute, of all processes, are one too many."""
        if count > self._limit:
            raise LimitError(say(language, "chat.too_fast", limit=self._limit))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
