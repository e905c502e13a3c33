"""What programs push is kept, shown and removed with a key that counts, and with nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlmodel import select

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow, SourceRow
from assistant.index import access
from assistant.memory import keys
from assistant.web import api, questions_api
from assistant.web.surface import API
from tests.web.conftest import Site

SOURCES = [
    {"name": "crm", "kind": "push", "groups": ["everyone"], "exclude": ["drafts/**"]},
    {"name": "wiki", "kind": "push"},
]


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("api"), sources=SOURCES, index={"max_file_mb": 1})
    yield made
    made.end()


async def on(site: Site, work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
    db = Database(f"sqlite+aiosqlite:///{site.data / 'assistant.db'}")
    try:
        return await work(db)
    finally:
        await db.close()


@pytest.fixture
async def program(pushing: Site) -> AsyncIterator[httpx.AsyncClient]:
    _, key = await on(pushing, lambda db: keys.add(db, "test", "crm", "test"))
    async with pushing.client(Authorization=f"Bearer {key}") as client:
        yield client


def test_every_route_for_programs_has_a_row() -> None:
    routes = [*api.router.routes, *questions_api.router.routes]
    there = {(m, r.path) for r in routes if isinstance(r, APIRoute) for m in r.methods}
    assert there == set(API)


async def test_a_document_is_kept_shown_replaced_and_removed_and_saying_it_again_changes_nothing(
    pushing: Site, program: httpx.AsyncClient
) -> None:
    url, markdown = "/v1/documents/customers/acme.md", {"content-type": "text/markdown"}
    said = {"title": "Acme", "groups": "sales,law", "valid_until": "2027-01-31"}
    first = await program.put(url, params=said, content=b"# A", headers=markdown)
    assert (first.status_code, first.json()["state"], first.json()["changed"]) == (202, "waiting", True)
    again = await program.put(url, params={**said, "groups": "law, sales"}, content=b"# A", headers=markdown)
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert again.json()["received"] == first.json()["received"]
    assert (await program.put(url, content=b"# B", headers=markdown)).json()["changed"]
    assert (await program.get(url)).json()["size"] == 3
    assert [(await program.delete(url)).status_code for _ in range(2)] == [204, 204]
    assert (await program.get(url)).status_code == 404

    async def due(db: Database) -> Any:
        async with db.read() as session:
            return (await session.exec(select(SourceRow).where(SourceRow.name == "crm"))).one().next_run

    assert await on(pushing, due) is not None


async def test_a_removed_document_may_be_found_by_no_question_from_then_on(
    pushing: Site, program: httpx.AsyncClient
) -> None:
    async def indexed(db: Database) -> None:
        async with db.write() as session:
            rule = AccessRule(key="crm:**", groups=["sales"])
            session.add(rule)
            await session.flush()
            session.add(DocumentRow(source="crm", path="acme.md", rule_id=rule.id, state="indexed"))

    async def found(db: Database) -> list[int]:
        async with db.read() as session:
            row = (await session.exec(select(DocumentRow).where(DocumentRow.path == "acme.md"))).one()
            return list(await access.allowed(session, [row.rule_id], [row.id]))

    await program.put("/v1/documents/acme.md", content=b"# A")
    await on(pushing, indexed)
    assert len(await on(pushing, found)) == 1
    assert (await program.delete("/v1/documents/acme.md")).status_code == 204
    assert await on(pushing, found) == []


async def test_what_is_said_in_headers_counts_too(program: httpx.AsyncClient) -> None:
    headers = {"content-type": "text/plain", "Document-Title": "Über uns", "Document-Owner": "Ada"}
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    answer = await program.put("/v1/documents/about", content=b"text", headers=raw)
    assert answer.status_code == 202, answer.text
    assert not (await program.put("/v1/documents/about?title=Über uns&owner=Ada", content=b"text",
                                  headers={"content-type": "text/plain"})).json()["changed"]  # fmt: skip


PLAIN = {"content-type": "text/plain"}


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "says"),
    [
        ("a.txt", PLAIN, b"", 400, "empty"),
        ("a.txt", PLAIN, b" \n", 400, "empty"),
        ("a", {"content-type": "application/octet-stream"}, b"x", 400, "Content-Type"),
        ("a", {}, b"x", 400, "Content-Type"),
        ("../../assistant.db", PLAIN, b"x", 404, ""),
        ("%2e%2e/assistant.db", PLAIN, b"x", 400, "The id must be"),
        ("a//b.txt", PLAIN, b"x", 400, "The id must be"),
        (".hidden.txt", PLAIN, b"x", 400, "The id must be"),
        ("a%00b.txt", PLAIN, b"x", 400, "The id must be"),
        ("a%0Ab.txt", PLAIN, b"x", 404, ""),
        ("x" * 301, PLAIN, b"x", 400, "The id must be"),
        ("drafts/a.txt", PLAIN, b"x", 400, "leaves that id out"),
        ("a.md.access.toml", PLAIN, b'groups = ["everyone"]', 400, "leaves that id out"),
        ("a.txt?valid_until=soon", PLAIN, b"x", 400, "valid_until"),
        ("a.txt?groups=,", PLAIN, b"x", 400, "groups"),
        ("a.txt?group=x", PLAIN, b"x", 400, "no parameter group"),
        (f"a.txt?title={'x' * 301}", PLAIN, b"x", 400, "title is too long"),
        ("a.txt", PLAIN, b"x" * 1_000_001, 413, "arge"),
        ("a.txt", {**PLAIN, "origin": "http://evil.example"}, b"x", 403, "another site"),
    ],
)
async def test_what_cannot_be_indexed_is_refused_with_a_sentence(
    program: httpx.AsyncClient, path: str, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    answer = await program.put(f"/v1/documents/{path}", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["detail"]


async def test_a_body_without_a_length_is_stopped_at_the_limit(program: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    answer = await program.put("/v1/documents/a.txt", content=endless(), headers=PLAIN)
    assert answer.status_code == 413


async def test_without_a_key_that_counts_nothing_is_kept_or_shown(pushing: Site, program: httpx.AsyncClient) -> None:
    await program.put("/v1/documents/known.txt", content=b"x", headers=PLAIN)
    key_id, revoked = await on(pushing, lambda db: keys.add(db, "old", "crm", "test"))
    await on(pushing, lambda db: keys.revoke(db, key_id, "test"))
    good = program.headers["authorization"]
    tried = ["", "Bearer", "Bearer x", f"Bearer {revoked}", good[:-1], f"Basic {good[7:]}", f"{good}x", "Bearer pk--"]
    async with pushing.client() as client:
        for authorization in tried:
            for method in ("PUT", "GET", "DELETE"):
                answer = await client.request(
                    method, "/v1/documents/known.txt", headers={**PLAIN, "authorization": authorization}
                )
                assert answer.status_code == 401, (authorization, method)
                assert answer.headers["www-authenticate"] == "Bearer"
    assert (await program.get("/v1/documents/known.txt")).status_code == 200
    person = await pushing.signed_in("root@demo.example")
    assert (await person.get("/v1/documents/known.txt")).status_code == 401
    await person.aclose()


async def test_a_key_reaches_its_own_source_alone(pushing: Site, program: httpx.AsyncClient) -> None:
    await program.put("/v1/documents/mine.txt", content=b"x", headers=PLAIN)
    _, other = await on(pushing, lambda db: keys.add(db, "other", "wiki", "test"))
    _, gone = await on(pushing, lambda db: keys.add(db, "gone", "no longer there", "test"))
    async with pushing.client(Authorization=f"Bearer {other}") as client:
        assert (await client.get("/v1/documents/mine.txt")).status_code == 404
        await client.delete("/v1/documents/mine.txt")
    async with pushing.client(Authorization=f"Bearer {gone}") as client:
        assert (await client.get("/v1/documents/mine.txt")).status_code == 403
    assert (await program.get("/v1/documents/mine.txt")).status_code == 200


async def test_fifty_who_push_the_same_id_leave_one_whole_document(pushing: Site, program: httpx.AsyncClient) -> None:
    bodies = [bytes([65 + n % 26]) * 10_000 for n in range(50)]
    answers = await asyncio.gather(*(program.put("/v1/documents/race.txt", content=b, headers=PLAIN) for b in bodies))
    assert {a.status_code for a in answers} <= {200, 202}
    kept = [f for f in (Path(pushing.data) / "sources/crm").iterdir() if b'"race.txt"' in f.read_bytes()[:300]]
    assert len(kept) == 1
    assert kept[0].read_bytes().partition(b"\n")[2] in bodies
