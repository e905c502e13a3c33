"""Look-ups that lean on the turn before: “and who owns it?”, “compare it with the older one”, “what is her e-mail?”.

What they point at is taken from what that turn named or cited, as a reference (`document:17`, `older:17`) that every
tool resolves within the asker's rights; no word of a document takes part in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assistant.chat import lookups, since
from assistant.chat.tools import Chosen
from assistant.domain import now
from assistant.memory.threads import PastTurn

# What can be pointed at: the first four documents.
POINTED_AT = 4
QUESTIONS = 2
QUESTION_CHARS = 300
MOST_WORDS = 8


@dataclass(frozen=True)
class Before:
    """What the turns before left: the person's own questions, documents in the order that the last answer named them,
    and its last look-up."""

    questions: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()
    tool: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


NOTHING = Before()


def before(window: Sequence[PastTurn]) -> Before:
    """What the last turns of a thread left to point at."""
    if not window:
        return NOTHING
    last = window[-1]
    questions = tuple(t.question[:QUESTION_CHARS] for t in window[-QUESTIONS:])
    tool, arguments = last.looked_up[-1] if last.looked_up else ("", {})
    return Before(questions, last.named[:POINTED_AT], tool, arguments)


_THING = (
    r"(?: (?:one|thing|document|page|file|text|version|edition|polic(?:y|ies)|handbook|guide|guideline|runbook|manual|"
    r"dokument|datei|seite|fassung|richtlinie|handbuch|leitfaden|anleitung))"
)
_NTH = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:it|(?:this|that|the same|same|the|first|former|das|dies\w*|die|der|dieselbe|erste[nrs]?){_THING}?|"
        rf"es|sie|ihn|{_THING[4:-1]})",
        rf"(?:the )?(?:second|latter|other|zweite[nrs]?|andere[nrs]?){_THING}?",
        rf"(?:the )?(?:third|dritte[nrs]?){_THING}?",
        rf"(?:the )?(?:fourth|vierte[nrs]?){_THING}?",
    )
]
_AGE = [
    (
        "older",
        re.compile(
            rf"(?:the )?(?:older|old|previous|earlier|prior|last year['’]s|ältere[nrs]?|alte[nrs]?|vorige[nrs]?|"
            rf"frühere[nrs]?){_THING}?",
            re.IGNORECASE,
        ),
    ),
    (
        "newer",
        re.compile(
            rf"(?:the )?(?:newer|new|newest|current|latest|later|neuere[nrs]?|neue[nrs]?|neueste[nrs]?|"
            rf"aktuelle[nrs]?){_THING}?",
            re.IGNORECASE,
        ),
    ),
]
_ALSO = re.compile(r"\W*(?:(?:and|und|so|then|also|now|ok|okay|dann|auch|nun)\b[\s,]*)+", re.IGNORECASE)
_ABOUT = re.compile(r"\W*(?:what about|how about|was ist mit|wie ist es mit)\s+", re.IGNORECASE)
_BOTH = re.compile(
    r"(?:please |bitte )?(?:compare (?:them|both|the two|the two of them|these(?: two)?)|how do they differ|"
    r"what(?:['’]s| is| are) the differences? between (?:them|both|the two|these(?: two)?)|"
    r"vergleichen? (?:sie )?(?:sie|beide|die beiden)(?: miteinander)?|"
    r"(?:was ist|worin (?:besteht|liegt)) der unterschied zwischen (?:ihnen|beiden|den beiden))",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"(?:who(?: is|['’]s) (?:she|he|that|that person|this person)|"
    r"what(?:['’]s| is) (?:her|his|their|the owner['’]s) (?:e-?mail(?: address)?|address|job(?: title)?|title|role)|"
    r"how (?:can|do) i (?:reach|contact|write to) (?:her|him|them|the owner)|"
    r"wer ist (?:sie|er|das)|(?:was|wie) ist (?:ihre|seine|deren) (?:e-?mail(?:-adresse)?|adresse|rolle|funktion)|"
    r"wie erreiche ich (?:sie|ihn))",
    re.IGNORECASE,
)
_SHOW = re.compile(
    r"(?:please |bitte )?(?:(?:show|read) (?P<it>it|this|that|.{0,40}?\bone) to me|"
    r"(?:the )?(?:whole|full|entire) (?:thing|document|text|page)|"
    r"zeigen? (?:sie )?(?P<es>es|sie|ihn) mir|das ganze(?: dokument)?)",
    re.IGNORECASE,
)
# What begins so is a question of its own, not the name of a thing.
_ASKS = re.compile(
    r"(?:what|who|whom|whose|when|where|which|why|how|is|are|do|does|did|can|could|may|must|should|will|would|if|"
    r"was|wer|wen|wem|wann|wo|welche[nrs]?|warum|wie|ist|sind|darf|kann|muss|soll|wenn|falls|gibt|gilt)\b",
    re.IGNORECASE,
)
_OF = re.compile(r"(?:for|in|on|with|of|at|to|from|by|bei|für|mit|im|an|am|von|zu|zum|zur)\b", re.IGNORECASE)


def leans(question: str) -> bool:
    """Whether a question may lean on the look-up of the turn before without asking for one itself."""
    rest = _rest(question)
    if len(question.split()) > MOST_WORDS + 2:
        return False
    also = _ALSO.match(question) is not None and not _ASKS.match(rest)
    return also or _ABOUT.match(question) is not None or any(p.fullmatch(rest) for p in (_PERSON, _BOTH, _SHOW))


def _rest(question: str) -> str:
    begun = _ALSO.match(question)
    rest = question[begun.end() if begun else 0 :].strip(" ?!.")
    return re.sub(r",? (?:please|bitte)$", "", rest, flags=re.IGNORECASE)


def by_rules(question: str, left: Before) -> Chosen | None:
    """The look-up that a question asks for, with what it points at in the turn before put in its place."""
    if left is NOTHING:
        return lookups.by_rules(question)
    rest = _rest(question)
    if (pointing := _pointing(rest, left)) is not None:
        return pointing
    if (ruled := lookups.by_rules(rest)) is not None:
        said = {k: refer(v, left) or v for k, v in ruled.arguments.items()}
        return Chosen(ruled.name, said, "rules", ruled.arguments)
    return _the_same_of(question, rest, left) if left.tool else None


def refer(said: str, left: Before) -> str | None:
    """What a phrase that only points stands for, as tools take it; None where it points at nothing."""
    words = " ".join(said.split())
    for at, pattern in enumerate(_NTH):
        if pattern.fullmatch(words):
            return f"document:{left.documents[at]}" if at < len(left.documents) else None
    for age, pattern in _AGE:
        if pattern.fullmatch(words) and left.documents:
            return f"{age}:{left.documents[0]}"
    return None


def _pointing(rest: str, left: Before) -> Chosen | None:
    """A question of pronouns alone."""
    if _BOTH.fullmatch(rest) and len(left.documents) > 1:
        both = (f"document:{i}" for i in left.documents[:2])
        return Chosen("compare_documents", dict(zip(("first", "second"), both, strict=True)), "rules", {"of": rest})
    if _PERSON.fullmatch(rest):
        if left.tool == "find_person" and left.arguments.get("name"):
            return Chosen("find_person", {"name": left.arguments["name"]}, "rules")
        if left.tool in {"find_owner", "find_person"} and left.documents:
            return Chosen("find_person", {"name": f"document:{left.documents[0]}"}, "rules", {"of": rest})
    if (shown := _SHOW.fullmatch(rest)) and left.documents:
        which = refer(shown["it"] or shown["es"] or "it", left)
        return Chosen("open_document", {"title": which}, "rules", {"of": rest}) if which else None
    return None


def _the_same_of(question: str, rest: str, left: Before) -> Chosen | None:
    """“And Grace Hopper?”, “what about the travel policy?”: the look-up before, of something else."""
    about = _ABOUT.match(rest)
    if about is None and (not _ALSO.match(question) or _ASKS.match(rest) or len(rest.split()) > MOST_WORDS):
        return None
    thing = re.sub(r"^(?:the|our|das|die|der|den|dem) ", "", rest[about.end() if about else 0 :], flags=re.IGNORECASE)
    said = {"of": thing}
    if left.tool == "find_person":
        return Chosen("find_person", {"name": thing}, "rules") if re.fullmatch(lookups.NAME, thing) else None
    if left.tool == "list_changes":
        day = re.sub(r"^(?:since|seit) ", "", thing, flags=re.IGNORECASE)
        return Chosen("list_changes", {"since": day}, "rules") if since.moment(day, now().date()) else None
    if left.tool == "summarise_folder":
        folder = re.sub(r"^(?:folder|ordner) | folder$", "", thing, flags=re.IGNORECASE)
        return Chosen("summarise_folder", {"folder": folder}, "rules")
    if left.tool == "compare_documents":
        thing = re.sub(r"^(?:with|to|mit) (?:the |der |dem )?", "", thing, flags=re.IGNORECASE)
    # “And interns?” after a document was opened asks of the matter, “and the travel policy?” for another document.
    pointed = refer(thing, left)
    if not (pointed or re.match(lookups.DOCUMENT, thing, re.IGNORECASE)) or _OF.match(thing):
        return None
    if left.tool == "compare_documents" and left.documents:
        pair = {"first": f"document:{left.documents[0]}", "second": pointed or thing}
        return Chosen("compare_documents", pair, "rules", said)
    one = {"find_owner": "what", "open_document": "title"}.get(left.tool)
    return Chosen(left.tool, {one: pointed or thing}, "rules", said) if one else None
