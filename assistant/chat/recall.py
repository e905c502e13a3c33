"""What a question is read with: the thread's last turns, what came before them in short, and the person's own notes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.chat.models import Models
from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.errors import InputError, LimitError
from assistant.index import access
from assistant.memory import projects, threads
from assistant.memory import recall as memory
from assistant.settings import Settings
from assistant.texts import say

# Of the questions before the window: the first ones, which say what it is about, and the last ones.
FIRST, LAST = 4, 8
# Beside passages and answer: the prompt's own words and the question.
FRAME_TOKENS = 1_500
TOKENS_A_WORD = 2
_ASKED = [
    re.compile(
        r"\W*(?:(?:please|can you|could you|kindly)\W+)*(?:remember|keep in mind|make a note|note down)"
        r"(?:\W+please)?(?:\s*[:,]\s*|\s+that\s+(?=(?-i:[A-Z])|(?:i|we|my|our|mine|the|an?|all|every|on|in|for|from|when|"
        r"if|it|she|he|they|there)\b)|\s+(?=(?:i|my|our|we)\b))(?P<note>.+)",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(
        r"\W*(?:bitte\W+)?(?:merke? dir|merken sie sich|behalte? (?:dir )?im kopf|notiere? dir|notieren sie(?: sich)?)"
        r"(?:\W+bitte)?\W*(?:(?<=:)\s*|\s*(?=dass\b))(?P<note>.+)",
        re.IGNORECASE | re.DOTALL,
    ),
]
_STATES = frozenset({"complete", "stopped"})


def wanted(text: str) -> str | None:
    """What a message asks to be remembered, or None. A message that ends as a question asks for an answer."""
    if text.rstrip().endswith("?"):
        return None
    for pattern in _ASKED:
        if found := pattern.fullmatch(text):
            return " ".join(found["note"].split())
    return None


async def keep(db: Database, asker: Asker, note: str, language: str) -> str:
    """Keep a note; the sentence that tells the person so, or why not."""
    try:
        await memory.remember(db, asker, note)
    except InputError:
        return say(language, "chat.note_long", limit=memory.NOTE_CHARS)
    except LimitError:
        return say(language, "chat.note_full", limit=memory.NOTES)
    plain = re.sub(r"([\\\[\]<>`*_#!|~])", r"\\\1", note)
    return say(language, "chat.noted", note=plain)


@dataclass(frozen=True)
class Context:
    """`earlier` and `notes` stand in the prompt as they are: their brackets are escaped. `said` is for the receipt."""

    window: list[threads.PastTurn]
    earlier: str = ""
    notes: str = ""
    said: tuple[str, ...] = ()
    # Documents that the talk's project chose and that the asker may read.
    chosen: frozenset[int] = frozenset()
    # The name of that project, where nothing but those documents is to be searched.
    only_in: str = ""
    # What the person's turns have cost today, in nano-dollars.
    spent: int = 0


async def gather(
    db: Database, asker: Asker, thread_id: str, question_id: str, settings: Settings, models: Models
) -> Context:
    """What a question is given, within the model's context and today's rights: an answer that rests on a document
    which the person may no longer read is left out, and so is a summary that may."""

    async def work(session: AsyncSession) -> tuple[threads.Past, projects.Given, list[str], set[int], int]:
        past = await threads.past(session, asker, thread_id, settings.chat.window_turns, before=question_id)
        project = await projects.of_thread(session, asker, thread_id)
        # What a person had noted for themselves is not a program's to read out of an answer.
        own = [] if asker.program else [n.text for n in await memory.notes(session, asker)]
        named = set(project.documents).union(*(t.documents for t in past.window))
        if past.summary:
            named.update(past.summary.documents)
        allowed = set(await access.readable(session, asker, named)) if named else set()
        return past, project, own, allowed, await threads.spent_today(session, asker.person_id)

    past, project, own, allowed, spent = await db.reading(work)
    notes = _fenced([*project.instructions.splitlines(), *own])
    window = [t if _open(t, allowed) else replace(t, answer="") for t in past.window if t.state in _STATES]
    room = _room(settings, models) - await tokens(models, [notes])
    fitting = await _fitting(models, window, room * 3 // 4)
    summary = past.summary if past.summary and set(past.summary.documents) <= allowed else None
    questions = [q for _, q in past.earlier] + [t.question for t in window[: len(window) - len(fitting)]]
    earlier = _in_short(questions, summary.text if summary else "", summary.turns if summary else 0)
    if await tokens(models, [earlier]) > room // 4:
        earlier = ""
    given = await tokens(models, [notes, earlier, *(t.question + t.answer for t in fitting)])
    said = [f"{len(fitting)} earlier turns"]
    if earlier:
        said.append(f"{'summary' if summary else 'questions'} of {len(questions)} before them")
    if notes:
        said.append(f"{notes.count(chr(10)) + 1} notes")
    if project.documents or project.instructions:
        said.append(f"a project with {len(project.documents & allowed)} documents")
    chosen, only_in = project.documents & allowed, project.name if project.only else ""
    return Context(fitting, earlier, notes, (*said, f"{given} tokens"), chosen, only_in, spent)


def _open(turn: threads.PastTurn, allowed: set[int]) -> bool:
    return turn.known and turn.documents <= allowed


def _room(settings: Settings, models: Models) -> int:
    """Tokens that are left for the talk beside the passages, the prompt and the answer."""
    passages = settings.chat.passages * settings.index.passage_words * TOKENS_A_WORD
    return max(0, models.context() - settings.models.answer_tokens - passages - FRAME_TOKENS)


async def _fitting(models: Models, window: Sequence[threads.PastTurn], room: int) -> list[threads.PastTurn]:
    """The newest turns that fit, oldest first."""
    found: list[threads.PastTurn] = []
    for turn in reversed(window):
        room -= await tokens(models, [turn.question, turn.answer])
        if room < 0:
            break
        found.append(turn)
    return found[::-1]


def _in_short(questions: Sequence[str], summary: str, covered: int) -> str:
    left = list(questions[covered:])
    if len(left) > FIRST + LAST:
        left = [*left[:FIRST], "…", *left[-LAST:]]
    parts = [escape(summary, quote=False)] if summary else []
    return "\n".join([*parts, *([_fenced(left)] if left else [])])


def _fenced(lines: Iterable[str]) -> str:
    """One line each, unable to close the frame that they stand in."""
    return "\n".join(f"- {escape(' '.join(line.split()), quote=False)}" for line in lines)


async def tokens(models: Models, texts: Sequence[str]) -> int:
    """Counted in a thread where a tokenizer does it: it is loaded at the first call."""
    if models.tokenizer and any(texts):
        return await asyncio.to_thread(models.tokens, texts)
    return models.tokens(texts)
