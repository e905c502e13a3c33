"""Holds figures against a floor: what a release, a prompt or a model must reach to go live."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from assistant.errors import InputError


def read_floor(path: Path) -> dict[str, dict[str, float]]:
    """A floor file: a table for each kind of case; `hit@5 = 0.9` is a least value, `max_declined = 0.1` a most."""
    try:
        floor = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not readable as a floor: {error}.", "Name a .toml file of least values.") from error
    for kind, limits in floor.items():
        if not isinstance(limits, dict) or not all(isinstance(v, int | float) for v in limits.values()):
            raise InputError(f"{path}: {kind}: is not a table of numbers.", "Write e.g. [single] and hit@5 = 0.9.")
    return floor


def failures(kinds: dict[str, dict[str, Any]], floor: dict[str, dict[str, float]]) -> list[str]:
    """A sentence for every figure that misses its floor; a figure that could not be measured misses it too."""
    missed = []
    for kind, limits in floor.items():
        for key, limit in limits.items():
            name = key.removeprefix("max_")
            value = kinds.get(kind, {}).get(name)
            if value is None:
                missed.append(f"{kind}: {name} was not measured")
            elif key.startswith("max_") and value > limit:
                missed.append(f"{kind}: {name} is {value:.3f}, at most {limit:.3f} is allowed")
            elif not key.startswith("max_") and value < limit:
                missed.append(f"{kind}: {name} is {value:.3f}, at least {limit:.3f} is needed")
    return missed
