"""Delivers the alerts that runs leave in the outbox, to a webhook and by e-mail: each for itself, later when down."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import httpx

from assistant.database.engine import Database
from assistant.database.tables import OutboxRow
from assistant.ops import outbox
from assistant.settings import Settings

log = logging.getLogger(__name__)
EVERY_S = 10.0
TIMEOUT_S = 15
WEBHOOK = "webhook"


def channels(settings: Settings) -> tuple[str, ...]:
    """Where alerts go, by the names that they have in the outbox: `webhook`, and addresses of people."""
    hook = (WEBHOOK,) if settings.alerts.webhook_env else ()
    return hook + tuple(settings.alerts.email)


async def deliver(db: Database, settings: Settings) -> int:
    """Send what is due. Returns how many arrived.

    Should the process die between sending and noting it, the second sending bears the same id.
    """
    arrived = 0
    for row in await outbox.claim(db, ("alert",)):
        try:
            await asyncio.to_thread(_send, settings, row)
        except (httpx.HTTPError, smtplib.SMTPException, OSError, ValueError) as error:
            # An answer of a mail server may name people, an address may hold a secret.
            log.warning("an alert could not be sent (%s); it is tried again", type(error).__name__)
            await outbox.put_off(db, [row], type(error).__name__)
        else:
            await outbox.note_arrived(db, row)
            arrived += 1
    return arrived


def _id(row: OutboxRow) -> str:
    return f"alert-{row.seq}-{int(row.created_at.timestamp())}"


def _send(settings: Settings, row: OutboxRow) -> None:
    if row.subject == WEBHOOK:
        address = settings.environment(settings.alerts.webhook_env)
        body = {"id": _id(row), "company": settings.company, **row.payload}
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            client.post(address, json=body, headers={"Idempotency-Key": _id(row)}).raise_for_status()
        return
    message = EmailMessage()
    message["From"], message["To"] = settings.alerts.sender, row.subject
    message["Subject"] = f"{settings.company}: {row.payload['event']}"
    message["Message-ID"] = f"<{_id(row)}@{settings.alerts.sender.partition('@')[2]}>"
    message.set_content(f"{row.payload['text']}\n\n{row.payload['at']}\n")
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
