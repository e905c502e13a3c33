"""Delivers the alerts of the outbox, to a webhook and by e-mail: each for itself, later when down.

They come from indexing runs and from questions to the owners of documents.
"""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from assistant.database.engine import Database
from assistant.database.tables import OutboxRow
from assistant.memory import questions
from assistant.ops import outbox
from assistant.settings import Settings
from assistant.texts import say

log = logging.getLogger(__name__)
EVERY_S = 10.0
TIMEOUT_S = 15
WEBHOOK = "webhook"


def channels(settings: Settings) -> tuple[str, ...]:
    """Where alerts go, by the names that they have in the outbox: `webhook`, and addresses of people."""
    hook = (WEBHOOK,) if settings.alerts.webhook_env else ()
    return hook + tuple(settings.alerts.email)


def channels_to(settings: Settings, address: str) -> tuple[str, ...]:
    """Where to tell of something that is for one person, `address`; without one, those who get alerts are told."""
    if not address:
        return channels(settings)
    hook = (WEBHOOK,) if settings.alerts.webhook_env else ()
    return hook + ((address,) if _mails(settings) else ())


def _mails(settings: Settings) -> bool:
    return bool(settings.environment(settings.alerts.smtp_env))


def configured(settings: Settings) -> bool:
    """Whether anything can be told to anybody."""
    return bool(channels(settings)) or _mails(settings)


async def deliver(db: Database, settings: Settings) -> int:
    """Send what is due. Returns how many arrived.

    Should the process die between sending and noting it, the second sending bears the same id.
    """
    arrived = 0
    for row in await outbox.claim(db, ("alert",)):
        payload = await _payload(db, settings, row)
        if payload is None:
            await outbox.note_arrived(db, row)
            continue
        try:
            await asyncio.to_thread(_send, settings, row, payload)
        except (httpx.HTTPError, smtplib.SMTPException, OSError, ValueError) as error:
            # An answer of a mail server may name people, an address may hold a secret.
            log.warning("an alert could not be sent (%s); it is tried again", type(error).__name__)
            await outbox.put_off(db, [row], type(error).__name__)
        else:
            await outbox.note_arrived(db, row)
            arrived += 1
    return arrived


async def _payload(db: Database, settings: Settings, row: OutboxRow) -> dict[str, Any] | None:
    """What to tell, and where to look; None where it is about a question that is gone by now."""
    if "question" not in row.payload:
        origin = settings.web.public_url.rstrip("/")
        return {**row.payload, "address": f"{origin}/admin"} if origin else row.payload
    asked = await questions.one(db, str(row.payload["question"]))
    if asked is None:
        return None
    language, origin = settings.chat.language, settings.web.public_url.rstrip("/")
    where = "/me/questions" if asked.row.owner_id else "/admin/ratings"
    told = {"who": asked.asker, "email": asked.email, "text": asked.row.text, "address": f"{origin}{where}"}
    return {
        "event": say(language, "web.mail_question"),
        "text": say(language, "web.mail_question_more", **told),
        "at": asked.row.created_at.isoformat(timespec="seconds"),
        "to": asked.to,
    }


def _id(row: OutboxRow) -> str:
    return f"alert-{row.seq}-{int(row.created_at.timestamp())}"


def _send(settings: Settings, row: OutboxRow, payload: Mapping[str, Any]) -> None:
    if row.subject == WEBHOOK:
        address = settings.environment(settings.alerts.webhook_env)
        body = {"id": _id(row), "company": settings.company, **payload}
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            client.post(address, json=body, headers={"Idempotency-Key": _id(row)}).raise_for_status()
        return
    message = EmailMessage()
    message["From"], message["To"] = settings.alerts.sender, row.subject
    message["Subject"] = f"{settings.company}: {payload['event']}"
    message["Message-ID"] = f"<{_id(row)}@{settings.alerts.sender.partition('@')[2]}>"
    told = (payload["text"], payload.get("address", ""), payload["at"])
    message.set_content("\n\n".join(filter(None, told)) + "\n")
    server = urlsplit(settings.environment(settings.alerts.smtp_env))
    if server.scheme not in {"smtp", "smtps"} or not server.hostname:
        raise ValueError("no mail server is set")
    secure = ssl.create_default_context()
    if server.scheme == "smtps":
        door: smtplib.SMTP = smtplib.SMTP_SSL(server.hostname, server.port or 465, timeout=TIMEOUT_S, context=secure)
    else:
        door = smtplib.SMTP(server.hostname, server.port or 25, timeout=TIMEOUT_S)
    with door:
        door.ehlo()
        if server.scheme == "smtp" and door.has_extn("starttls"):
            door.starttls(context=secure)
        elif server.scheme == "smtp" and server.username:
            raise ValueError("the mail server offers no encryption, so no password is sent to it")
        if server.username:
            door.login(unquote(server.username), unquote(server.password or ""))
        door.send_message(message)
