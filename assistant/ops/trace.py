"""The one door to Langfuse: a finished turn becomes a trace, a rating becomes a score.

Traces are built from stored receipts and sent when there is time, never during a turn: with the server down the SDK's
own `flush()` takes 3 to 25 s and drops scores (measured on 5.0.4). Ids are derived, so sending twice changes nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from langfuse import Langfuse
from langfuse._client.attributes import LangfuseOtelSpanAttributes as Key
from langfuse.api.client import AsyncLangfuseAPI
from langfuse.api.core import ApiError
from langfuse.api.scores import CreateScoreRequest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from assistant.domain import NANO, Receipt
from assistant.masking import mask
from assistant.settings import Settings

TIMEOUT_S = 5
SCORE = "rating"


class Tracer:
    """Sends to one Langfuse project. `on` is false without a host and both keys."""

    def __init__(self, settings: Settings) -> None:
        trace = settings.trace
        public = settings.environment(trace.public_key_env)
        secret = settings.environment(trace.secret_key_env)
        self.on = bool(trace.host and public and secret)
        self._send_texts = trace.send_texts
        if self.on:
            token = base64.b64encode(f"{public}:{secret}".encode()).decode()
            self._exporter = OTLPSpanExporter(
                endpoint=f"{trace.host.rstrip('/')}/api/public/otel/v1/traces",
                headers={
                    "Authorization": f"Basic {token}",
                    "x-langfuse-public-key": public,
                    "x-langfuse-ingestion-version": "4",
                },
                timeout=TIMEOUT_S,
                compression=Compression.Gzip,
            )
            self._api = AsyncLangfuseAPI(
                base_url=trace.host, username=public, password=secret, x_langfuse_public_key=public, timeout=TIMEOUT_S
            )

    async def send_turn(self, receipt: Receipt, person: str, answer: str) -> None:
        """Deliver a turn. Raises `ConnectionError` when the server did not take it."""
        spans = self._spans(receipt, person, answer)
        if await asyncio.to_thread(self._exporter.export, spans) is not SpanExportResult.SUCCESS:
            raise ConnectionError("the trace server did not take the trace")

    async def send_score(self, feedback_id: str, answer_id: str, value: int, comment: str) -> None:
        """Deliver a rating to the trace of its answer, in place of an earlier one."""
        score = CreateScoreRequest(
            id=feedback_id,
            trace_id=Langfuse.create_trace_id(seed=answer_id),
            name=SCORE,
            value=float(value),
            comment=mask(comment)[:500] or None,
            data_type="BOOLEAN",
        )
        await self._call(self._api.scores.create(request=[score]))

    async def remove_score(self, feedback_id: str) -> None:
        """Take back a delivered rating; one that never arrived is no error."""
        await self._call(self._api.scores.delete(feedback_id))

    @staticmethod
    async def _call(request: Any) -> None:
        try:
            await request
        except ApiError as error:
            if error.status_code == 404:
                return
            raise ConnectionError(f"the trace server answered {error.status_code}") from error
        except OSError as error:
            raise ConnectionError(type(error).__name__) from error
        except Exception as error:
            # The client wraps httpx, whose errors are no OSError.
            if type(error).__module__.startswith(("httpx", "httpcore")):
                raise ConnectionError(type(error).__name__) from error
            raise

    def _text(self, text: str) -> str:
        return mask(text) if self._send_texts else f"[{len(text)} characters]"

    def _spans(self, receipt: Receipt, person: str, answer: str) -> list[ReadableSpan]:
        end = receipt.created_at
        start = end - timedelta(milliseconds=receipt.ms)
        common = {
            Key.TRACE_NAME: "turn",
            # A stable alias: who it is stays in our own database.
            Key.TRACE_USER_ID: hashlib.sha256(person.encode()).hexdigest()[:16],
            Key.TRACE_SESSION_ID: receipt.thread,
            Key.TRACE_TAGS: [receipt.decision.level.value, receipt.segment],
            Key.RELEASE: str(receipt.release or ""),
        }
        root = self._span(
            receipt,
            "turn",
            (start, end),
            {
                **common,
                Key.OBSERVATION_TYPE: "chain",
                Key.OBSERVATION_INPUT: self._text(receipt.asked),
                Key.OBSERVATION_OUTPUT: self._text(answer),
                Key.OBSERVATION_METADATA: json.dumps(
                    {
                        "release": receipt.release,
                        "outcome": receipt.outcome,
                        "level": receipt.decision.level,
                        "restarts": receipt.restarts,
                        "passages": [p.passage for p in receipt.passages],
                        "prompts": {p.name: p.version for p in receipt.prompts},
                    }
                ),
            },
        )
        spans, at = [root], start
        for step in receipt.steps:
            until = min(end, at + timedelta(milliseconds=step.ms))
            kind = "retriever" if step.name == "retrieve" else "span"
            attributes = {**common, Key.OBSERVATION_TYPE: kind, Key.OBSERVATION_METADATA: mask(step.note)}
            spans.append(self._span(receipt, step.name, (at, until), attributes, parent=root))
            at = until
        for i, attempt in enumerate(receipt.attempts):
            began = min(
                end, start if attempt.kind == "embedding" else max(start, end - timedelta(milliseconds=attempt.ms))
            )
            prompt = next((p for p in receipt.prompts if p.name == attempt.feature), None)
            attributes = {
                **common,
                Key.OBSERVATION_TYPE: "generation" if attempt.kind == "chat" else "embedding",
                Key.OBSERVATION_MODEL: attempt.model_served or attempt.model_asked,
                Key.OBSERVATION_USAGE_DETAILS: json.dumps(
                    {
                        "input": attempt.tokens_in - attempt.tokens_cached,
                        "input_cached_tokens": attempt.tokens_cached,
                        "output": attempt.tokens_out,
                    }
                ),
                Key.OBSERVATION_COST_DETAILS: json.dumps({"total": attempt.cost_nano / NANO}),
                Key.OBSERVATION_LEVEL: "DEFAULT" if attempt.outcome == "ok" else "WARNING",
                Key.OBSERVATION_STATUS_MESSAGE: attempt.outcome,
            }
            if prompt:
                attributes[Key.OBSERVATION_PROMPT_NAME] = prompt.name
                attributes[Key.OBSERVATION_METADATA] = json.dumps({"prompt_version": prompt.version})
            if attempt.ms_first is not None:
                first = began + timedelta(milliseconds=attempt.ms_first)
                attributes[Key.OBSERVATION_COMPLETION_START_TIME] = json.dumps(first.isoformat())
            until = began + timedelta(milliseconds=attempt.ms)
            spans.append(self._span(receipt, attempt.feature, (began, until), attributes, parent=root, salt=str(i)))
        return spans

    @staticmethod
    def _span(
        receipt: Receipt,
        name: str,
        times: tuple[datetime, datetime],
        attributes: Mapping[str, Any],
        *,
        parent: ReadableSpan | None = None,
        salt: str = "",
    ) -> ReadableSpan:
        digest = hashlib.sha256(f"{receipt.id}/{name}/{salt}/{parent is None}".encode()).digest()
        context = SpanContext(
            trace_id=int(Langfuse.create_trace_id(seed=receipt.id), 16),
            span_id=int.from_bytes(digest[:8]) or 1,
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        return ReadableSpan(
            name=name,
            context=context,
            parent=parent.context if parent else None,
            resource=Resource({"service.name": "assistant"}),
            attributes={k: v for k, v in attributes.items() if v is not None},
            kind=SpanKind.INTERNAL,
            start_time=int(times[0].timestamp() * 1e9),
            end_time=int(times[1].timestamp() * 1e9),
        )
