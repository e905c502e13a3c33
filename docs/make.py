"""Writes the pages that are made from the code: `python docs/make.py`. With `--check`, says whether they differ."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assistant.domain import Receipt
from assistant.settings import PROJECT, Settings

DOCS = Path(__file__).resolve().parent
REQUIRED = object()
INTRO = """# Settings

<!-- Made from assistant/settings.py by `python docs/make.py`; a test fails when they differ. -->

An installation has one file, `assistant.toml`. It is the one named by `--config`, else by the environment variable
`ASSISTANT_CONFIG`, else the one in the current folder, else the one of the project. Relative paths are relative to that
file; `~` is the home folder. A wrong value stops the start in one line that names the key, its problem and the fix.

Secrets never stand in the file. Settings that end in `_env` name the environment variable that holds one.

| environment variable | what it does |
| --- | --- |
| `ASSISTANT_CONFIG` | the settings file, when `--config` names none |
| `ASSISTANT_DATA` | the data folder, in place of `data`; `--data` wins over it |
| `ASSISTANT_SECRET` | signs sessions, at least 32 random characters; unset, one is made in the data folder |
"""
_UNITS = {
    "_s": "seconds",
    "_hours": "hours",
    "_days": "days",
    "_mb": "megabytes",
    "_words": "words",
    "_chars": "characters",
    "_tokens": "tokens",
    "context": "tokens",
    "price": "dollars per million tokens",
    "price_in": "dollars per million tokens",
    "price_out": "dollars per million tokens",
    "price_cached": "dollars per million tokens",
    "dollars_per_person_day": "dollars a day",
    "questions_per_minute": "a minute",
}


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def _limits(schema: dict[str, Any]) -> str:
    low, above, high = (f"{schema[k]:,.10g}" if k in schema else "" for k in ("minimum", "exclusiveMinimum", "maximum"))
    if low and high:
        return f", {low} to {high}"
    return f", above {above} to {high}" if above and high else ""


def _type(schema: dict[str, Any]) -> str:
    """A type as a person says it."""
    if "anyOf" in schema:
        return _type(next(s for s in schema["anyOf"] if s.get("type") != "null"))
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(v)}`" for v in schema["enum"])
    if schema.get("format") == "path":
        return "path"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}" if "$ref" not in schema["items"] else "sections"
    word = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}[schema["type"]]
    return word + _limits(schema)


def _default(value: Any) -> str:
    if value is REQUIRED:
        return "**required**"
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(str(PROJECT)):
        return f"`{Path(value).relative_to(PROJECT)}` of the project"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def sections() -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Every section by its dotted name, outermost first: whether there may be several, and its schema."""
    whole = Settings.model_json_schema()

    def below(name: str, schema: dict[str, Any], several: bool) -> Iterator[tuple[str, bool, dict[str, Any]]]:
        yield name, several, schema
        for key, value in schema["properties"].items():
            inner = value.get("items", value)
            if "$ref" in inner:
                found = whole["$defs"][inner["$ref"].rsplit("/", 1)[1]]
                yield from below(f"{name}.{key}".lstrip("."), found, "items" in value)

    return below("", whole, False)


def rows(schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Key, type, default, what it does and unit of each setting of a section that is no section itself."""
    for key, value in schema["properties"].items():
        if "$ref" in value or key == "secret":
            continue
        default = REQUIRED if key in schema.get("required", []) else value.get("default")
        unit = _unit(key)
        yield key, _type(value), _default(default), value.get("description", ""), unit


def settings_page() -> str:
    """`docs/settings.md`."""
    parts = [INTRO]
    for name, several, schema in sections():
        title = f"`[[{name}]]`" if several else f"`[{name}]`" if name else "At the top of the file"
        parts.append(f"\n## {title}\n\n{' '.join(schema.get('description', '').split())}\n")
        parts.append("\n| key | type | default | what it does | unit |\n| --- | --- | --- | --- | --- |")
        parts += [f"\n| `{key}` | " + " | ".join(cell.replace("|", "\\|") for cell in rest) + " |"
                  for key, *rest in rows(schema)]  # fmt: skip
        parts.append("\n")
    return "".join(parts)


def receipt_schema() -> str:
    """`docs/receipt.schema.json`: what a stored receipt looks like to other programs."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Receipt.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


PAGES = {"settings.md": settings_page, "receipt.schema.json": receipt_schema}


def differing() -> list[str]:
    """The pages that are not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text(encoding="utf-8") != make()
    ]


def main(check: bool) -> int:
    wrong = differing()
    if not check:
        for name in wrong:
            (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
    for name in wrong:
        sys.stderr.write(f"docs/{name} {'differs: run python docs/make.py' if check else 'written'}\n")
    return int(check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
