"""What the product says to people, by language: one TOML file each, with the same keys in every file."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "de")
_FOLDER = Path(__file__).parent


@lru_cache(maxsize=len(LANGUAGES))
def _load(language: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


def say(language: str, key: str, /, **values: object) -> str:
    """The text of `section.name` in a language (English if we do not speak it), with its values filled in.

    Raises `KeyError` for an unknown key or a missing value: a test asks for every key in every language.
    """
    section, name = key.split(".", 1)
    return _load(language if language in LANGUAGES else "en")[section][name].format_map(values)


def figure(language: str, value: float, digits: int = 0) -> str:
    """A number with the marks of its language."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "de" else text


def day(language: str, moment: date) -> str:
    """A date without a clock, as people write it."""
    months = say(language, "web.months").split()
    return f"{moment.day}{'.' if language == 'de' else ''} {months[moment.month - 1]} {moment.year}"


def reason(language: str, text: str) -> str:
    """Why something could not be read or done, in a language. It is stored or raised in English; what we cannot
    translate stays so."""
    for pattern, said in _reasons(language) if language in LANGUAGES else ():
        if (found := pattern.fullmatch(text)) is not None:
            return said.format(*(reason(language, value) for value in found.groups()))
    return text


@lru_cache(maxsize=len(LANGUAGES))
def _reasons(language: str) -> list[tuple[re.Pattern[str], str]]:
    file = _FOLDER / "reasons" / f"{language}.toml"
    known = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    # What says more comes first: a general sentence may hold a special one.
    return [
        (re.compile("(.+?)".join(map(re.escape, english.split("{}")))), said)
        for english, said in sorted(known.items(), key=lambda k: -len(k[0]))
    ]


def section(language: str, name: str) -> dict[str, str]:
    """All texts of a section, for templates."""
    return dict(_load(language if language in LANGUAGES else "en")[name])


def pick(accept_language: str, fallback: str = "en") -> str:
    """The first language of an `Accept-Language` header that we speak."""
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return fallback
