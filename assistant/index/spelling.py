"""Words of a question that were typed wrong: what no document and no dictionary has is read as the nearest known word.

Four in five misspellings are one letter too many, missing, wrong or swapped with the next (Damerau, CACM 1964), and the
first letter is hardly ever the wrong one. Two mistakes are left: "offboarding" is no "onboarding". A name typed with a
capital is read only as a name, and what stands in quotation marks is left alone. How much it gives:
docs/decisions/0021-spelling.md, `make bench-spelling`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from assistant.index import weights
from assistant.index.language import LITTLE_WORDS, may_be_english
from assistant.index.sentences import STOP

# Shorter ones are near to too many others; so are those of a language whose words we do not know in all their forms.
LEAST, LEAST_ELSEWHERE = 4, 6
# Longer ones are no words. Of a question with more strange words than that we do not know the language.
MOST_LETTERS, MOST_STRANGE = 30, 5
# The letters that are tried in a word's place: those the documents write most, not every sign of a script of thousands.
LETTERS = 64
# So many of the dictionary, from the most frequent on, are what somebody may have meant though no document has them.
COMMON = 8_000
_WORD = re.compile(r"[^\W\d_]+")
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|`[^`]*`")
# Beside one of these a word is a piece of an address, a path or a code.
_BEFORE, _AFTER = frozenset("0123456789_@/.\\#"), frozenset("0123456789_@/\\")
_ENDINGS = ("s", "d", "ed", "ing", "er", "ers", "ly", "ment", "ness", "able")


class _Known(NamedTuple):
    times: int
    as_name: int
    # One bit for each rule.
    rules: int


@dataclass(frozen=True)
class Spelled:
    """A question as it is read, and the words of it that were read otherwise than typed."""

    text: str
    changed: tuple[tuple[str, str], ...] = ()


class Words:
    """The words of a release, from how often each is written under which access rule (`store.Table.words`)."""

    def __init__(self, counts: Iterable[tuple[str, int, int]]) -> None:
        self._bits: dict[int, int] = {}
        self._known: dict[str, _Known] = {}
        for word, access, times in counts:
            bit = self._bits.setdefault(access, 1 << len(self._bits))
            before = self._known.get(word.lower(), _Known(0, 0, 0))
            as_name = before.as_name + (times if word[0].isupper() else 0)
            self._known[word.lower()] = _Known(before.times + times, as_name, before.rules | bit)
        written = Counter(letter for word in self._known for letter in word)
        self._letters = [letter for letter, _ in written.most_common(LETTERS)]
        _dictionary()  # read here, where nobody waits for it

    def strange(self, text: str, language: str, right: Container[str] = ()) -> bool:
        """Whether a question has words that no document has: all others need no look at whose they are."""

        def ours(word: str) -> bool:
            return word in self._known or word in right

        return any(not self._is_word(w.group().lower(), ours) for w in _typed(text, language))

    def missing(self, text: str) -> list[str]:
        """The words of a text that carry meaning and stand in no document in any form, in small letters."""
        asked = dict.fromkeys(w.group().lower() for w in standing_alone(text))
        meaning = (w for w in asked if len(w) > 1 and w not in STOP and w not in LITTLE_WORDS)
        return [w for w in meaning if not any(form in self._known for form in (w, f"{w}s", *_bases(w)))]

    def spelled(self, text: str, language: str, rules: Iterable[int], right: Container[str] = ()) -> Spelled:
        """The question with its strange words read as the nearest ones of the passages that these rules admit.

        What is in `right`, in small letters, is spelt right, though no document has it.
        """
        mask = 0
        for rule in rules:
            mask |= self._bits.get(rule, 0)

        def admitted(word: str) -> bool:
            return word in self._known and bool(self._known[word].rules & mask)

        def ours(word: str) -> bool:
            return admitted(word) or word in right

        strange = [w for w in _typed(text, language) if not self._is_word(w.group().lower(), ours)]
        if len(strange) > MOST_STRANGE:
            return Spelled(text)
        out, at, changed = [], 0, []
        for typed in strange:
            word = typed.group()
            begins = text[: typed.start()].rstrip()[-1:] in {"", ".", "?", "!", ":"}
            name = word[0].isupper() and not (begins or text.isupper())
            if meant := self._nearest(word.lower(), name, admitted):
                meant = meant.capitalize() if word[0].isupper() else meant
                out += [text[at : typed.start()], meant]
                at = typed.end()
                changed.append((word, meant))
        return Spelled("".join([*out, text[at:]]), tuple(changed))

    def _is_word(self, word: str, ours: Callable[[str], bool]) -> bool:
        def known(base: str) -> bool:
            return ours(base) or base in _dictionary() or base in LITTLE_WORDS or base in STOP

        return known(word) or any(known(base) for base in _bases(word))

    def _nearest(self, word: str, name: bool, ours: Callable[[str], bool]) -> str | None:
        """Of the words one mistake away the one the documents have most often."""
        ranked = []
        for candidate in self._mistaken_for(word):
            known = self._known[candidate] if ours(candidate) else None
            rank = _dictionary().get(candidate, COMMON)
            if (known is not None and (known.as_name * 2 >= known.times or not name)) or (rank < COMMON and not name):
                ranked.append((-known.times if known else 0, rank, candidate))
        return min(ranked)[-1] if ranked else None

    def _mistaken_for(self, word: str) -> set[str]:
        """What `word` may have been before one letter was left out, added, mistaken or swapped with the next."""
        pairs = [(word[:at], word[at:]) for at in range(1, len(word) + 1)]
        swapped = {a + b[1] + b[0] + b[2:] for a, b in [("", word), *pairs] if len(b) > 1}
        left_out = {a + letter + b for a, b in pairs for letter in self._letters}
        # Of the shortest, three letters are too little to tell which one was meant.
        wrong = pairs if len(word) > LEAST else []
        mistaken = {a + letter + b[1:] for a, b in wrong if b for letter in self._letters}
        return {w for w in swapped | left_out | mistaken | {a + b[1:] for a, b in pairs if b} if len(w) >= LEAST}


def standing_alone(text: str, word: re.Pattern[str] = _WORD) -> Iterator[re.Match[str]]:
    """The words of a text that are no piece of a quotation, an address, a path or a code."""
    quoted = [q.span() for q in _QUOTED.finditer(text)]
    for found in word.finditer(text):
        start, end = found.span()
        if text[start - 1 : start] in _BEFORE or text[end : end + 1] in _AFTER:
            continue
        if not any(a <= start < b for a, b in quoted):
            yield found


def _typed(text: str, language: str) -> Iterator[re.Match[str]]:
    """The words of a question that may be typed wrong: no short ones, abbreviations, codes, quotations."""
    least = LEAST if language == "en" and may_be_english(text) else LEAST_ELSEWHERE
    shouted = text.isupper()
    for found in standing_alone(text):
        word = found.group()
        if least <= len(word) <= MOST_LETTERS and (word[1:].islower() or shouted):
            yield found


def _bases(word: str) -> Iterator[str]:
    """What a word may be a form of."""
    for ending in _ENDINGS:
        base = word.removesuffix(ending)
        if base == word or len(base) < LEAST - 1:
            continue
        yield base
        yield base + "e"
        if base[-1] == "i":
            yield base[:-1] + "y"
        if base[-1] == base[-2]:
            yield base[:-1]


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, int]:
    """Words that are spelt right, whoever's they are, each with its place from the most frequent on.

    Those of symspellpy, British and American, and behind them what else the built-in model knows: names, mostly.
    """
    from symspellpy import SymSpell

    spelt = SymSpell(max_dictionary_edit_distance=0, prefix_length=1)
    spelt.load_dictionary(str(files("symspellpy") / "frequency_dictionary_en_82_765.txt"), 0, 1, encoding="utf-8-sig")
    ranked = sorted(spelt.words, key=lambda word: -spelt.words[word])
    names = (w for w in weights.vocabulary().get_vocab() if w.isalpha())
    return {word: rank for rank, word in enumerate(dict.fromkeys([*ranked, *sorted(names)]))}
