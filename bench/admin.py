"""How long the admin pages take on many documents and answers: `make bench-admin DOCS=10000 RECEIPTS=10000`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow, Message, Person, ReceiptRow, Thread
from assistant.domain import ADMINS, Decision, Level, PassageUse, Receipt, Scores, now
from assistant.errors import ReleaseError
from assistant.settings import Settings
from assistant.web import house
from assistant.web.admin import index_routes, routes, rules
from assistant.web.sessions import Visit, enter

TIMES = 7
SOURCES = 4
# What the settings file says once somebody has narrowed a folder in each source.
SOURCE = """
[[sources]]
name = "s{n}"
path = "."
groups = ["everyone"]

[[sources.access]]
match = "folder {n}/**"
groups = ["leadership"]
"""
AT_ONCE = 2_000
LIST_ONLY = {"HX-Request": "true"}
PAGES = {
    "overview": ("/admin", {}),
    "documents": ("/admin/documents", {}),
    "documents, typing": ("/admin/documents?q=plan+77", LIST_ONLY),
    "documents, five filters": ("/admin/documents?source=s1&kind=md&owner=owner+7&age=old&language=en", LIST_ONLY),
    "documents, a later page": ("/admin/documents?after=5000", LIST_ONLY),
    "document": ("/admin/documents/77", {}),
    "failed": ("/admin/failed", {}),
    "sources": ("/admin/sources", {}),
    "stale, past their date": ("/admin/stale", {}),
    "stale, unread": ("/admin/stale?kind=unread&months=6", {}),
    "glossary": ("/admin/glossary", {}),
    "ratings": ("/admin/ratings", {}),
    "cost": ("/admin/cost", {}),
    "rights, by a changed file": ("/admin/rules", {}),
}


async def fill(db: Database, documents: int, receipts: int) -> None:
    """Documents of four sources and forty owners, one in twenty failed; answers that cite two documents each."""
    draw = random.Random(7)
    async with db.write() as session:
        session.add(AccessRule(id=1, key="s:**", groups=["everyone"]))
        session.add(Person(id="p", email="admin@example.test", groups=[ADMINS]))
        await session.flush()
        session.add(Thread(id="t", person_id="p"))
    for at in range(0, documents, AT_ONCE):
        async with db.write() as session:
            session.add_all(_document(n) for n in range(at, min(documents, at + AT_ONCE)))
    for at in range(0, receipts, AT_ONCE):
        async with db.write() as session:
            numbers = range(at, min(receipts, at + AT_ONCE))
            session.add_all(Message(id=f"m{n}", thread_id="t", role="assistant") for n in numbers)
            await session.flush()
            session.add_all(_receipt(n, [draw.randint(1, documents) for _ in range(6)]) for n in numbers)


def _document(n: int) -> DocumentRow:
    failed = n % 20 == 0
    return DocumentRow(
        source=f"s{n % SOURCES}",
        path=f"folder {n % 97}/plan {n}.{('pdf', 'md', 'docx')[n % 3]}",
        title=f"Plan {n} of the year",
        owner=f"owner {n % 40}",
        language=("en", "de")[n % 2],
        rule_id=1,
        state="failed" if failed else "indexed",
        reason=f"encrypted, kind {n % 3}" if failed else "",
        sketch=bytes(800),
        modified=now() - timedelta(days=n % 1500),
        valid_until=now() - timedelta(days=1) if n % 9 == 0 else None,
        passages=5,
    )


def _receipt(n: int, found: list[int]) -> ReceiptRow:
    used = tuple(
        PassageUse(
            n=k, passage="0" * 20, document_id=i, document=f"folder/plan {i}.md", title=f"Plan {i} of the year",
            place="page 2 · What was planned", text_hash="0" * 16, scores=Scores(), cited=k < 3,
        )
        for k, i in enumerate(found, 1)
    )  # fmt: skip
    moment = now() - timedelta(days=n % 400)
    level = Level.DECLINED if n % 25 == 0 else Level.ANSWERED
    receipt = Receipt(
        id=f"m{n}", thread="t", asked="What was planned?", searched="What was planned?", release=1, passages=used,
        decision=Decision(level=level), created_at=moment,
    )  # fmt: skip
    body = receipt.model_dump(mode="json")
    return ReceiptRow(id=f"m{n}", thread_id="t", person_id="p", level=level, body=body, created_at=moment)


class _NoIndex:
    """Passages are read from the index, which `make bench-load` measures; here are none."""

    async def release(self) -> Any:
        raise ReleaseError("There is no index yet.")


async def measure(documents: int, receipts: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"data": folder})
        db = Database(f"sqlite+aiosqlite:///{Path(folder) / 'a.db'}")
        await db.migrate()
        await fill(db, documents, receipts)
        house.furnish(SimpleNamespace(settings=settings, db=db, knowledge=_NoIndex()))  # type: ignore[arg-type]
        async with db.read() as session:
            enter(Visit(person=await session.get(Person, "p")))
        app = FastAPI()
        app.include_router(routes.router)
        app.include_router(index_routes.router)
        app.include_router(rules.router)
        config = Path(folder) / "assistant.toml"
        config.write_text("".join(SOURCE.format(n=n) for n in range(SOURCES)))
        os.environ["ASSISTANT_CONFIG"] = str(config)
        taken: dict[str, float] = {}
        cpu: dict[str, float] = {}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=60) as client:
            for name, (path, headers) in PAGES.items():
                each, own = [], []
                for _ in range(TIMES):
                    began, spent = time.perf_counter(), time.process_time()
                    answer = await client.get(path, headers=headers)
                    each.append((time.perf_counter() - began) * 1000)
                    own.append((time.process_time() - spent) * 1000)
                    answer.raise_for_status()
                taken[name] = round(statistics.median(each), 1)
                cpu[name] = round(statistics.median(own), 1)
        await db.close()
    return {
        "documents": documents,
        "receipts": receipts,
        "ms_median": taken,
        "ms_max": max(taken.values()),
        "cpu_ms_median": cpu,
        "cpu_ms_max": max(cpu.values()),
    }


if __name__ == "__main__":
    given = (int(os.environ.get("DOCS", "10000")), int(os.environ.get("RECEIPTS", "10000")))
    sys.stdout.write(json.dumps(asyncio.run(measure(*given))) + "\n")
