"""What is said when the server has opened."""

from __future__ import annotations

import sys
from contextlib import suppress

from assistant.memory import demo
from assistant.settings import Settings


def announce(settings: Settings) -> None:
    """Say on the terminal where to go, and in the demo as whom."""
    host = settings.web.host if settings.web.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
    lines = [f"Open {settings.web.public_url or f'http://{host}:{settings.web.port}'}"]
    accounts = demo.accounts(settings)
    width = max((len(a["email"]) for a in accounts), default=0)
    for account in accounts:
        groups = ", ".join(account["groups"])
        lines.append(f"  {account['email']:<{width}}  {account['password']:<22}  {groups}")
    # What the disk of the log has no room for keeps nobody from being served.
    with suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
