"""What is put right, and said, when the server has opened."""

from __future__ import annotations

import os
import socket
import sys

from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import Message
from assistant.memory import threads
from assistant.settings import Settings


def _runs(owner: str) -> bool:
    """Whether the process that streams an answer may still be there: only of this machine can we say it is not."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return bool(owner)
    if int(pid) == os.getpid():
        return False  # we stream nothing yet: it is a former process whose number we got
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def mark_cut_answers(db: Database) -> int:
    """Mark the answers whose process is gone. Returns how many."""
    async with db.read() as session:
        owners = (await session.exec(select(Message.owner).where(Message.state == "streaming").distinct())).all()
    return await threads.mark_interrupted(db, {o for o in owners if _runs(o)})


def announce(settings: Settings) -> None:
    """Say on the terminal where to go, and in the demo as whom."""
    from assistant import bootstrap

    host = settings.web.host if settings.web.host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
    lines = [f"Open {settings.web.public_url or f'http://{host}:{settings.web.port}'}"]
    accounts = bootstrap.demo_accounts(settings)
    width = max((len(a["email"]) for a in accounts), default=0)
    for account in accounts:
        groups = ", ".join(account["groups"])
        lines.append(f"  {account['email']:<{width}}  {account['password']:<22}  {groups}")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
