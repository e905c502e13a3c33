"""Lines that were broken only to fit a width, put together again: a sentence must not end where a line does."""

from __future__ import annotations

import re
from itertools import pairwise

# Below this no text is set; what is shorter is a list, an address or a signature.
LEAST_WIDTH = 40
# How much of the width a line may leave over beside the word that did not fit: letters are of unlike widths.
SLACK = 0.1
_BULLET = re.compile(r"\s*(?:[-+*•–]\s|\(?\w{1,3}[.)]\s)")
_BEGINS = re.compile(rf"{_BULLET.pattern}|\s*[-•–§|<]")
# The number of a section, or of an item without a dot.
_SECTION, _PLAIN = re.compile(r"\d+(?:\.\d+)+\s"), re.compile(r"\d+(?![.\d]*\.\d)")
_ENDS = re.compile(r"[.!?:;][\"'”’)\]]*\s*$")
_NAMED = re.compile(r"\s*[^\W\d_][^:.\n]{0,28}: ")
# Cells side by side, and lines of code.
_APART = re.compile(r"\S(?: {3,}|\t+)\S|[;{}|\\]\s*$")
_QUOTED = re.compile(r"\s*(?:>\s?)+")


def unwrapped(text: str) -> str:
    """The text of a paragraph with its broken lines joined by a blank; lists, code and columns stay as they are.

    A line goes on in the next one where that one's first word would not have fitted, where it begins in lower case, or
    where it stands indented below a bullet.
    """
    lines = text.split("\n")
    # An address cannot be broken: its line says nothing about the width.
    width = max((len(line) for line in lines if max(map(len, line.split()), default=0) < LEAST_WIDTH), default=0)
    out = [lines[:1]]
    for line, following in pairwise(lines):
        if _goes_on(out[-1][0], line, following, width):
            out[-1][-1] = out[-1][-1].rstrip()
            out[-1].append(_said(following))
        else:
            out.append([following])
    return "\n".join(" ".join(parts) for parts in out)


def _said(line: str) -> str:
    quoted = _QUOTED.match(line)
    return line[quoted.end() if quoted else 0 :].strip()


def _goes_on(begun: str, line: str, following: str, width: int) -> bool:
    said = _said(following)
    if not said or not _said(line) or bool(_QUOTED.match(line)) != bool(_QUOTED.match(following)):
        return False
    if _BEGINS.match(said) or _APART.search(line) or _APART.search(following):
        return False
    if _BULLET.match(begun) and _indent(following) > _indent(begun) and not line.rstrip().endswith(":"):
        return True
    if width < LEAST_WIDTH:
        return False
    if said[0].islower() and len(line) * 2 > width:
        return True
    if _NAMED.match(said) or (_SECTION.match(said) and (_ENDS.search(line) or _SECTION.match(line.lstrip()))):
        return False
    if _PLAIN.match(said) and _PLAIN.match(line.lstrip()):
        return False
    return len(line.rstrip()) + 1 + len(said.split()[0]) > width * (1 - SLACK)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
