"""Planted faults caught by the check of claims, and sound sentences marked by it: `make bench-claims`, `DATA=folder`.

Sound answers are made from documents: the built-in model's quotations, and sentences of the passages copied,
re-ordered, merged, shortened, with synonyms, numbers spelled or written otherwise, and dates in another form. Four
kinds of faults are planted into such sentences, a quarter of the wrong numbers and names taken from the very passage.
Rules only; the judge would see what they leave open. The demo's documents are split by name: thresholds were set on one
half, `HALF=tune`, and what is reported is the other, `HALF=report`; with `DATA=` all documents are used.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assistant.chat import evidence, extract
from assistant.chat.verify import check
from assistant.domain import Passage, Verdict
from assistant.errors import AssistantError
from assistant.index import facts, parse, split
from assistant.index.sentences import spans, stems
from assistant.settings import PROJECT

EACH = int(os.environ.get("EACH", "50"))
SOUND = int(os.environ.get("SOUND", "600"))
GIVEN = 6
RARE = 40
MONTHS = "January February March April May June July August September October November December".split()
SYNONYMS = {
    "must": "has to", "may": "can", "employees": "members of staff", "before": "prior to", "needs": "requires",
    "at least": "no less than", "buy": "purchase", "gets": "receives", "get": "receive", "only": "solely",
    "muss": "hat zu", "darf": "kann", "mindestens": "wenigstens", "nur": "ausschließlich",
}  # fmt: skip
SPELLED = {v: k for k, v in facts._SPELLED.items() if "-" in k or v <= 20}
MADE_UP = [
    "Nobody may bring {a} into the {b} without a written permit of the fire brigade",
    "every {a} is to be handed over to the {b} in a sealed envelope",
    "the {a} is free of charge for those who have passed the {b} twice",
    "we do not accept a {a} as a reason for a late {b}",
]
PROSE = re.compile(r"^[A-ZÄÖÜ0-9“\"][^|{}<>]{30,260}[.]$")


def passages_of(folder: Path) -> dict[str, list[Passage]]:
    """Every document's passages, as they are indexed."""
    out: dict[str, list[Passage]] = {}
    for number, file in enumerate(sorted(f for f in folder.rglob("*") if f.is_file())):
        name = str(file.relative_to(folder))
        try:
            parsed = parse.parse(name, file.read_bytes())
        except AssistantError:
            continue
        out[name] = [
            Passage(
                id=f"{number}-{i}", document_id=number, document=name, title=parsed.title, text=c.text, place=c.place,
                access=1, text_hash="",
            )
            for i, c in enumerate(split.split(parsed, 180, 30))
        ]  # fmt: skip
    return out


@dataclass(frozen=True)
class Sentence:
    """A sentence of a passage, and the passage among those an answer is given."""

    text: str
    following: str
    passage: Passage


class Library:
    def __init__(self, documents: dict[str, list[Passage]], rng: random.Random) -> None:
        self.rng = rng
        self.passages = [p for found in documents.values() for p in found]
        self._stems = {p.id: set(stems(p.text)) for p in self.passages}
        self._with: defaultdict[str, list[int]] = defaultdict(list)
        for i, p in enumerate(self.passages):
            for stem in self._stems[p.id]:
                self._with[stem].append(i)
        self._of = {p.id: list(self._sentences(p)) for p in self.passages}
        self.sentences = [s for found in self._of.values() for s in found]
        self.names = sorted({n for p in self.passages for n in people_in(p.text)})

    @staticmethod
    def _sentences(passage: Passage) -> Iterator[Sentence]:
        text = re.sub(r"(?<=[^\s.!?:;|])[ \t]*\n(?=[a-zäöüß(])", " ", passage.text)
        found = [re.sub(r"^[\s>#*\-•\d.]+(?=[A-ZÄÖÜ])", "", " ".join(text[a:b].split())) for a, b in spans(text)]
        for i, sentence in enumerate(found):
            if PROSE.match(sentence):
                after = found[i + 1] if i + 1 < len(found) and PROSE.match(found[i + 1]) else ""
                yield Sentence(sentence, after, passage)

    def of(self, passage: Passage) -> list[Sentence]:
        return self._of[passage.id]

    def given(self, passage: Passage) -> dict[int, Passage]:
        """The passages that an answer about this one would rest on: the most alike, it among them at a random place."""
        rare = sorted(self._stems[passage.id], key=lambda stem: (len(self._with[stem]), stem))[:RARE]
        score: Counter[int] = Counter()
        for stem in rare:
            for number in self._with[stem]:
                score[number] += math.log(1 + len(self.passages) / len(self._with[stem]))
        near = [self.passages[i] for i, _ in score.most_common(GIVEN) if self.passages[i].id != passage.id][: GIVEN - 1]
        near.insert(self.rng.randrange(len(near) + 1), passage)
        return dict(enumerate(near, 1))


def people_in(text: str) -> list[str]:
    """What looks like a person's or a place's name: two capitalised words in a row, within a line."""
    return re.findall(r"(?<![.!?:|] )(?<!^)\b[A-ZÄÖÜ][a-zäöüß]{2,} [A-ZÄÖÜ][a-zäöüß]{2,}\b", text.replace("\n", " | "))


# Sound ways of saying it otherwise. Each takes a sentence and returns another, or the same when it does not apply.


def spelled(text: str, rng: random.Random) -> str:
    def word(m: re.Match[str]) -> str:
        return SPELLED.get(int(m.group()), m.group())

    return re.sub(r"(?<![\w.,:/\-+€$£])\d{1,2}(?= (?!January|Febr|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec|Uhr|am\b|pm\b)[a-z]{3,})", word, text)  # noqa: E501  # fmt: skip


def digits(text: str, rng: random.Random) -> str:
    def figure(m: re.Match[str]) -> str:
        return str(facts._SPELLED[m.group().lower()])

    return re.sub(r"\b(?:" + "|".join(w for w in facts._SPELLED if facts._SPELLED[w] not in {0, 1, 100}) + r")\b(?= [a-z])", figure, text)  # noqa: E501  # fmt: skip


def reformatted(text: str, rng: random.Random) -> str:
    def other(m: re.Match[str]) -> str:
        whole = re.sub(r"\D", "", m.group())
        return rng.choice([whole, f"{int(whole):,}", f"{int(whole):,}".replace(",", ".")])

    changed = re.sub(
        r"(?<![\w.,:/\-])\d{1,3}(?:,\d{3})+(?![\d,])|(?<![\w.,:/\-+])(?!20[0-4]\d)\d{4,6}(?![\w,.])", other, text
    )
    return re.sub(r"(\d) ?€", rng.choice([r"\1 EUR", r"\1 euros", r"\1 €"]), changed)


def redated(text: str, rng: random.Random) -> str:
    def other(y: int, m: int, d: int) -> str:
        return rng.choice([f"{y}-{m:02}-{d:02}", f"{d} {MONTHS[m - 1]} {y}", f"{MONTHS[m - 1]} {d}, {y}"])

    text = re.sub(r"\b(\d{4})-(\d\d)-(\d\d)\b", lambda m: other(int(m[1]), int(m[2]), int(m[3])), text)
    return re.sub(
        rf"\b(\d{{1,2}}) ({'|'.join(MONTHS)}) (20\d\d)\b",
        lambda m: other(int(m[3]), MONTHS.index(m[2]) + 1, int(m[1])), text,
    )  # fmt: skip


def reordered(text: str, rng: random.Random) -> str:
    parts = text[:-1].split(", ")
    if len(parts) != 2 or min(len(p.split()) for p in parts) < 3:
        return text
    first, second = parts
    first = first if first.split()[0] in people_in(f". {first}") else first[0].lower() + first[1:]
    return f"{second[0].upper()}{second[1:]}, {first}."


def shortened(text: str, rng: random.Random) -> str:
    without = re.sub(r" ?\([^()]*\)", "", text)
    return without if len(without.split()) > 6 else text


def otherwise(text: str, rng: random.Random) -> str:
    for word, other in SYNONYMS.items():
        text = re.sub(rf"\b{word}\b", other, text)
    return text


def introduced(text: str, rng: random.Random) -> str:
    keep = not text.split(maxsplit=1)[0].istitle() or any(" " in f.text for f in facts.names(f"x {text}")[:1])
    rest = text if keep else text[0].lower() + text[1:]
    return f"{rng.choice(['In short', 'According to our documents', 'As a rule', 'Please note that'])}, {rest}"


WAYS: list[Callable[[str, random.Random], str]] = [
    spelled, digits, reformatted, redated, reordered, shortened, otherwise, introduced,
]  # fmt: skip


def said(sentence: Sentence, rng: random.Random) -> str:
    """The sentence as a model may say it: in a third of cases as it is, else changed in one to three ways."""
    text = sentence.text
    if sentence.following and rng.random() < 0.2:
        joint, after = rng.choice([", and ", "; "]), sentence.following
        text = f"{text[:-1]}{joint}{after if facts.names('x ' + after)[:1] else after[0].lower() + after[1:]}"
    if rng.random() < 0.33:
        return text
    for way in rng.sample(WAYS, rng.randint(1, 3)):
        text = way(text, rng)
    return text


# Faults. Each returns the faulty sentence and the number it cites, or None when the sentence has nothing to falsify.


def wrong_number(text: str, n: int, given: dict[int, Passage], lib: Library) -> tuple[str, int] | None:
    rng = lib.rng
    found = [f for f in facts.facts(text) if f.kind in {"number", "date", "time"} and re.search(r"\d", f.text)]
    if not found:
        return None
    fact = rng.choice(found)
    digits_at = list(re.finditer(r"\d+", fact.text))
    piece = rng.choice(digits_at)
    value = int(piece.group())
    same = [int(x) for x in re.findall(r"(?<![\d.,:/-])\d{1,4}(?![\d.,:/-])", given[n].text) if int(x) != value]
    if same and rng.random() < 0.25 and fact.kind == "number":
        new = rng.choice(same)
    else:
        new = rng.choice([value + 1, value + rng.randint(2, 9), value * 2 + 1, max(0, value - 1)])
    figure = str(new).zfill(len(piece.group())) if piece.group().startswith("0") else str(new)
    changed = fact.text[: piece.start()] + figure + fact.text[piece.end() :]
    faulty = text[: fact.start] + changed + text[fact.end :]
    # A change that reads the same, or that says what the passage says elsewhere of the same words, is no fault.
    again = facts.facts(faulty)
    if any(f.start == fact.start and f.values & fact.values for f in again) or faulty in given[n].text:
        return None
    return faulty, n


def wrong_name(text: str, n: int, given: dict[int, Passage], lib: Library) -> tuple[str, int] | None:
    found = [f for f in people_in(f" {text}") if f in text]
    if not found:
        return None
    name = lib.rng.choice(found)
    same = [o for o in people_in(given[n].text) if o != name and not set(o.split()) & set(name.split())]
    others = [o for o in lib.names if not set(o.split()) & set(given[n].text.split())]
    new = lib.rng.choice(same if same and lib.rng.random() < 0.25 else others)
    return text.replace(name, new), n


def wrong_source(text: str, n: int, given: dict[int, Passage], lib: Library) -> tuple[str, int] | None:
    wanted = set(stems(text))
    # Passages overlap, and documents repeat one another: one that holds the words as well is no wrong source.
    others = [k for k, p in given.items() if k != n and len(wanted & set(stems(p.text))) / max(1, len(wanted)) < 0.7]
    return (text, lib.rng.choice(others)) if others else None


def made_up_quote(text: str, n: int, given: dict[int, Passage], lib: Library) -> tuple[str, int] | None:
    rng = lib.rng
    words = re.findall(r"[a-zäöü]{5,}", given[n].text) or ["form"]
    kind = rng.random()
    if kind < 0.4:
        quote = rng.choice(MADE_UP).format(a=rng.choice(words), b=rng.choice(words))
    elif kind < 0.7:
        quote = rng.choice([s for s in lib.sentences if s.passage.document != given[n].document]).text[:-1]
    else:
        # Its own words, a third of them put in from elsewhere.
        parts = text[:-1].split()
        for i in rng.sample(range(len(parts)), max(3, len(parts) // 3)):
            parts[i] = rng.choice(words)
        quote = " ".join(parts)
    quote = quote.replace("“", "").replace("”", "").replace('"', "")
    return f"{rng.choice(['The document says', 'It is put like this', 'Wörtlich heißt es dort'])}: “{quote}”.", n


FAULTS = {
    "wrong number": wrong_number, "wrong name": wrong_name, "wrong source": wrong_source,
    "made-up quote": made_up_quote,
}  # fmt: skip


def cited(text: str, n: int) -> str:
    return f"{text[:-1]} [{n}]."


async def sound_answer(lib: Library) -> tuple[str, dict[int, Passage]]:
    """An answer of one to three sentences, or of quotations, and what it was given."""
    rng = lib.rng
    sentence = rng.choice(lib.sentences)
    given = lib.given(sentence.passage)
    if rng.random() < 0.3:
        words = sentence.text[:-1].split()
        question = " ".join(rng.sample(words, min(5, len(words))))
        prompt = (
            f"<passages>\n{evidence.render(list(given.values()))}\n</passages>\n"
            f'<question language="en">\n{question}\n</question>'
        )
        return await extract.quote(prompt), given
    more = lib.of(sentence.passage)
    chosen = rng.sample(more, min(len(more), rng.randint(1, 3)))
    return " ".join(cited(said(s, rng), number_of(s, given)) for s in chosen), given


def number_of(sentence: Sentence, given: dict[int, Passage]) -> int:
    return next(k for k, p in given.items() if p is sentence.passage)


def faulty(lib: Library, kind: str) -> tuple[str, str, dict[int, Passage]]:
    """A sound sentence and one with a fault behind it, each with its number, and what they were given."""
    while True:
        sentence = lib.rng.choice(lib.sentences)
        given = lib.given(sentence.passage)
        n = number_of(sentence, given)
        if fault := FAULTS[kind](said(sentence, lib.rng), n, given, lib):
            return cited(sentence.text, n), cited(*fault), given


async def main() -> None:
    data, half = os.environ.get("DATA", ""), os.environ.get("HALF", "report")
    documents = passages_of(Path(data) if data else PROJECT / "data/demo/documents")
    if not data and half != "all":
        documents = {n: d for n, d in documents.items() if zlib.crc32(n.encode()) % 2 == (half == "tune")}
    lib = Library(documents, random.Random(20 if half == "tune" else 21))
    wrong: list[str] = []
    sound = marked = 0
    while sound < SOUND:
        answer, given = await sound_answer(lib)
        for c in check(answer, given):
            sound += 1
            if c.verdict is not Verdict.SUPPORTED:
                marked += 1
                wrong.append(f"marked · {c.reason} · {answer[c.start : c.end]}")
    caught: Counter[str] = Counter()
    for kind in FAULTS:
        for _ in range(EACH):
            beside, fault, given = faulty(lib, kind)
            found = [c for c in check(f"{beside}\n\n{fault}", given) if c.start > len(beside)]
            if any(c.verdict is Verdict.UNSUPPORTED for c in found):
                caught[kind] += 1
            else:
                wrong.append(f"missed {kind} · {fault} · beside {beside}")
    if os.environ.get("SHOW"):
        print("\n".join(wrong))  # noqa: T201 - for whoever wants to see them
    figures = {
        "faults": EACH * len(FAULTS),
        "caught": sum(caught.values()),
        "sound": sound,
        "marked": marked,
        "by_kind": {kind: caught[kind] for kind in FAULTS},
        "documents": len(documents),
    }
    print(json.dumps(figures))  # noqa: T201 - the bench's result


if __name__ == "__main__":
    asyncio.run(main())
