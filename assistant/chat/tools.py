"""What the engine can call beside its search: one small protocol, chosen by rules, or by a model that calls tools.

A tool is chosen from the person's own words and from nothing else: whoever chooses has seen no document. A model that
wants several calls one after another names what the ones before found by handles (`#1`), and is told no more of it
than how much it was. So no document can have one called. See docs/decisions/0010-tools.md.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from assistant.chat.cite import safe
from assistant.chat.decide import label
from assistant.chat.models import Call, Models
from assistant.chat.prompts import Prompt
from assistant.chat.structured import read_object
from assistant.database.engine import Database
from assistant.database.tables import DocumentRow
from assistant.domain import EVERYONE, Asker, Attempt, Passage, ToolUse
from assistant.errors import AssistantError, ModelError
from assistant.index import table_rows
from assistant.index.retrieve import Knowledge
from assistant.masking import mask

log = logging.getLogger(__name__)
# Of what a model asks for in one turn, so many are called.
MOST = 3
ARGUMENT_CHARS = 200
By = Literal["rules", "model"]
_HANDLE = re.compile(r"(?:(?P<age>older|newer)(?: than)? )?#(?:(?P<call>[1-9])(?:\.(?P<nth>\d{1,2}))?|(?P<left>[a-d]))")
_MORE = {
    "type": "boolean",
    "description": "true where the question asks for one more look-up that needs what this one finds",
}


@dataclass
class Course:
    """How far a call is, and what of it need not be done again should the server be started anew."""

    done: int = 0
    total: int = 0
    kept: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Desk:
    """What a tool works with. It looks up nothing but through these, as the asker."""

    db: Database
    knowledge: Knowledge
    asker: Asker
    language: str
    models: Models
    prompts: Mapping[str, Prompt]
    course: Course = field(default_factory=Course)
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What a tool found, in Markdown of ours that cites `passages` by their numbers from 1.

    `documents` and `people` are what a next call may refer to.
    """

    text: str
    passages: tuple[Passage, ...] = ()
    documents: tuple[int, ...] = ()
    release: int | None = None
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """`about` tells a model when to call it, `arguments` is its schema; only `groups` may use it.

    `run` gives None where it finds nothing. `long` says that a call is better done as a job than waited for.
    """

    name: str
    about: str
    arguments: type[BaseModel]
    run: Callable[[Desk, Any], Awaitable[Result | None]]
    groups: frozenset[str] = frozenset({EVERYONE})
    cost_nano: int = 0
    timeout_s: float = 5.0
    long: Callable[[Desk, Any], Awaitable[bool]] | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """As LiteLLM's `tools` take it."""
        parameters = self.arguments.model_json_schema()
        parameters["properties"] = {**parameters["properties"], "more": _MORE}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }


@dataclass(frozen=True)
class Chosen:
    """A call that rules or a model want; its arguments are not checked yet.

    `said` is what a receipt shows of them where they were taken from the thread. `more` says that the model wants to
    choose again once this is done.
    """

    name: str
    arguments: Mapping[str, Any]
    by: By
    said: Mapping[str, Any] | None = None
    more: bool = False


@dataclass(frozen=True)
class Asked:
    """A question, with what the chooser may see of its talk: the person's own questions before it, and how many
    documents the last answer named. `documents` are those, for the calls."""

    question: str
    earlier: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()


@dataclass
class LookedUp:
    """What the tools of a turn found: `calls` in their order, with None for one that found nothing.

    `later` is a call that is to be done as a job.
    """

    uses: list[ToolUse] = field(default_factory=list)
    calls: list[Result | None] = field(default_factory=list)
    by: By = "rules"
    later: Chosen | None = None

    @property
    def results(self) -> list[Result]:
        return [r for r in self.calls if r is not None]


async def by_model(
    models: Models, prompt: Prompt, tools: Sequence[Tool], asked: Asked, found: LookedUp, call: Call
) -> list[Chosen]:
    """What a model wants to look up. It reads the person's words, and of what was found only how much it was.

    Raises `ModelError`.
    """
    messages = prompt.render(
        question=asked.question, earlier="\n".join(f"- {q}" for q in asked.earlier), found=_told(asked, found)
    )
    chosen = []
    for name, arguments in (await models.pick(messages, [t.schema for t in tools], call))[:MOST]:
        try:
            given = read_object(arguments)
        except ValueError:
            given = {}
        more = given.pop("more", False) is True
        chosen.append(Chosen(name, given, "model", more=more))
    return chosen


def _told(asked: Asked, found: LookedUp) -> str:
    """The handles there are: no word of a document is in it."""
    lines = [f"#{'abcd'[i]}: a document of the last answer" for i in range(min(4, len(asked.documents)))]
    for n, (use, result) in enumerate(zip(found.uses, found.calls, strict=True), 1):
        much = f"{len(result.documents)} documents, {len(result.people)} people" if result else "nothing"
        given = ", ".join(f"{k}={v}" for k, v in use.arguments.items())
        lines.append(f"#{n}: {use.name}({given}) found {much}")
    return "\n".join(lines)


def referred(arguments: Mapping[str, Any], asked: Asked, found: LookedUp) -> dict[str, Any] | None:
    """Arguments with every handle replaced by what it stands for; None where one stands for nothing."""
    out = dict(arguments)
    for key, value in arguments.items():
        handle = _HANDLE.fullmatch(value.strip()) if isinstance(value, str) else None
        if handle is None:
            continue
        documents, people = asked.documents, tuple[str, ...]()
        if handle["call"]:
            call = int(handle["call"]) - 1
            result = found.calls[call] if call < len(found.calls) else None
            documents, people = (result.documents, result.people) if result else ((), ())
        at = "abcd".index(handle["left"]) if handle["left"] else max(1, int(handle["nth"] or 1)) - 1
        if at < len(people) and not handle["age"]:
            out[key] = people[at]
        elif at < len(documents):
            out[key] = f"{handle['age'] or 'document'}:{documents[at]}"
        else:
            return None
    return out


async def call(
    tool: Tool | None, chosen: Chosen, desk: Desk, seconds: float | None = None
) -> tuple[ToolUse, Result | None]:
    """Call a tool as the asker, for as long as it may take, or for `seconds`.

    Whatever goes wrong is the outcome of the use, never an error.
    """
    began, result, limit = time.monotonic(), None, seconds or (tool.timeout_s if tool else 0.0)
    outcome: Literal["ok", "empty", "refused", "timeout", "failed"] = "refused"
    if tool is not None and tool.groups & desk.asker.groups:
        try:
            arguments = tool.arguments.model_validate(chosen.arguments)
            async with asyncio.timeout(limit):
                result = await tool.run(desk, arguments)
            outcome = "ok" if result else "empty"
        except ValidationError:
            outcome = "refused"
        except TimeoutError:
            outcome = "timeout"
        except AssistantError:
            outcome = "empty"
        except Exception as error:  # noqa: BLE001 - a tool is an edge: without it the question is searched as ever
            log.warning("the tool %s failed: %s", tool.name, type(error).__name__)
            outcome = "failed"
    use = ToolUse(
        name=tool.name if tool else "unknown",
        arguments=shown(chosen.arguments if chosen.said is None else chosen.said) if tool else {},
        by=chosen.by,
        outcome=outcome,
        ms=round((time.monotonic() - began) * 1000, 1),
        cost_nano=tool.cost_nano if tool and result else 0,
        limit_ms=round(limit * 1000),
        groups=tuple(sorted(tool.groups)) if tool else (),
        documents=result.documents if result else (),
    )
    return use, result


def link(row: DocumentRow) -> str:
    """A document by its title, as Markdown."""
    return f"[{label(row.title or row.path)}](/documents/{row.id})"


def quoted(text: str) -> str:
    """A document's words on one line, with nothing in them that acts; a row of a table as a person reads it."""
    return " ".join(safe(table_rows.as_line(text)).split())


def shown(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments as a receipt keeps them."""
    return {str(k)[:40]: mask(str(v))[:ARGUMENT_CHARS] for k, v in list(arguments.items())[:8]}


async def look_up(
    desk: Desk,
    tools: Mapping[str, Tool],
    asked: Asked,
    choose: Callable[[], Chosen | None],
    model: Call | None,
) -> LookedUp:
    """Choose what to look up for a question and do it: by a model where `model` is a call for one, else by rules."""
    found = LookedUp()
    prompt = desk.prompts.get("tools")
    if model is not None and prompt is not None and desk.models.calls_tools():
        found.by = "model"
        try:
            return await _chained(desk, tools, asked, found, prompt, model)
        except ModelError:
            if found.uses:
                return found
            found.by = "rules"
    if (ruled := choose()) is not None:
        await _do(desk, tools, asked, found, ruled)
    return found


async def _chained(
    desk: Desk, tools: Mapping[str, Tool], asked: Asked, found: LookedUp, prompt: Prompt, model: Call
) -> LookedUp:
    """What a model wants, one after the other; it chooses anew only where it said that it would have to."""
    allowed = [t for t in tools.values() if t.groups & desk.asker.groups]
    more = True
    while more and len(found.uses) < MOST:
        more = False
        wanted = await by_model(desk.models, prompt, allowed, asked, found, model)
        for chosen in wanted[: MOST - len(found.uses)]:
            if not await _do(desk, tools, asked, found, chosen):
                return found
            more = chosen.more
    return found


async def _do(desk: Desk, tools: Mapping[str, Tool], asked: Asked, found: LookedUp, chosen: Chosen) -> bool:
    """Call what was chosen, or leave it for later. False where that ends the look-ups of this turn."""
    tool, arguments = tools.get(chosen.name), referred(chosen.arguments, asked, found)
    if arguments is None:
        given = shown(chosen.arguments) if tool else {}
        found.uses.append(
            ToolUse(name=chosen.name if tool else "unknown", arguments=given, by="model", outcome="empty")
        )
        found.calls.append(None)
        return True
    said = chosen.said if arguments == chosen.arguments else chosen.arguments
    chosen = replace(chosen, arguments=arguments, said=said)
    if tool is not None and await _takes_long(tool, chosen, desk):
        found.later = chosen
        return False
    use, result = await call(tool, chosen, desk)
    found.uses.append(use)
    found.calls.append(result)
    return True


async def at_once(desk: Desk, tools: Mapping[str, Tool], found: LookedUp) -> LookedUp:
    """Do the long call now instead of later."""
    assert found.later is not None
    use, result = await call(tools.get(found.later.name), found.later, desk)
    return LookedUp([*found.uses, use], [*found.calls, result], found.by)


async def _takes_long(tool: Tool, chosen: Chosen, desk: Desk) -> bool:
    if tool.long is None or not tool.groups & desk.asker.groups:
        return False
    try:
        return await tool.long(desk, tool.arguments.model_validate(chosen.arguments))
    except (ValidationError, AssistantError):
        return False
