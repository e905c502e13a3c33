"""Mail: one message, or a folder of them."""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from datetime import datetime
from email.message import EmailMessage
from typing import Any

from assistant.index.page import Page, Parsed, decode, moment, one_line
from assistant.index.parsers.web import html_page

MESSAGES = 2_000


def eml(data: bytes) -> Parsed:
    """A message: its head, and its text in the plain form where it has one. Attachments are named, not read."""
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
        if body.get_content_type() != "text/html":
            page.paragraphs(content)
        elif content.strip():
            page.append(html_page(content.encode("utf-8")))
    attached = _attached(message)
    return page.done(
        "message/rfc822",
        subject,
        author=_header(message, "From"),
        modified=_date(message, "date"),
        valid_until=_date(message, "expires") or _date(message, "expiry-date"),
        note=f"its attachments are not read: {', '.join(attached)}" if attached else "",
    )


def mbox(data: bytes) -> Parsed:
    """The messages of a mail folder, each under its subject."""
    page = Page()
    found = re.split(rb"^From [^\n]*\n", data, flags=re.MULTILINE)[1:]
    dates: list[datetime] = []
    for message in found[:MESSAGES]:
        parsed = eml(re.sub(rb"^>(>*From )", rb"\1", message, flags=re.MULTILINE))
        page.append(parsed, 0)
        dates += [parsed.modified] if parsed.modified else []
    note = f"only its first {MESSAGES:,} messages are read" if len(found) > MESSAGES else ""
    return page.done("application/mbox", "", modified=max(dates, default=None), note=note)


def _header(message: Any, name: str) -> str:
    try:
        return one_line(str(message.get(name) or ""))
    except (ValueError, IndexError, TypeError, AttributeError):
        return ""


def _date(message: Any, name: str) -> datetime | None:
    try:
        value = message.get(name)
        when = getattr(value, "datetime", None)
        # Only the header Date is read as a date by the library itself.
        return moment(when if when or not value else email.utils.parsedate_to_datetime(str(value)))
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError):
        return None


def _attached(message: EmailMessage) -> list[str]:
    try:
        return [one_line(part.get_filename() or part.get_content_type()) for part in message.iter_attachments()][:5]
    except (ValueError, IndexError, TypeError, AttributeError, KeyError):
        return []
