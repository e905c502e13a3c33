"""Azure's blob storage as far as a reader needs it, with one account that signs each request by its key.

The protocol is Microsoft's: List Blobs in pages, Get Blob by ranges, Get Blob Properties, authorised by Shared Key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import format_datetime
from xml.sax.saxutils import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assistant.domain import now

ACCOUNT, KEY = "readeraccount", base64.b64encode(b"a key of this test alone").decode()
# Fewer than a test has blobs, so that a list comes in pages.
PAGE = 2
_XML = '<?xml version="1.0" encoding="utf-8"?>'
_SIGNED = (
    "content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
    "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range",
)  # fmt: skip


class Container:
    """The container `handbook` of the account."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[bytes, str, str]] = {}
        self.address = ""
        self.lists = 0
        self._versions = 0
        self.app = Starlette(routes=[Route("/{account}/{container}", self._list), Route(
            "/{account}/{container}/{name:path}", self._blob, methods=["GET", "HEAD"]
        )])  # fmt: skip

    def put(self, name: str, text: str) -> None:
        self._versions += 1
        self.blobs[name] = (text.encode(), f"0x8DE{self._versions:012X}", format_datetime(now(), usegmt=True))

    def _list(self, request: Request) -> Response:
        if (refusal := _refused(request)) is not None:
            return refusal
        asked = request.query_params
        if asked.get("restype") != "container" or asked.get("comp") != "list":
            return _error(400, "InvalidQueryParameterValue")
        if request.path_params["container"] != "handbook":
            return _error(404, "ContainerNotFound")
        self.lists += 1
        names = sorted(n for n in self.blobs if n.startswith(asked.get("prefix", "")))
        start = int(asked.get("marker") or 0)
        until = start + min(PAGE, int(asked.get("maxresults") or PAGE))
        listed = "".join(self._told(n) for n in names[start:until])
        marker = str(until) if until < len(names) else ""
        body = (
            f'{_XML}<EnumerationResults ContainerName="handbook"><Blobs>{listed}</Blobs>'
            f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
        return Response(body, media_type="application/xml")

    def _told(self, name: str) -> str:
        data, etag, changed = self.blobs[name]
        facts = {
            "Last-Modified": changed, "Etag": etag, "Content-Length": str(len(data)),
            "Content-Type": "text/markdown", "BlobType": "BlockBlob",
        }  # fmt: skip
        told = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in facts.items())
        return f"<Blob><Name>{escape(name)}</Name><Properties>{told}</Properties><Metadata/></Blob>"

    def _blob(self, request: Request) -> Response:
        if (refusal := _refused(request)) is not None:
            return refusal
        name = request.path_params["name"]
        if request.path_params["container"] != "handbook" or name not in self.blobs:
            return _error(404, "BlobNotFound")
        data, etag, changed = self.blobs[name]
        headers = {
            "etag": f'"{etag}"',
            "last-modified": changed,
            "x-ms-blob-type": "BlockBlob",
        }
        span = request.headers.get("x-ms-range") or request.headers.get("range")
        if span is None or request.method == "HEAD":
            return Response(data, headers=headers | {"accept-ranges": "bytes"})
        first, _, last = span.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        told = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return Response(part, 206, headers | {"content-range": told})


def _refused(request: Request) -> Response | None:
    headers = request.headers
    own = sorted((k, v.strip()) for k, v in headers.items() if k.startswith("x-ms-"))
    length = headers.get("content-length", "")
    signed = [
        request.method,
        *(("" if length == "0" else length) if h == "content-length" else headers.get(h, "") for h in _SIGNED),
    ]
    asked = sorted((k.lower(), v) for k, v in request.query_params.items())
    resource = f"/{ACCOUNT}{request.scope['raw_path'].decode()}" + "".join(f"\n{k}:{v}" for k, v in asked)
    text = "\n".join([*signed, *(f"{k}:{v}" for k, v in own), resource])
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    if hmac.compare_digest(headers.get("authorization", ""), f"SharedKey {ACCOUNT}:{signature}"):
        return None
    return _error(403, "AuthenticationFailed", "Server failed to authenticate the request.")


def _error(status: int, code: str, message: str = "") -> Response:
    body = f"{_XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(body, status, {"x-ms-error-code": code}, media_type="application/xml")
