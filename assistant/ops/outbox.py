"""Delivers what the database holds for others: once each, later when they are down, never in a turn's way."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, update
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import Message, OutboxRow, Person, ReceiptRow
from assistant.domain import Receipt, now

if TYPE_CHECKING:
    from assistant.ops.trace import Tracer

log = logging.getLogger(__name__)
BATCH = 50
CLAIM_S = 120
TRACES = ("trace", "score", "score_removed")
EVERY_S = 5.0
_LONGEST_WAIT_S = 600.0


async def deliver(db: Database, tracer: Tracer) -> None:
    """Send all that is due."""
    while await deliver_due(db, tracer) == BATCH:
        pass


async def claim(db: Database, kinds: Collection[str]) -> list[OutboxRow]:
    """What is due of these kinds, oldest first, with its next try pushed ahead: no other process sends it meanwhile."""
    moment = now()
    async with db.write() as session:
        rows = (
            await session.exec(
                select(OutboxRow)
                .where(
                    col(OutboxRow.delivered_at).is_(None),
                    col(OutboxRow.kind).in_(kinds),
                    OutboxRow.next_try <= moment,
                )
                .order_by(col(OutboxRow.seq))
                .limit(BATCH)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for row in rows:
            row.next_try = moment + timedelta(seconds=CLAIM_S)
            session.add(row)
    return list(rows)


async def deliver_due(db: Database, tracer: Tracer) -> int:
    """Send what is due, oldest first. Returns how many arrived; stops at the first that does not.

    Should the process die between sending and noting it, the derived ids make the second sending the same trace.
    """
    rows = await claim(db, TRACES)
    arrived = 0
    for i, row in enumerate(rows):
        try:
            await _send(db, tracer, row)
        except (ConnectionError, TimeoutError) as error:
            await put_off(db, rows[i:], str(error))
            log.warning("trace server not reached (%s); %d items wait", error, len(rows) - i)
            break
        await note_arrived(db, row)
        arrived += 1
    return arrived


async def note_arrived(db: Database, row: OutboxRow) -> None:
    async with db.write() as session:
        await session.exec(update(OutboxRow).where(col(OutboxRow.seq) == row.seq).values(delivered_at=now(), error=""))


async def put_off(db: Database, rows: Sequence[OutboxRow], error: str) -> None:
    """Try these again later, the later the more often they were tried."""
    wait = min(_LONGEST_WAIT_S, EVERY_S * 2 ** min(rows[0].tries, 8))
    async with db.write() as session:
        await session.exec(
            update(OutboxRow)
            .where(col(OutboxRow.seq).in_([r.seq for r in rows]))
            .values(tries=OutboxRow.tries + 1, next_try=now() + timedelta(seconds=wait), error=error[:200])
        )


async def _send(db: Database, tracer: Tracer, row: OutboxRow) -> None:
    if row.kind == "trace":
        async with db.read() as session:
            found = (
                await session.exec(
                    select(ReceiptRow, Person.email, Message.text)
                    .join(Person, col(Person.id) == col(ReceiptRow.person_id))
                    .join(Message, col(Message.id) == col(ReceiptRow.id))
                    .where(ReceiptRow.id == row.subject)
                )
            ).first()
        if found is not None:
            receipt, email, text = found
            await tracer.send_turn(Receipt.model_validate(receipt.body), email, text)
    elif row.kind == "score":
        await tracer.send_score(row.subject, row.payload["trace"], row.payload["value"], row.payload["comment"])
    elif row.kind == "score_removed":
        await tracer.remove_score(row.subject)


async def forget_old(db: Database, days: int) -> None:
    """Drop items older than the retention time, delivered or not."""
    async with db.write() as session:
        await session.exec(delete(OutboxRow).where(col(OutboxRow.created_at) < now() - timedelta(days=days)))
