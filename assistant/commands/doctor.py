"""Checks everything of an installation that can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant import bootstrap
from assistant.commands import indexing
from assistant.domain import ADMINS
from assistant.errors import AssistantError, ReleaseError
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.database.engine import Database
    from assistant.database.tables import ReleaseRow


async def examine(settings: Settings) -> list[dict[str, str]]:
    """Check what can be checked: settings, prompts, database, index, models. Each with state `ok`, `note` or `bad`."""
    from assistant.chat import prompts

    checks = [_check("settings", "ok", "readable")]
    try:
        loaded = prompts.load(settings.prompts_dir)
        checks.append(_check("prompts", "ok", ", ".join(f"{p.name} {p.version}" for p in loaded.values())))
    except AssistantError as error:
        checks.append(_check("prompts", "bad", str(error)))
    checks += _examine_sources(settings)
    try:
        async with bootstrap.database(settings) as db:
            checks += await _examine_database(settings, db)
    except AssistantError as error:
        checks.append(_check("database", "bad", str(error)))
    names = ", ".join(d.name for d in settings.models.deployments)
    checks.append(_check("models", "ok" if names else "note", names or "none: passages are quoted"))
    for d in settings.models.deployments:
        if d.api_key_env and not settings.environment(d.api_key_env):
            checks.append(_check(f"model {d.name}", "bad", f"{d.api_key_env} is not set"))
    reranker = settings.chat.reranker
    if reranker.api_key_env and not settings.environment(reranker.api_key_env):
        checks.append(_check("reranker", "bad", f"{reranker.api_key_env} is not set"))
    return checks


async def _examine_database(settings: Settings, db: Database) -> list[dict[str, str]]:
    """What the database tells: sources that were read, admins, cases, and the index."""
    from assistant.index import release
    from assistant.memory import people

    checks = [
        _check(f"source {s['source']}", "bad" if s["problem"] else "ok", s["problem"] or f"listed {s['last_run']}")
        for s in await indexing.source_states(settings, db)
        if s["kind"] not in {"folder", "mail"} and s["last_run"]
    ]
    current = await db.schema_is_current()
    checks.append(_check("database", "ok" if current else "bad", "sqlite" if db.is_sqlite else "postgres"))
    admins = [p.email for p in await people.everyone(db) if p.active and ADMINS in p.groups]
    checks.append(_check("admins", "ok" if admins else "note", ", ".join(admins) or "nobody is in the group admins"))
    async with db.read() as session:
        row = await release.active(session)
        aside, waiting = await release.set_aside(session), await release.held(session)
        checks += await _examine_cases(settings, session)
    checks += await _examine_index(settings, row)
    checks += [
        _check(f"release {r.id}", "bad", f"{r.note} Run `assistant index sync`.")
        for r in aside
        if row is None or r.id != row.id
    ]
    if waiting is not None:
        checks.append(_check(f"release {waiting.id}", "note", f"held: {waiting.note}"))
    return checks


async def _examine_index(settings: Settings, active: ReleaseRow | None) -> list[dict[str, str]]:
    from assistant.index import release
    from assistant.index.store import Store

    if active is None:
        return [_check("index", "bad", "there is none; run `assistant index sync`")]
    store = Store(settings.index_uri)
    try:
        await store.names()
        await release.whole(store, active)
        writable = await (await store.open(active.table_name)).is_writable()
    except ReleaseError as error:
        return [_check("index", "bad", f"{error.problem} {error.action or 'Run `assistant index sync`.'}")]
    checks = [_check("index", "ok", f"release {active.id}, {active.passages} passages, whole")]
    if not writable:
        checks.append(_check("index table", "bad", "its marks are damaged; the next run makes a new one"))
    return checks


def _examine_sources(settings: Settings) -> list[dict[str, str]]:
    checks = []
    for source in settings.sources:
        if source.kind in {"folder", "mail"}:
            found = source.path.is_dir() or (source.kind == "mail" and source.path.is_file())
            missing = f"there is nothing at {source.path}. Correct `path` in assistant.toml, or put it there."
            checks.append(_check(f"source {source.name}", *(("ok", str(source.path)) if found else ("bad", missing))))
        elif source.secret_env and not source.secret:
            checks.append(_check(f"source {source.name}", "bad", f"{source.secret_env} is not set"))
    names = [settings.alerts.webhook_env, settings.alerts.smtp_env if settings.alerts.email else ""]
    checks += [_check("alerts", "bad", f"{n} is not set") for n in names if n and not settings.environment(n)]
    return checks


async def _examine_cases(settings: Settings, session: AsyncSession) -> list[dict[str, str]]:
    """Whether new releases are held to the cases that the settings name, and these are about documents of ours."""
    from assistant.database.tables import DocumentRow
    from assistant.ops import cases

    if settings.cases is None:
        return []
    if not settings.cases.is_file():
        what = f"there is no file {settings.cases}: no release is held to it"
        return [_check("cases", "bad", f"{what}. Correct `cases` in assistant.toml, or remove it.")]
    try:
        read = cases.read(settings.cases)
    except AssistantError as error:
        return [_check("cases", "bad", str(error))]
    named = [{d for d in (c.doc, *c.also) if d} for c in read]
    ours = set((await session.exec(select(DocumentRow.path).where(DocumentRow.state == "indexed"))).all())
    asked, held = sum(map(bool, named)), sum(bool(n & ours) for n in named)
    foreign = asked > 0 and not held
    what = f"{held} of the {asked} that name a document name one of the index"
    advice = f": {settings.cases} is about other documents, and no release is held to it"
    return [_check("cases", "note" if foreign else "ok", what + (advice if foreign else ""))]


def _check(name: str, state: str, message: str) -> dict[str, str]:
    return {"name": name, "state": state, "message": message}
