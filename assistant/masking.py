"""Takes secrets and personal data out of what is written for others to read: log lines, traces, what goes to Langfuse.

Over-masking costs a reader a number; a secret in a log costs more, so what only looks like one is masked too.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

_DATE_OR_ADDRESS = re.compile(r"\d{4}[ ./-]\d{2}[ ./-]\d{2}|\d{2}[ ./-]\d{2}[ ./-]\d{4}|(?:\d{1,3}\.){3}\d{1,3}")


def _card(m: re.Match[str]) -> str:
    digits = [int(c) for c in m.group() if c.isdigit()]
    doubled = sum(d if i % 2 == 0 else (2 * d) // 10 + (2 * d) % 10 for i, d in enumerate(reversed(digits)))
    if doubled % 10 == 0:
        return "[card]"
    return "[number]" if len(digits) > 12 else m.group()


def _phone(m: re.Match[str]) -> str:
    text = m.group()
    count = sum(c.isdigit() for c in text)
    return text if _DATE_OR_ADDRESS.fullmatch(text.strip()) or not 8 <= count <= 15 else "[phone]"


_SECRETS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), "[key]"),
    (re.compile(r"\b([a-z][a-z0-9+.\-]{0,20}://[^\s/:@]{0,200}):[^\s/@]{1,200}@", re.IGNORECASE), r"\1:[password]@"),
    (re.compile(r"\b((?:proxy-)?authorization\W{1,4}(?:bearer|basic|digest)?|bearer|basic)\s+[\w+/=.\-~]{12,}", re.I),
     r"\1 [token]"),
    (re.compile(r"\b(pass(?:word|wort|phrase|wd)?|pwd|kennwort|secret|token|api[_\- ]?key|access[_\- ]?key|credential)"
                r"(s?[\"']?\s*(?:[:=]|\bis\b|\bist\b|\blautet\b)\s*[\"']?)(?!\[)[^\s\"',;&]{4,}", re.I),
     r"\1\2[secret]"),
    (re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_\-]{12,}"), "[key]"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w\-]{30,}|\bya29\.[\w\-]{20,}"), "[key]"),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|hf_[A-Za-z0-9]{20,})"), "[key]"),
    (re.compile(r"\bxox[abeoprs]-[\w\-]{10,}|\bnpm_[A-Za-z0-9]{30,}|\bSG\.[\w\-]{16,}\.[\w\-]{16,}"), "[key]"),
    (re.compile(r"\beyJ[\w\-]{10,}\.[\w\-]{10,}\.[\w\-]{5,}"), "[token]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), "[iban]"),
    (re.compile(r"(?<![\w.+\-%])[\w.+\-%]{1,80}@[\w\-]{1,63}(?:\.[\w\-]{1,63})+"), "[e-mail]"),
    (re.compile(r"(?<![\w.])(?:\d[ \-]?){11,18}\d(?![\w])"), _card),
    (re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), "[number]"),
    (re.compile(r"(?<![\w.])(?:\+|00)\d{1,3}[ \-./()\u00a0]*(?:\d[ \-./()\u00a0]{0,3}){6,12}\d(?!\w)"), "[phone]"),
    (re.compile(r"(?<![\w.:/\-+,])\(?\d{2,5}\)?(?:[ .\-/]\(?\d{2,5}\)?){1,5}(?:x\d{1,6}){0,2}(?![\w:,]|[.\-/]\d)"),
     _phone),
    (re.compile(r"(?i)\b(tel(?:efon|ephone)?|phone|mobile?|handy|fax|call|text|anruf\w*)(\W{1,3}(?:\w+\W){0,3}?)\d{7,13}\b"),
     r"\1\2[phone]"),
]  # fmt: skip


def mask(text: str) -> str:
    """The text without keys, tokens, passwords, account and card numbers, phone numbers and addresses."""
    for pattern, word in _SECRETS:
        text = pattern.sub(word, text)
    return text


def _masked(value: Any) -> Any:
    """An argument of a log line: numbers stay, everything else becomes its masked text."""
    return value if isinstance(value, int | float | type(None)) else mask(str(value))


def mask_logs() -> None:
    """Mask every log record of this process, tracebacks too, whoever writes it and whatever handler prints it.

    The record is where all loggers meet; libraries bring handlers of their own. Of what a library says below INFO only
    that it said something is left: LiteLLM, OpenAI's client and database drivers say whole prompts and rows there.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "masks", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.levelno < logging.INFO and record.name.partition(".")[0] != "assistant":
            record.msg, record.args, record.exc_info, record.stack_info = "(not logged)", None, None, None
            return record
        record.msg = mask(record.msg if isinstance(record.msg, str) else str(record.msg))
        if isinstance(record.args, Mapping):
            record.args = {k: _masked(v) for k, v in record.args.items()}
        elif record.args:
            record.args = tuple(_masked(a) for a in record.args)
        if record.exc_info and record.exc_info[0] is not None:
            # A handler prints this text rather than format the exception again.
            record.exc_text = mask("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return record

    factory.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))
