"""What the engine can call beside its search: one small protocol, chosen by rules, or by a model that calls tools.

A tool is chosen from the person's own words and from nothing else: whoever chooses has seen no document yet, and what
a tool finds chooses no other. So no document can have one called.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from assistant.index.retrieve import Knowledge
from assistant.masking import mask

log = logging.getLogger(__name__)
# Of what a model asks for in one turn, so many are called.
MOST = 3
ARGUMENT_CHARS = 200
By = Literal["rules", "model"]


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
    """What a tool found, in Markdown of ours that cites `passages` by their numbers from 1."""

    text: str
    passages: tuple[Passage, ...] = ()
    documents: tuple[int, ...] = ()
    release: int | None = None


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
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }


@dataclass(frozen=True)
class Chosen:
    """A call that rules or a model want; its arguments are not checked yet."""

    name: str
    arguments: Mapping[str, Any]
    by: By


@dataclass
class LookedUp:
    """What the tools of a turn found. `later` is a call that is to be done as a job."""

    uses: list[ToolUse] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    by: By = "rules"
    later: Chosen | None = None


async def by_model(models: Models, prompt: Prompt, tools: Sequence[Tool], question: str, call: Call) -> list[Chosen]:
    """What a model wants to look up for a question. It reads the person's words only. Raises `ModelError`."""
    picked = await models.pick(prompt.render(question=question), [t.schema for t in tools], call)
    chosen = []
    for name, arguments in picked[:MOST]:
        try:
            chosen.append(Chosen(name, read_object(arguments), "model"))
        except ValueError:
            chosen.append(Chosen(name, {}, "model"))
    return chosen


async def call(
    tool: Tool | None, chosen: Chosen, desk: Desk, seconds: float | None = None
) -> tuple[ToolUse, Result | None]:
    """Call a tool as the asker, for as long as it may take, or for `seconds`.

    Whatever goes wrong is the outcome of the use, never an error.
    """
    began, result = time.monotonic(), None
    outcome: Literal["ok", "empty", "refused", "timeout", "failed"] = "refused"
    if tool is not None and tool.groups & desk.asker.groups:
        try:
            arguments = tool.arguments.model_validate(chosen.arguments)
            async with asyncio.timeout(seconds or tool.timeout_s):
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
        arguments=shown(chosen.arguments) if tool else {},
        by=chosen.by,
        outcome=outcome,
        ms=round((time.monotonic() - began) * 1000, 1),
        cost_nano=tool.cost_nano if tool and result else 0,
        documents=result.documents if result else (),
    )
    return use, result


def link(row: DocumentRow) -> str:
    """A document by its title, as Markdown."""
    return f"[{label(row.title or row.path)}](/documents/{row.id})"


def quoted(text: str) -> str:
    """A document's words on one line, with nothing in them that acts."""
    return " ".join(safe(text).split())


def shown(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments as a receipt keeps them."""
    return {str(k)[:40]: mask(str(v))[:ARGUMENT_CHARS] for k, v in list(arguments.items())[:8]}


async def look_up(
    desk: Desk,
    tools: Mapping[str, Tool],
    question: str,
    choose: Callable[[str], Chosen | None],
    model: Call | None,
) -> LookedUp:
    """Choose what to look up for a question and do it: by a model where `model` is a call for one, else by rules."""
    wanted: list[Chosen] = []
    prompt = desk.prompts.get("tools")
    asked = model is not None and prompt is not None and desk.models.calls_tools()
    if model is not None and prompt is not None and asked:
        try:
            allowed = [t for t in tools.values() if t.groups & desk.asker.groups]
            wanted = await by_model(desk.models, prompt, allowed, question, model)
        except ModelError:
            asked = False
    if not asked and (ruled := choose(question)) is not None:
        wanted = [ruled]
    found = LookedUp(by=wanted[0].by if wanted else "rules")
    for chosen in wanted:
        tool = tools.get(chosen.name)
        if tool is not None and await _takes_long(tool, chosen, desk):
            found.later = chosen
            break
        use, result = await call(tool, chosen, desk)
        found.uses.append(use)
        if result is not None:
            found.results.append(result)
    return found


async def at_once(desk: Desk, tools: Mapping[str, Tool], found: LookedUp) -> LookedUp:
    """Do the long call now instead of later."""
    assert found.later is not None
    use, result = await call(tools.get(found.later.name), found.later, desk)
    return LookedUp([*found.uses, use], [*found.results, *([result] if result else [])], found.by)


async def _takes_long(tool: Tool, chosen: Chosen, desk: Desk) -> bool:
    if tool.long is None or not tool.groups & desk.asker.groups:
        return False
    try:
        return await tool.long(desk, tool.arguments.model_validate(chosen.arguments))
    except (ValidationError, AssistantError):
        return False
