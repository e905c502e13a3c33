"""Structured replies of a model: read strictly, repaired once, asked again once, or refused with a type."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import json_repair
from llama_index.core.llms import ChatMessage, MessageRole
from pydantic import BaseModel, ValidationError

from assistant.chat.models import Call, Models, Tier
from assistant.errors import ModelError

Schema = TypeVar("Schema", bound=BaseModel)
_LONGEST = 50_000
_DEEPEST = 40
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)


class IncompleteError(ValueError):
    """The reply breaks off in the middle of a value: what it would have said cannot be known."""


def read_object(reply: str) -> dict[str, Any]:
    """The first JSON object of a reply, with the faults that models make mended.

    Mended: prose and fences around it, comments, quotes of the wrong kind, trailing commas, missing closing brackets.
    Raises `IncompleteError` for one that breaks off inside a value, `ValueError` for anything that is no object.
    """
    if len(reply) > _LONGEST:
        raise ValueError("the reply is too long")
    text = _THOUGHT.sub("", reply).replace("\ufeff", "").strip()
    if text.startswith('"'):
        text = _unwrapped(text)
    start = text.find("{")
    if start < 0 or "[" in text[:start].replace("[]", ""):
        raise ValueError("the reply holds no object")
    text = (
        text[start:].translate({0x201C: '"', 0x201D: '"'}) if '"' not in text[start + 1 : start + 3] else text[start:]
    )
    depth, whole = _ends(text)
    if depth > _DEEPEST:
        raise ValueError("the reply is nested too deeply")
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        if whole is None and _breaks_off(text):
            raise IncompleteError("the reply breaks off") from None
        value = json_repair.loads(text[:whole] if whole else text, skip_json_loads=True)
    if not isinstance(value, dict) or not value:
        raise ValueError("the reply holds no object")
    _finite(value)
    return value


def _unwrapped(text: str) -> str:
    """An object that was encoded as a string."""
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    return inner if isinstance(inner, str) else text


def _ends(text: str) -> tuple[int, int | None]:
    """How deep the nesting goes, and where the first object closes."""
    depth = deepest = 0
    quote = ""
    escaped = False
    for i, c in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == quote:
                quote = ""
        elif c == '"':
            quote = c
        elif c in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "}]":
            depth -= 1
            if depth == 0:
                return deepest, i + 1
    return deepest, None


def _breaks_off(text: str) -> bool:
    """Whether the end is the middle of a string, a key or a value, rather than a lost bracket."""
    quotes = len(re.findall(r'(?<!\\)"', text))
    return quotes % 2 == 1 or bool(re.search(r'[:,{\[]\s*$|[,{]\s*"[^"]*"\s*$', text.rstrip()))


def _finite(value: Any) -> None:
    """NaN and infinity are no JSON, whatever a repair makes of them."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the reply holds a number that is none")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(item)


async def ask(models: Models, tier: Tier, messages: Sequence[ChatMessage], schema: type[Schema], call: Call) -> Schema:
    """A reply that fits the schema. A reply that does not is asked again once, with what was wrong.

    Raises `ModelError` (outcome `malformed`) when the second does not fit either.
    """
    problem = ""
    for attempt in range(2):
        again = [
            ChatMessage(
                role=MessageRole.USER,
                content=f"Your reply could not be used: {problem}. Reply with the JSON object only.",
            )
        ]
        reply = await models.complete(tier, [*messages, *(again if attempt else [])], call)
        try:
            return schema.model_validate(read_object(reply))
        except ValidationError as error:
            what = error.errors(include_url=False)[0]
            problem = f"{'.'.join(str(p) for p in what['loc'])}: {what['msg']}"
        except (ValueError, RecursionError) as error:
            problem = str(error)
    raise ModelError("The model's reply could not be used.", "Ask again.", outcome="malformed")
