"""Figures for Prometheus: read from the database when they are asked for, so that no turn has to count.

For this machine itself, or for whoever sends the key; a request that a proxy passed on is not of this machine.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func
from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import Message, OutboxRow, OwnerQuestion, ReceiptRow, ReleaseRow, UsageRow, WorkRow
from assistant.domain import NANO, now
from assistant.index import release
from assistant.ops import latency
from assistant.web import house

router = APIRouter()
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def _admit(request: Request) -> None:
    """404 for whoever may not read the figures, as for a page that is not there."""
    settings = house.parts().settings
    key = settings.environment(settings.web.metrics_key_env) if settings.web.metrics_key_env else ""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if key and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), key.encode()):
        return
    forwarded = any(h in request.headers for h in ("x-forwarded-for", "forwarded", "x-real-ip", "via"))
    try:
        local = ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        local = False
    # With a key, or behind a proxy, being on this machine says nothing of who asks.
    if key or forwarded or not local or settings.web.public_url:
        raise HTTPException(404, "Not found.")


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The figures in Prometheus' text format."""
    _admit(request)
    return Response(generate_latest(await _gathered(house.parts().db)), media_type=TEXT)


async def _gathered(db: Database) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"assistant_{name}", about, labels, registry=registry)

    today = f"{now():%Y-%m-%d}"
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    since = col(ReceiptRow.created_at) >= midnight
    waits = col(OutboxRow.delivered_at).is_(None)
    calls: Any = (
        select(UsageRow.feature, UsageRow.outcome, func.count(), func.sum(UsageRow.cost_nano))
        .where(UsageRow.day == today)
        .group_by(col(UsageRow.feature), col(UsageRow.outcome))
    )
    async with db.read() as session:
        answers = await session.exec(_by(ReceiptRow.level).where(since))
        answered = gauge("answers_today", "Answers since midnight UTC, by how much the evidence carried", "level")
        for level, count in answers.all():
            answered.labels(level or "none").set(count)
        made = gauge("model_calls_today", "Calls of models and embedders since midnight UTC", "feature", "outcome")
        cost = gauge("cost_dollars_today", "What they cost", "feature")
        for feature, outcome, count, nano in (await session.exec(calls)).all():
            made.labels(feature, outcome).set(count)
            cost.labels(feature).inc(int(nano or 0) / NANO)
        outbox = gauge("outbox_waiting", "Deliveries that have not arrived", "kind")
        for kind, count in (await session.exec(_by(OutboxRow.kind).where(waits))).all():
            outbox.labels(kind).set(count)
        work = gauge("work", "Long work that answers wait for", "state")
        for state, count in (await session.exec(_by(WorkRow.state))).all():
            work.labels(state).set(count)
        open_ = select(func.count()).select_from(OwnerQuestion).where(col(OwnerQuestion.replied_at).is_(None))
        gauge("owner_questions_open", "Questions to owners without a reply").set((await session.exec(open_)).one())
        streaming = select(func.count()).select_from(Message).where(Message.state == "streaming")
        gauge("answers_streaming", "Answers that are being written").set((await session.exec(streaming)).one())
        row: ReleaseRow | None = await release.active(session)
    gauge("release", "The release that people are answered from").set(row.id or 0 if row else 0)
    gauge("release_documents", "Documents in it").set(row.documents if row else 0)
    gauge("release_passages", "Passages in it").set(row.passages if row else 0)
    steps = gauge("step_milliseconds", "What a step of an answer takes at most", "step", "share")
    for figure in (await latency.figures(db)).values():
        steps.labels(figure.name, "0.5").set(figure.p50)
        steps.labels(figure.name, "0.95").set(figure.p95)
    return registry


def _by(column: Any) -> Any:
    return select(column, func.count()).group_by(column)
