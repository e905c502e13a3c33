"""Every route and socket event of Chainlit 2.12, and those of ours for programs. A test fails on one without a row.

`open` needs no session, `signed_in` one, `ours` is answered by a route of our own that is declared before Chainlit's,
`closed` does not exist for anybody, `key` needs a key of the API. Our own routes stand in `OWN`; `admin` ones exist for
admins only.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Gate(StrEnum):
    OPEN = "open"
    SIGNED_IN = "signed_in"
    OURS = "ours"
    CLOSED = "closed"
    ADMIN = "admin"
    KEY = "key"


CHAT = "/chat"
SOCKET = "/ws/socket.io"
DOCUMENTS = "/v1/documents/{id_:path}"
QUESTIONS = "/v1/questions"
# Our languages as Chainlit calls them.
LOCALES = {"en": "en-US", "de": "de-DE"}

# Ours, for programs: no session counts there.
API: dict[tuple[str, str], Gate] = {
    ("PUT", DOCUMENTS): Gate.KEY,
    ("GET", DOCUMENTS): Gate.KEY,
    ("DELETE", DOCUMENTS): Gate.KEY,
    ("POST", QUESTIONS): Gate.KEY,
    ("GET", QUESTIONS + "/{id_}"): Gate.KEY,
}

# Figures for Prometheus: this machine alone, or a key.
METRICS = {("GET", "/metrics"): Gate.KEY}

# In Chainlit's own order: the first match decides.
ROUTES: dict[tuple[str, str], Gate] = {
    # Documentation of the framework; its pages load scripts from elsewhere.
    ("GET", "/openapi.json"): Gate.CLOSED,
    ("GET", "/docs"): Gate.CLOSED,
    ("GET", "/docs/oauth2-redirect"): Gate.CLOSED,
    ("GET", "/redoc"): Gate.CLOSED,
    ("GET", "/public/{filename:path}"): Gate.OPEN,
    ("GET", "/assets/{filename:path}"): Gate.OPEN,
    ("GET", "/copilot/{filename:path}"): Gate.CLOSED,
    ("GET", "/auth/config"): Gate.OPEN,
    ("POST", "/login"): Gate.OURS,  # limit of tries, flags of the cookie
    ("POST", "/logout"): Gate.OURS,  # ends every session, not only this cookie
    ("POST", "/auth/jwt"): Gate.CLOSED,  # would renew a token for ever
    ("POST", "/auth/header"): Gate.OPEN,  # the header itself counts from a trusted proxy only
    ("GET", "/auth/oauth/{provider_id}"): Gate.OPEN,
    ("GET", "/auth/oauth/{provider_id}/callback"): Gate.OPEN,
    ("POST", "/auth/oauth/azure-ad-hybrid/callback"): Gate.CLOSED,
    ("GET", "/user"): Gate.SIGNED_IN,
    ("POST", "/set-session-cookie"): Gate.OURS,  # Chainlit's takes any value and lets the cookie travel everywhere
    ("GET", "/project/translations"): Gate.OPEN,
    ("GET", "/project/settings"): Gate.SIGNED_IN,
    ("PUT", "/feedback"): Gate.OURS,  # Chainlit's checks no owner and turns every refusal into a 500
    ("DELETE", "/feedback"): Gate.OURS,
    ("POST", "/project/threads"): Gate.SIGNED_IN,
    ("GET", "/project/thread/{thread_id}"): Gate.SIGNED_IN,
    ("GET", "/project/share/{thread_id}"): Gate.CLOSED,
    ("GET", "/project/thread/{thread_id}/element/{element_id}"): Gate.CLOSED,
    ("PUT", "/project/element"): Gate.CLOSED,
    ("DELETE", "/project/element"): Gate.CLOSED,
    ("PUT", "/project/thread"): Gate.SIGNED_IN,
    ("PUT", "/project/thread/share"): Gate.CLOSED,
    ("DELETE", "/project/thread"): Gate.SIGNED_IN,
    ("POST", "/project/action"): Gate.CLOSED,
    ("POST", "/mcp"): Gate.CLOSED,
    ("DELETE", "/mcp"): Gate.CLOSED,
    ("POST", "/project/file"): Gate.CLOSED,
    ("GET", "/project/file/{file_id}"): Gate.CLOSED,
    ("GET", "/favicon"): Gate.OPEN,
    ("GET", "/logo"): Gate.OPEN,
    ("GET", "/avatars/{avatar_id:str}"): Gate.OPEN,
    ("HEAD", "/"): Gate.OPEN,
    ("GET", "/health"): Gate.CLOSED,  # ours is at the root
    ("GET", "/{full_path:path}"): Gate.OPEN,  # the page itself
}

# Our own routes, but for those that are the same with or without a session: files, redirects, health.
OWN: dict[tuple[str, str], Gate] = {
    ("POST", "/chat/login"): Gate.OPEN,
    ("POST", "/chat/logout"): Gate.OPEN,
    ("POST", "/chat/set-session-cookie"): Gate.OPEN,  # takes a token that counts, and no other
    ("PUT", "/chat/feedback"): Gate.SIGNED_IN,
    ("DELETE", "/chat/feedback"): Gate.SIGNED_IN,
    ("GET", "/api/me"): Gate.SIGNED_IN,
    ("GET", "/api/receipts/{answer_id}"): Gate.SIGNED_IN,
    ("GET", "/api/passages/{answer_id}/{n}"): Gate.SIGNED_IN,
    ("POST", "/api/answers/{answer_id}/again"): Gate.SIGNED_IN,
    ("POST", "/api/answers/{answer_id}/show"): Gate.SIGNED_IN,
    ("POST", "/api/answers/{answer_id}/choices/{n}"): Gate.SIGNED_IN,
    ("POST", "/api/answers/{answer_id}/owner"): Gate.SIGNED_IN,
    ("GET", "/documents/{document_id}"): Gate.SIGNED_IN,
    ("GET", "/me"): Gate.SIGNED_IN,
    ("GET", "/me/list"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/rename"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/pin"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/share"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/delete"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/restore"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/erase"): Gate.SIGNED_IN,
    ("GET", "/me/threads/{thread_id}/export.json"): Gate.SIGNED_IN,
    ("GET", "/me/threads/{thread_id}/export.md"): Gate.SIGNED_IN,
    ("GET", "/me/memory"): Gate.SIGNED_IN,
    ("POST", "/me/memory"): Gate.SIGNED_IN,
    ("POST", "/me/memory/{note_id}"): Gate.SIGNED_IN,
    ("POST", "/me/memory/{note_id}/delete"): Gate.SIGNED_IN,
    ("POST", "/me/language"): Gate.SIGNED_IN,
    ("GET", "/me/projects"): Gate.SIGNED_IN,
    ("POST", "/me/projects"): Gate.SIGNED_IN,
    ("POST", "/me/projects/{project_id}"): Gate.SIGNED_IN,
    ("POST", "/me/projects/{project_id}/delete"): Gate.SIGNED_IN,
    ("POST", "/me/projects/{project_id}/documents"): Gate.SIGNED_IN,
    ("POST", "/me/projects/{project_id}/only"): Gate.SIGNED_IN,
    ("POST", "/me/threads/{thread_id}/project"): Gate.SIGNED_IN,
    ("GET", "/me/questions"): Gate.SIGNED_IN,
    ("POST", "/me/questions/{question_id}"): Gate.SIGNED_IN,
    ("GET", "/shared/{key}"): Gate.SIGNED_IN,
    ("GET", "/shared/{key}/{answer_id}/{n}"): Gate.SIGNED_IN,
}
ADMIN = "/admin"


def own_gate(method: str, path: str) -> Gate | None:
    """Who may use a route of our own; None for one that nobody has decided on."""
    return Gate.ADMIN if path == ADMIN or path.startswith(f"{ADMIN}/") else OWN.get((method, path))


EVENTS: dict[str, Gate] = {
    "connect": Gate.OURS,  # ids are checked, then Chainlit's
    "connection_successful": Gate.OURS,  # a talk that is not there becomes a new one
    "clear_session": Gate.SIGNED_IN,
    "disconnect": Gate.SIGNED_IN,
    "stop": Gate.OURS,  # ends the turn, keeps what was shown
    "client_message": Gate.OURS,  # the session must still count
    "edit_message": Gate.OURS,  # Chainlit's deletes every later message
    "message_favorite": Gate.CLOSED,
    "fetch_favorites": Gate.CLOSED,
    "window_message": Gate.CLOSED,
    "audio_start": Gate.CLOSED,
    "audio_chunk": Gate.CLOSED,
    "audio_end": Gate.CLOSED,
    "chat_settings_change": Gate.CLOSED,
    "chat_settings_edit": Gate.CLOSED,
}


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.sub(r"\\\{\w+:path\\\}", ".*", re.escape(path))
    return re.compile(re.sub(r"\\\{\w+(?::str)?\\\}", "[^/]+", escaped))


_COMPILED = [(method, _pattern(path), gate) for (method, path), gate in ROUTES.items()]


def gate_of(method: str, path: str) -> Gate:
    """What becomes of a request below the chat's mount. What is not listed is closed."""
    if path == SOCKET or path.startswith(SOCKET + "/"):
        return Gate.SIGNED_IN
    wanted = "GET" if method == "HEAD" and path != "/" else method
    for known, pattern, gate in _COMPILED:
        if known == wanted and pattern.fullmatch(path):
            return gate
    return Gate.CLOSED
