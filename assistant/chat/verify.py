"""Checks each sentence of an answer against the passages that it cites, by rules and, where set, by a judge.

Quotations, numbers, dates, names, codes and addresses must occur in a cited passage, and where the passage says several
of a kind, near the same words. What the rules leave open, words that are only half there, a small model may decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from html import escape
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field

from assistant.chat import evidence, structured
from assistant.chat.cite import CODE, cited_in, without_citations
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.domain import Passage, SentenceCheck, Verdict
from assistant.errors import ModelError
from assistant.index import facts
from assistant.index.facts import Fact
from assistant.index.sentences import all_stems, spans, stems
from assistant.texts import say

# Least share of a sentence's words that its passages must hold, without and with a fact of it that they hold too; from
# `SURE` on the words alone are enough, between the two a judge is asked, if there is one.
COVERAGE = 0.4
WITH_FACT = 0.25
SURE = 0.75
# Shorter pieces are greetings, headings or introductions.
MIN_WORDS = 3
# Least share of a quotation's words that stand in a row, or nearly, in its source.
QUOTED = 0.87
# Another passage counts as the true source when it holds this much more of the sentence than the cited one.
FURTHER = 0.25
# Another fact of the same kind stands so much nearer to the sentence's words that this one is in the wrong place.
NEARER = 0.25
NEAR = 0.5
# Words of the sentence on each side of a fact that say what it is about.
AROUND = 7
LIMIT_S = 6.0
_PART = re.compile(r"[,;:]\s|[.!?]\s+(?=[A-ZÄÖÜ])")
_CLAUSE = re.compile(r"[;:]\s|[.!?]\s+(?=[A-ZÄÖÜ])")
_RANGE = re.compile(r"\s*(?:–|-|to|bis|and|und|or|oder)\s*\d")
_LOOSE_BREAK = re.compile(r"(?<=[^\s.!?:;|])[ \t]*\n(?=[a-zäöüß(])")


@dataclass
class Source:
    """A cited text, read once: its sentences, their facts and words."""

    text: str
    head: str = ""

    @cached_property
    def plain(self) -> str:
        return facts.plain(_LOOSE_BREAK.sub(" ", self.text))

    @cached_property
    def whole(self) -> str:
        return f"{self.head}\n{self.plain}"

    @cached_property
    def parts(self) -> list[tuple[list[Fact], frozenset[str], str]]:
        """Facts, stems and text of each sentence or line."""
        pieces = [self.head, *(self.plain[a:b] for a, b in spans(self.plain))]
        return [(facts.facts(p), frozenset(stems(p)), p) for p in pieces]

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(stems(self.whole))

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(all_stems(self.whole))

    @cached_property
    def stated(self) -> list[Fact]:
        return [f for found, _, _ in self.parts for f in found]

    @cached_property
    def figures(self) -> frozenset[facts.Value]:
        """Every number, also those that are part of a date or a longer number."""
        return frozenset(float(d) for d in re.findall(r"\d+", self.whole)[:5_000] if len(d) < 16)

    @cached_property
    def squeezed(self) -> str:
        return facts.squeezed(self.whole)

    @cached_property
    def folded(self) -> str:
        return self.whole.casefold()

    @cached_property
    def stems_in_a_row(self) -> str:
        return f" {' '.join(all_stems(self.whole))} "

    @cached_property
    def row(self) -> list[str]:
        return _row(self.whole)

    @cached_property
    def row_texts(self) -> tuple[str, str]:
        """The words as they are held, and as the page shows them."""
        return f" {' '.join(self.row)} ", f" {' '.join(_row(facts.without_targets(self.whole)))} "

    def unbroken(self, words: Sequence[str]) -> bool:
        """Whether the words stand here in a row, nothing between them but where a link leads."""
        return bool(words) and any(f" {' '.join(words)} " in held for held in self.row_texts)

    def coverage(self, wanted: Sequence[str]) -> float:
        return sum(w in self.stems for w in wanted) / max(1, len(wanted))


def _row(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


class Sources:
    """The passages that an answer was given, by number, and what each combination of them holds."""

    def __init__(self, passages: Mapping[int, Passage]) -> None:
        self.passages = passages
        self._read: dict[tuple[int, ...], Source] = {}

    def of(self, numbers: Sequence[int]) -> Source:
        key = tuple(n for n in numbers if n in self.passages)
        if key not in self._read:
            cited = [self.passages[n] for n in key]
            head = " ".join(f"{p.title} {p.place.label()}" for p in cited)
            self._read[key] = Source("\n\n".join(p.text for p in cited), head)
        return self._read[key]


@dataclass(frozen=True)
class _Found:
    """What the rules say of a sentence: the reason against it, or nothing; and whether they are sure."""

    reason: str = ""
    sure: bool = True


def check(text: str, passages: Mapping[int, Passage], language: str = "en") -> tuple[SentenceCheck, ...]:
    """What holds for each sentence of `text` by rules alone; `passages` are those it was given, by number.

    A sentence without a number of its own belongs to the next citation in its line; a block of code belongs to the
    passages in which its lines stand.
    """
    return tuple(c for c, _ in _checked(text, passages, language))


async def judged(
    text: str,
    passages: Mapping[int, Passage],
    language: str,
    *,
    models: Models,
    prompt: Prompt,
    call: Call,
) -> tuple[tuple[SentenceCheck, ...], int]:
    """The same, with the sentences that the rules leave open decided by a small model, and how many it decided.

    Without a usable verdict the rules' own stands.
    """
    checked = _checked(text, passages, language)
    unsure = [i for i, (_, sure) in enumerate(checked) if not sure]
    checks = [c for c, _ in checked]
    if not unsure:
        return tuple(checks), 0
    cited = sorted({n for i in unsure for n in checks[i].citations if n in passages})
    numbered = {n: k for k, n in enumerate(cited, 1)}
    statements = "\n".join(
        f'<statement n="{k}" passages="{", ".join(str(numbered[n]) for n in checks[i].citations if n in numbered)}">'
        f"{escape(without_citations(text[checks[i].start : checks[i].end]), quote=False)}</statement>"
        for k, i in enumerate(unsure, 1)
    )
    messages = prompt.render(passages=evidence.render([passages[n] for n in cited]), statements=statements)
    try:
        reply = await structured.ask(models, prompt.tier, messages, _Judgement, call)
    except ModelError:
        return tuple(checks), 0
    verdicts = {v.n: v for v in reply.verdicts}
    decided = 0
    for k, i in enumerate(unsure, 1):
        if (verdict := verdicts.get(k)) is None:
            continue
        decided += 1
        why = " ".join(verdict.why.split())[:200] or say(language, "chat.says_otherwise")
        checks[i] = checks[i].model_copy(
            update={
                "verdict": Verdict.SUPPORTED if verdict.supported else Verdict.UNSUPPORTED,
                "reason": "" if verdict.supported else why,
            }
        )
    return tuple(checks), decided


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore")

    n: int
    supported: bool
    why: str = Field(default="", max_length=2_000)


class _Judgement(BaseModel):
    model_config = ConfigDict(extra="ignore")

    verdicts: list[_Verdict] = Field(min_length=1, max_length=200)


def _checked(text: str, passages: Mapping[int, Passage], language: str) -> list[tuple[SentenceCheck, bool]]:
    checks = []
    sources = Sources(passages)
    blocks = [found.span() for found in CODE.finditer(text) if found[1]]
    checks += [(_of_code(text, *block, sources, language), True) for block in blocks]
    for start, end in spans(text):
        if any(a <= start < b for a, b in blocks):
            continue
        sentence = text[start:end]
        bare = without_citations(sentence)
        if len(stems(bare)) < MIN_WORDS or bare.rstrip("*_ ").endswith((":", "?")):
            continue
        numbers = cited_in(sentence) or _inherited(text, end)
        if not numbers:
            reason = say(language, "chat.no_source")
            checks.append((SentenceCheck(start=start, end=end, verdict=Verdict.UNCITED, reason=reason), True))
            continue
        quotation = text[text.rfind("\n", 0, start) + 1 :].lstrip().startswith(">")
        found = _judge_by_rules(bare, sources.of(numbers), language, quotation=quotation)
        if not (found.sure and not found.reason):
            # Wrong, or doubtful: perhaps only the number is.
            elsewhere = _elsewhere(bare, numbers, sources, language, quotation=quotation)
            found = _Found(elsewhere) if elsewhere else found
        verdict = Verdict.UNSUPPORTED if found.reason else Verdict.SUPPORTED
        one = SentenceCheck(start=start, end=end, citations=tuple(numbers), verdict=verdict, reason=found.reason)
        checks.append((one, found.sure))
    return sorted(checks, key=lambda check: check[0].start)


def _of_code(text: str, start: int, end: int, sources: Sources, language: str) -> SentenceCheck:
    """What holds for a block of code: each of its lines must stand in a passage."""
    lines = [facts.squeezed(facts.plain(line.removeprefix(">"))) for line in text[start:end].split("\n")[1:-1]]
    said = [line for line in lines if line.strip("…")]
    holding = [{n for n in sources.passages if line in sources.of([n]).squeezed} for line in said]
    if not all(holding):
        reason = say(language, "chat.no_source")
        return SentenceCheck(start=start, end=end, verdict=Verdict.UNCITED, reason=reason)
    cited = set.intersection(*holding) or set.union(*holding) if holding else set()
    return SentenceCheck(start=start, end=end, citations=tuple(sorted(cited)), verdict=Verdict.SUPPORTED)


def _inherited(text: str, end: int) -> list[int]:
    rest = text[end:].split("\n", 1)[0]
    return cited_in(rest)[:1]


def _elsewhere(bare: str, numbers: Sequence[int], sources: Sources, language: str, *, quotation: bool) -> str:
    """That the sentence fits another passage than the one it cites; empty when it fits none."""
    wanted = stems(facts.plain(bare))
    here = sources.of(numbers).coverage(wanted)
    for n in sources.passages:
        if n in numbers:
            continue
        other = sources.of([n])
        if other.coverage(wanted) < max(SURE, here + FURTHER):
            continue
        if not _judge_by_rules(bare, other, language, quotation=quotation).reason:
            cited = "".join(f"[{k}]" for k in numbers)
            return say(language, "chat.other_source", other=f"[{n}]", cited=cited)
    return ""


def _judge_by_rules(bare: str, source: Source, language: str, *, quotation: bool) -> _Found:
    said = facts.plain(bare).strip().lstrip(">").strip()
    words = _row(said)
    if len(words) >= MIN_WORDS and source.unbroken(words):
        return _Found()
    quoted = [q.text for q in facts.quotes(said)]
    if quotation and not quoted:
        quoted = [said]
    for quote in quoted:
        if not _stands(quote, source):
            return _Found(say(language, "chat.not_quoted", text=_short(quote)))
    stated = facts.facts(said)
    for fact in [*stated, *facts.names(said)]:
        if reason := _against(fact, said, source):
            return _Found(say(language, reason, text=fact.text))
    if quoted and quotation:
        return _Found()
    covered = source.coverage(stems(said))
    if covered >= SURE:
        return _Found()
    enough = covered >= (WITH_FACT if stated else COVERAGE)
    return _Found("" if enough else say(language, "chat.says_otherwise"), sure=False)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59].rstrip() + "…"


def _stands(quote: str, source: Source) -> bool:
    """Whether a quotation stands in its source, word for word or nearly; an omission splits it."""
    pieces = [_row(p) for p in re.split(r"…|\.\.\.|\[[^\]]*\]|\(\.\.\.\)", quote)]
    return all(source.unbroken(p) or _nearly(p, source.row) for p in pieces if len(p) > 1)


def _nearly(words: Sequence[str], held: Sequence[str]) -> bool:
    """Whether enough of the words stand in a row in `held`, small gaps allowed."""
    n, wanted = len(words), set(words)
    width = n + max(2, n // 5)
    hits = [w in wanted for w in held]
    count = sum(hits[:width])
    for at in range(max(1, len(held) - width + 1)):
        if at:
            count += (hits[at + width - 1] if at + width - 1 < len(held) else 0) - hits[at - 1]
        # Only where the source has that many of the words close together is it worth comparing in order.
        if count / n >= QUOTED:
            matcher = SequenceMatcher(None, words, held[at : at + width], autojunk=False)
            if sum(b.size for b in matcher.get_matching_blocks()) / n >= QUOTED:
                return True
    return False


def _against(fact: Fact, said: str, source: Source) -> str:
    """Why a fact of the sentence is not the source's: the key of a text, empty when it is."""
    if fact.kind == "address":
        return "" if any(str(a) in source.folded for a in fact.values) else "chat.not_in_source"
    if fact.kind == "code":
        return "" if set(fact.values) & {c for c in fact.values if str(c) in source.squeezed} else "chat.not_in_source"
    if fact.kind == "name":
        words = all_stems(fact.text)
        if facts.unit_of(fact.text) or len(words) == 0:
            return ""
        if not all(_known(w, source) for w in _name_words(fact.text)):
            return "chat.not_in_source"
        if len(words) == 1:
            return ""
        if not any(f" {a} {b} " in source.stems_in_a_row for a, b in pairwise(words)):
            return "chat.not_in_source"
        return "chat.elsewhere_in_source" if _misplaced(fact, said, source) else ""
    if not any(_same(fact, held) for held in source.stated):
        return "" if _in_a_longer_one(fact, said, source) else "chat.not_in_source"
    return "chat.elsewhere_in_source" if _misplaced(fact, said, source) else ""


def _in_a_longer_one(fact: Fact, said: str, source: Source) -> bool:
    """Whether a bare number is a year, or the beginning of a range, that the source has within a date."""
    if fact.kind != "number" or fact.unit or not fact.values & source.figures:
        return False
    return min(v for v in fact.values if isinstance(v, float)) >= 1000 or bool(_RANGE.match(said[fact.end :]))


def _name_words(name: str) -> list[str]:
    return [re.sub(r"['’]s$", "", w) for w in name.split() if len(w) > 2]


def _known(word: str, source: Source) -> bool:
    low = word.lower()
    return any(s in source.words for s in all_stems(low)) or (len(low) > 3 and low in source.squeezed)


def _same(said: Fact, held: Fact) -> bool:
    """Whether what is held is what was said; a unit that only one of them has is no difference."""
    if said.kind == "date" and held.kind == "date":
        return any(_same_day(a, b) for a in said.values for b in held.values)
    if said.kind == "number" and held.kind == "time" and not said.unit:
        return any((v, 0) in held.values for v in said.values)
    if said.kind != held.kind or not said.values & held.values:
        return False
    return not said.unit or not held.unit or said.unit == held.unit


def _same_day(said: facts.Value, held: facts.Value) -> bool:
    assert isinstance(said, tuple)
    assert isinstance(held, tuple)
    return all(a is None or b is None or a == b for a, b in zip(said, held, strict=True))


def _misplaced(fact: Fact, said: str, source: Source) -> bool:
    """Whether another fact of its kind stands where the sentence's words stand, and this one elsewhere."""
    near = _near(fact, said, _PART) or _near(fact, said, _CLAUSE)
    if not near:
        return False
    here = there = 0.0
    for held, words, part in source.parts:
        share = len(near & words) / len(near)
        if fact.kind == "name":
            mine = all(w.lower() in part.lower() for w in _name_words(fact.text))
            rival = not mine and any(" " in n.text for n in facts.names(part))
        else:
            mine = any(_same(fact, h) for h in held)
            rival = not mine and any(h.kind == fact.kind and h.unit == fact.unit for h in held)
        if mine:
            here = max(here, share)
        elif rival:
            there = max(there, share)
    return there >= NEAR and there - here >= NEARER


def _near(fact: Fact, said: str, border: re.Pattern[str]) -> set[str]:
    """The stems around a fact up to a border that say what it is about; none when they are too few to tell."""
    before, behind = border.split(said[: fact.start])[-1], border.split(said[fact.end :])[0]
    own = set(stems(fact.text))
    words = [w for w in [*stems(before)[-AROUND:], *stems(behind)[:AROUND]] if w not in own and not w.isdigit()]
    near = {w for w in words if not fact.unit or facts.unit_of(w) != fact.unit}
    named = any(c.isupper() for c in before + behind)
    return near if len(near) > 1 or (named and near) else set()
