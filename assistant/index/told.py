"""What those hear who are told of indexing runs; it is delivered by `ops.alerts`."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.tables import OutboxRow
from assistant.domain import now


def tell(session: AsyncSession, channels: Iterable[str], event: str, text: str) -> None:
    """Note an alert for each channel, inside the caller's transaction. `text` holds no text of a document."""
    for channel in channels:
        body = {"event": event, "text": text, "at": now().isoformat(timespec="seconds")}
        session.add(OutboxRow(kind="alert", subject=channel, payload=body))
