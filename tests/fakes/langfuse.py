"""A local server that speaks the parts of Langfuse's protocol we use: OTLP traces and scores."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections import Counter
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

AUTH = "Basic " + base64.b64encode(b"pk-test:sk-test").decode()


class FakeLangfuse:
    """Keeps what arrives by id, like the real one. `mode`: ok, 500, 401, slow."""

    def __init__(self) -> None:
        self.base = ""
        self.mode = "ok"
        self.spans: dict[str, dict[str, Any]] = {}
        self.scores: dict[str, dict[str, Any]] = {}
        self.received: Counter[str] = Counter()
        self.raw = b""
        self.app = Starlette(
            routes=[
                Route("/api/public/otel/v1/traces", self._traces, methods=["POST"]),
                Route("/api/public/scores", self._scores, methods=["POST"]),
                Route("/api/public/scores/{id}", self._delete, methods=["DELETE"]),
            ]
        )

    async def _fault(self, request: Request) -> Response | None:
        if self.mode == "500":
            return JSONResponse({"error": "down"}, 500)
        if self.mode == "slow":
            await asyncio.sleep(3)
        if self.mode == "401" or request.headers.get("authorization") != AUTH:
            return JSONResponse({"error": "unauthorized"}, 401)
        return None

    async def _traces(self, request: Request) -> Response:
        if fault := await self._fault(request):
            return fault
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        self.received["traces"] += 1
        export = ExportTraceServiceRequest.FromString(body)
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[span.span_id.hex()] = {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "attributes": {
                            a.key: a.value.string_value or [v.string_value for v in a.value.array_value.values]
                            for a in span.attributes
                        },
                    }
        return Response(b"", media_type="application/x-protobuf")

    async def _scores(self, request: Request) -> Response:
        if fault := await self._fault(request):
            return fault
        for score in await request.json():
            self.scores[score["id"]] = score
            self.received["scores"] += 1
        return JSONResponse({"ids": [], "errors": []}, 207)

    async def _delete(self, request: Request) -> Response:
        if fault := await self._fault(request):
            return fault
        found = self.scores.pop(request.path_params["id"], None)
        return JSONResponse({"message": "deleted"}, 200 if found else 404)
