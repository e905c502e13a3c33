"""Google Cloud Storage as far as a reader needs it, and the place where a service account gets its tokens.

The protocol is Google's: the JSON API of storage with lists in pages, and OAuth 2.0 by a signed assertion (RFC 7523).
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assistant.domain import now

READER = "reader@handbook.iam.gserviceaccount.example"
TOKEN = "a-token-of-this-test-alone"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
# Fewer than a test has objects, so that a list comes in pages.
PAGE = 2


class Bucket:
    """The bucket `handbook`, which one service account may read; `TOKEN` is what it gets for its key."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int, str]] = {}
        self.address = ""
        self.lists = 0
        self._versions = 0
        self._key = rsa.generate_private_key(65537, 2048)
        self.app = Starlette(routes=[
            Route("/token", self._token, methods=["POST"]),
            Route("/storage/v1/b/{bucket}/o", self._list),
            Route("/storage/v1/b/{bucket}/o/{name:path}", self._facts),
            Route("/download/storage/v1/b/{bucket}/o/{name:path}", self._media),
        ])  # fmt: skip

    def put(self, name: str, text: str) -> None:
        self._versions += 1
        self.objects[name] = (text.encode(), self._versions, f"{now():%Y-%m-%dT%H:%M:%S.%f}Z")

    def account(self, key: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
        """The key file of the account, as Google gives it out; or one with another key."""
        pem = (key or self._key).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        told = {"type": "service_account", "project_id": "handbook", "private_key_id": "1", "client_id": "1"}
        return told | {"client_email": READER, "private_key": pem.decode(), "token_uri": f"{self.address}/token"}

    async def _token(self, request: Request) -> Response:
        told = await request.form()
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        try:
            claims = jwt.decode(str(told["assertion"]), public, audience="https://oauth2.googleapis.com/token")
        except exceptions.GoogleAuthError:
            return JSONResponse({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        # Who only reads needs no right to write.
        if (claims["iss"], claims["scope"]) != (READER, READ_ONLY):
            return JSONResponse({"error": "invalid_scope"}, 400)
        return JSONResponse({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def _list(self, request: Request) -> Response:
        if (refusal := _refused(request)) is not None:
            return refusal
        self.lists += 1
        asked = request.query_params
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        found = sorted(n for n in self.objects if n.startswith(prefix))
        if delimiter:
            # What lies deeper is told as its folder alone.
            found = sorted({prefix + _upto(n.removeprefix(prefix), delimiter) for n in found})
        start = int(asked.get("pageToken") or 0)
        until = start + min(PAGE, int(asked.get("maxResults") or PAGE))
        page = found[start:until]
        told: dict[str, Any] = {"kind": "storage#objects", "items": [self._told(n) for n in page if n in self.objects]}
        told["prefixes"] = [n for n in page if n not in self.objects]
        return JSONResponse(told | ({"nextPageToken": str(until)} if until < len(found) else {}))

    def _told(self, name: str) -> dict[str, str]:
        data, version, changed = self.objects[name]
        return {
            "kind": "storage#object", "bucket": "handbook", "name": name, "size": str(len(data)),
            "generation": str(version), "metageneration": "1", "etag": f"C{version}=", "contentType": "text/markdown",
            "timeCreated": changed, "updated": changed,
        }  # fmt: skip

    def _facts(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _refused(request) or (JSONResponse(self._told(name)) if name in self.objects else _NOT_FOUND)

    def _media(self, request: Request) -> Response:
        if (refusal := _refused(request)) is not None:
            return refusal
        name = request.path_params["name"]
        if name not in self.objects or request.query_params.get("alt") != "media":
            return _NOT_FOUND
        data = self.objects[name][0]
        span = request.headers.get("range")
        if span is None:
            return Response(data)
        first, _, last = span.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        told = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return Response(part, 206, {"content-range": told})


def _upto(name: str, delimiter: str) -> str:
    head, found, _ = name.partition(delimiter)
    return head + found


def _refused(request: Request) -> Response | None:
    token = request.headers.get("authorization")
    if token is None:
        return _error(401, "Anonymous caller does not have storage.objects.list access to the bucket.")
    if token != f"Bearer {TOKEN}":
        return _error(401, "Invalid Credentials")
    return None if request.path_params["bucket"] == "handbook" else _NOT_FOUND


def _error(code: int, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "errors": [{"message": message}]}}, code)


_NOT_FOUND = _error(404, "Not Found")
