"""Which language a text is written in: by its script, or by its most common little words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

# Of our own, for it runs in every worker: py3langid, the smallest library that is kept, takes 125 MB of memory there.
# On 108 awkward documents (many tables, little prose) both say the same of 66, differ on 2, and this leaves 40 open.
SAMPLE = 20_000
# Fewer words say too little.
LEAST_WORDS = 6
LEAST_SHARE = 0.08
LEAST_DIFFERENT = 3
# How much more the best language must have than the next.
LEAD = 1.2
# Written so much alike that neither leads.
_LIKE = {"da": "nb", "nb": "da"}
_LETTERS = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("gu", re.compile(r"[\u0a80-\u0aff]")),
    ("ta", re.compile(r"[\u0b80-\u0bff]")),
    ("te", re.compile(r"[\u0c00-\u0c7f]")),
    ("kn", re.compile(r"[\u0c80-\u0cff]")),
    ("ml", re.compile(r"[\u0d00-\u0d7f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_WORDS = {
    "en": "the of and to in a is that for it on with as are be this by from or have not you was at an will can if "
    "your we has which must may their any all",
    "de": "der die und das in den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er "
    "hat dass sie nach wird bei einer um am sind noch wie einem über oder wir ich bitte kann durch",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la avec ou "
    "son cette vous nous aux l d être je votre veuillez",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha este si "
    "porque esta son entre cuando muy sin sobre usted puede",
    "it": "di e il la che in un a per è una sono con non del si da le dei della al i come più o ma gli nel alla anche "
    "lo questo ha delle se su dalla essere può degli",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas ao das à seu sua ou "
    "quando muito nos já eu também pelo pela isso você são está",
    "nl": "de het een van en in is dat op te zijn voor met die niet aan er om dan ook als maar bij uit nog naar heeft "
    "wordt door over hij ze wij worden deze kan of je uw",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan när "
    "eller ska du dig denna alla måste",
    "da": "og i at det er en til på som med de for den af ikke der han har et var vi fra kan men om skal sig eller nu "
    "blev også jeg du dette efter være",
    "nb": "og i det er på som en til å av for med at de ikke den har om et var vi fra kan men han seg eller skal så "
    "jeg du etter dette være ble også noe",
    "fi": "ja on ei että se oli hän mutta ovat kun niin myös tai joka sekä sen voi ole ovat jos mukaan sitä kuin tämä "
    "vain olla mitä",
    "pl": "i w na z do się nie że to jest o jak za od po przez dla są ale przy co tym oraz lub może tego być który "
    "które ten jego",
    "cs": "a v na se je že z do s o i to pro by jako za k po jsou ale které být od který nebo jeho při není podle "
    "také jsme může",
    "tr": "ve bir bu da de için ile olarak çok daha olan gibi en kadar sonra ne var ya her değil veya ancak ise "
    "tarafından",
    "ro": "de și în a la cu care pe nu din să o un mai este că pentru prin sau sunt au fi ce după al se ale lui cel",
    "hu": "a az és hogy nem is egy ez meg csak már de volt van mint ha még vagy el kell lehet azt",
}
# A single letter is as often a label as a word.
_SETS = {name: frozenset(w for w in words.split() if len(w) > 1) for name, words in _WORDS.items()}
# Those of all languages.
LITTLE_WORDS = frozenset[str]().union(*_SETS.values())
# A little word that many languages have says less.
_WEIGHT = {word: 1 / count for word, count in Counter(w for words in _SETS.values() for w in words).items()}


def may_be_english(text: str) -> bool:
    """Whether no other language has more of the little words of a short text; of one without any this is true."""
    scores = _scores(_words(text))
    return scores["en"] >= max(scores.values())


def is_english(text: str) -> bool:
    """Whether English has more of the little words of a short text than any other language; false where none tells."""
    scores = _scores(_words(text))
    return scores.pop("en") > max(scores.values())


def _words(text: str) -> Counter[str]:
    return Counter(w.casefold() for w in _LETTERS.findall(text))


def _scores(words: Mapping[str, int]) -> dict[str, float]:
    return {name: sum(n * _WEIGHT[w] for w, n in words.items() if w in own) for name, own in _SETS.items()}


def language_of(text: str) -> str:
    """A two-letter code, or nothing when the text does not tell."""
    sample = text[:SAMPLE]
    letters = sum(map(str.isalpha, sample))
    if not letters:
        return ""
    for name, script in _SCRIPTS:
        # Japanese stands among Chinese characters, so its own need not be many.
        if len(script.findall(sample)) > letters * (0.05 if name == "ja" else 0.3):
            return name
    if len(_CYRILLIC.findall(sample)) > letters * 0.3:
        return "uk" if re.search(r"[іїєґІЇЄҐ]", sample) else "ru"
    words = _words(sample)
    total = sum(words.values())
    if total < LEAST_WORDS:
        return ""
    scores = _scores(words)
    best = max(scores, key=lambda name: scores[name])
    second = max(scores.keys() - {best, _LIKE.get(best)}, key=lambda name: scores[name])
    found = [n for w, n in words.items() if w in _SETS[best]]
    clear = scores[best] >= LEAD * scores[second] and len(found) >= LEAST_DIFFERENT
    return best if clear and sum(found) >= LEAST_SHARE * total else ""
