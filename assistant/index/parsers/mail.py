"""Mail."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

from assistant.index.page import Page, Parsed, decode, moment, one_line
from assistant.index.parsers.plain import paragraphs
from assistant.index.parsers.web import html_page


def eml(data: bytes) -> Parsed:
    message = email.message_from_bytes(data, policy=email.policy.default)
    page = Page()
    subject = _header(message, "subject")
    page.add(subject or "(no subject)", "heading", 1)
    page.add(
        "\n".join(f"{name}: {value}" for name in ("From", "To", "Cc", "Date") if (value := _header(message, name)))
    )
    assert isinstance(message, EmailMessage)
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        try:
            content = body.get_content()
        except (LookupError, UnicodeError, KeyError):
            content = decode(body.get_payload(decode=True) or b"")  # type: ignore[arg-type]
        if body.get_content_type() == "text/html":
            inner = html_page(content.encode("utf-8"))
            for block in inner.blocks:
                page.add(inner.text[block.start : block.end], block.kind, block.level and block.level + 1)
        else:
            paragraphs(content, page)
    try:
        when = moment(getattr(message.get("date"), "datetime", None))
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError):
        when = None
    return page.done("message/rfc822", subject, modified=when)


def _header(message: Any, name: str) -> str:
    try:
        return one_line(str(message.get(name) or ""))
    except (ValueError, IndexError, TypeError, AttributeError):
        return ""
