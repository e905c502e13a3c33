"""The shield around every route, Chainlit's and its socket included: who calls, from where, and what leaves.

Pure ASGI, because a middleware that buffers or starts tasks would cost every token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assistant.settings import Settings
from assistant.texts import pick
from assistant.web.sessions import COOKIE, ZONE_COOKIE, Visit, enter, person_of, token_in, zone_named
from assistant.web.surface import CHAT, LOCALES, SOCKET, Gate, gate_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY = 256 * 1024
# Files that say the same to everybody: no session is looked up for them.
_STATIC_FOLDERS = ("/chat/assets/", "/chat/public/", "/public/", "/chat/avatars/")
_STATIC_FILES = frozenset({"/chat/favicon", "/chat/logo"})
# Chainlit's words, and its page about us.
_WORDS = frozenset({f"{CHAT}/project/translations", f"{CHAT}/project/settings"})
# Chainlit switches routes by these; a proxy of ours sets none of them.
_NEVER_FORWARDED = frozenset({b"authorization", b"x-forwarded-prefix"})


def content_policy(script_hashes: tuple[str, ...] = ()) -> str:
    """Our Content-Security-Policy: nothing from elsewhere, no inline script but those of these hashes.

    Styles may be inline because Chainlit's components position themselves so; scripts may not, nor may text become
    code (no `unsafe-eval`), which is why sources are drawn by a script of ours and not by Chainlit's JSX elements.
    """
    scripts = " ".join(["'self'", *(f"'sha256-{h}'" for h in script_hashes)])
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "media-src 'none'",
            "frame-src 'none'",
            "object-src 'none'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class Shield:
    """Wraps the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        secret: str,
        database: Callable[[], Any],
        script_hashes: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._app = app
        self._secret = secret
        self._database = database
        self._script_hashes = script_hashes
        self._web = settings.web
        # A little more than its route takes, which says what the limit is.
        self._largest = settings.index.max_file_mb * 1_000_000 + MAX_BODY
        self._language = settings.chat.language
        self._proxies = [ip_network(p, strict=False) for p in settings.web.trusted_proxies]
        self._public = urlsplit(settings.web.public_url).netloc.lower()
        # Only behind a proxy does a forwarded address say anything.
        self._behind_proxy = bool(settings.web.trusted_header or settings.web.public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal:
            await _refuse(scope, receive, self._guarded(scope, send), *refusal)
            return
        scope = await self._admit(scope, headers)
        if scope["type"] == "http":
            receive = _limited(receive, self._most(scope))
            send = self._guarded(scope, send)
        try:
            await self._app(scope, receive, send)
        except _TooLargeError:
            await _refuse(scope, receive, send, 413, "Too large.")

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        path, method = scope["path"], scope.get("method", "GET")
        below_chat = path == CHAT or path.startswith(CHAT + "/")
        if below_chat and gate_of(method, path[len(CHAT) :] or "/") is Gate.CLOSED:
            return 404, "Not found."
        socket = path.startswith(CHAT + SOCKET)
        if (method not in SAFE_METHODS or socket or scope["type"] == "websocket") and not self._own_origin(headers):
            return 403, "This request came from another site."
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._most(scope):
            return 413, "Too large."
        return None

    def _most(self, scope: Scope) -> int:
        """Bytes that a request's body may have: a document for who pushes one, a form for everybody else."""
        return self._largest if scope["path"].startswith("/v1/documents/") else MAX_BODY

    def _own_origin(self, headers: dict[str, str]) -> bool:
        """Whether the page that sends this is ours. Programs send no Origin, and no cookie that a page could abuse."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
        netloc = urlsplit(origin).netloc.lower()
        return bool(netloc) and netloc in {headers.get("host", "").lower(), self._public}

    async def _admit(self, scope: Scope, headers: dict[str, str]) -> Scope:
        """The scope with what it may not say taken out, and the visit that it is."""
        peer = (scope.get("client") or ("", 0))[0]
        trusted = self._is_proxy(peer)
        cookies = _cookies(headers.get("cookie", ""))
        person = None
        if not _is_static(scope["path"]) and (token := token_in(cookies)):
            person = await person_of(self._database(), token, self._secret)
        dropped = set(_NEVER_FORWARDED) if scope["path"].startswith(CHAT) else set()
        if self._web.trusted_header and not trusted:
            dropped.add(self._web.trusted_header.lower().encode())
        raw = [(k, v) for k, v in scope["headers"] if k.lower() not in dropped and k.lower() != b"cookie"]
        kept = {k: v for k, v in cookies.items() if person is not None or not k.startswith(COOKIE)}
        if kept:
            raw.append((b"cookie", "; ".join(f"{k}={v}" for k, v in kept.items()).encode("latin-1", "ignore")))
        address = headers.get("x-forwarded-for", "").split(",")[-1].strip() if trusted and self._behind_proxy else ""
        chosen = person.language if person is not None else ""
        language = chosen or pick(headers.get("accept-language", ""), self._language)
        zone = zone_named(unquote(cookies.get(ZONE_COOKIE, "")[:100]))
        enter(Visit(address=address or peer, language=language, person=person, zone=zone))
        return {**scope, "headers": raw, "query_string": _spoken(scope, chosen)}

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def _guarded(self, scope: Scope, send: Send) -> Send:
        if scope["type"] != "http":
            return send

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._response_headers(scope["path"], message)}
            await send(message)

        return guarded

    def _response_headers(self, path: str, message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
        out = []
        names = set()
        for name, value in message.get("headers", []):
            lower = name.lower()
            if lower.startswith(b"access-control-") or lower == b"server":
                continue
            if lower == b"set-cookie" and self._web.secure and b"secure" not in value.lower():
                value += b"; Secure"  # noqa: PLW2901 - Chainlit sets the cookie of single sign-on without it
            names.add(lower)
            out.append((name, value))
        ours = {
            b"content-security-policy": content_policy(self._script_hashes()).encode(),
            b"x-content-type-options": b"nosniff",
            b"x-frame-options": b"DENY",
            b"referrer-policy": b"same-origin",
            b"cross-origin-opener-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
            b"permissions-policy": b"camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        }
        if self._web.secure:
            ours[b"strict-transport-security"] = b"max-age=31536000; includeSubDomains"
        if not _is_static(path):
            ours[b"cache-control"] = b"no-store"
        out += [(name, value) for name, value in ours.items() if name not in names]
        return out


def _spoken(scope: Scope, chosen: str) -> bytes:
    """The query, which asks for Chainlit's words in the language that the person chose, whatever the browser speaks."""
    query = bytes(scope.get("query_string", b""))
    if not chosen or scope["path"] not in _WORDS:
        return query
    kept = [(k, v) for k, v in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if k != "language"]
    return urlencode([*kept, ("language", LOCALES[chosen])]).encode()


def _is_static(path: str) -> bool:
    return path in _STATIC_FILES or path.startswith(_STATIC_FOLDERS)


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def _cookies(header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in header.split(";"):
        try:
            found.update({k: m.value for k, m in SimpleCookie(part.strip()).items()})
        except CookieError:
            continue
    return found


class _TooLargeError(Exception):
    """A body grew beyond the limit while it came in."""


def _limited(receive: Receive, most: int) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _TooLargeError
        return message

    return limited


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"detail": detail}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
