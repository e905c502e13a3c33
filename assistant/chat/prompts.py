"""Prompts are files: front matter (name, version, tier, inputs) and a body with `# system` and `# user`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import frontmatter
from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, meta
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml import YAMLError

from assistant.domain import PromptUse
from assistant.errors import SettingsError

if TYPE_CHECKING:
    from llama_index.core.llms import ChatMessage

_environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)  # noqa: S701 - not HTML
_template = cache(_environment.from_string)
_FRAME = re.compile(r"^<(\w+)[ >]", re.MULTILINE)
_SECTION = re.compile(r"^# (system|user)\s*$", re.MULTILINE)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    version: str
    tier: Literal["small", "strong"]
    inputs: list[str]
    about: str
    examples: list[dict[str, str]]


@dataclass(frozen=True)
class Prompt:
    """A checked prompt. `render` takes exactly the inputs that its file declares.

    `tier` is whose work it is; who writes the answer, money and the models at hand decide, see `Services.route`.
    """

    name: str
    version: str
    tier: Literal["small", "strong"]
    inputs: frozenset[str]
    sections: tuple[tuple[str, str], ...]

    @property
    def use(self) -> PromptUse:
        return PromptUse(name=self.name, version=self.version)

    def render(self, **values: str) -> list[ChatMessage]:
        """The messages, one a section. Raises `TypeError` when a value is missing or not declared."""
        # Whoever only checks prompts need not wait for LlamaIndex to be imported.
        from llama_index.core.llms import ChatMessage, MessageRole

        if values.keys() != self.inputs:
            raise TypeError(f"prompt {self.name} takes {sorted(self.inputs)}, not {sorted(values)}")
        # A frame is a tag that begins a line of the prompt; no value may open or close one.
        frames = {name for _, body in self.sections for name in _FRAME.findall(body)}
        tag = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(sorted(frames)) or '(?!)'})\b)", re.IGNORECASE)
        safe = {key: tag.sub("&lt;", value) for key, value in values.items()}
        return [
            ChatMessage(role=MessageRole(role), content=_template(body).render(safe).strip())
            for role, body in self.sections
        ]


def _load(path: Path) -> Prompt:
    try:
        post = frontmatter.loads(path.read_text(encoding="utf-8"))
        header = _Header.model_validate(post.metadata)
        used = meta.find_undeclared_variables(_environment.parse(post.content))
    except ValidationError as error:
        what = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in what["loc"])
        raise SettingsError(f"{path}: {key}: {what['msg']}.", "Correct its front matter.") from error
    except (TemplateSyntaxError, ValueError, YAMLError) as error:
        first = str(error).splitlines()[0]
        raise SettingsError(f"{path}: not a prompt: {first}.", "Correct its front matter or template.") from error
    if used != set(header.inputs):
        odd = ", ".join(sorted(used ^ set(header.inputs)))
        raise SettingsError(f"{path}: its inputs and its text differ in: {odd}.", "Declare exactly what the text uses.")
    parts = _SECTION.split(post.content)[1:]
    sections = tuple(zip(parts[::2], parts[1::2], strict=True))
    if [role for role, _ in sections] != ["system", "user"]:
        raise SettingsError(f"{path}: needs the parts “# system” and “# user”, in this order.", "Add them.")
    if header.name != path.stem:
        raise SettingsError(f"{path}: is called {header.name} in its front matter.", "Give both the same name.")
    return Prompt(header.name, header.version, header.tier, frozenset(header.inputs), sections)


def load(
    folder: Path, needed: tuple[str, ...] = ("answer", "rewrite", "summary", "judge", "clarify", "enough", "decompose")
) -> dict[str, Prompt]:
    """Every prompt of a folder by name. Raises `SettingsError` at start for a broken or missing one."""
    prompts = {p.name: p for p in map(_load, sorted(folder.glob("*.md")))}
    if missing := [n for n in needed if n not in prompts]:
        raise SettingsError(f"{folder}: the prompt {missing[0]}.md is missing.", "Put it back.")
    return prompts
