"""Changes of who may read what, and what each person gains and loses by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistant import bootstrap
from assistant.domain import ADMINS, EVERYONE
from assistant.errors import NotFoundError
from assistant.settings import Settings

if TYPE_CHECKING:
    from assistant.database.engine import Database


async def apply(settings: Settings, *, dry_run: bool) -> list[dict[str, Any]]:
    """Who gains and loses which documents by the rules in the settings; unless `dry_run`, they hold from now on."""
    from assistant.database.tables import AuditRow
    from assistant.index import access
    from assistant.memory import people

    async with bootstrap.database(settings) as db:
        askers = [people.asker_of(p) for p in await people.everyone(db) if p.active]
        async with db.write() as session:
            changes = await access.preview(session, settings.sources, askers)
            if not dry_run:
                await access.realign(session, settings.sources)
                session.add(AuditRow(person="command line", action="apply rights", subject=str(len(changes))))
    return [c.model_dump(mode="json") for c in changes]


async def set_groups(settings: Settings, email: str, groups: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Give a person these groups, unless `dry_run`, and say which documents they gain and lose by it.

    `unknown` are those of the groups that are `unnamed`. Raises `NotFoundError` for an unknown
    address.
    """
    from assistant.index import access
    from assistant.memory import people

    async with bootstrap.database(settings) as db:
        person = await people.by_email(db, email)
        if person is None:
            raise NotFoundError(f"There is no account for {email}.", "See `assistant users list`.")
        before, wanted = people.asker_of(person), people.clean_groups(groups)
        after = before.model_copy(update={"groups": frozenset({EVERYONE, *wanted})})
        async with db.read() as session:
            change = await access.preview_groups(session, before, after)
        unknown = await unnamed(db, settings, wanted)
        if not dry_run:
            await people.set_groups(db, email, groups)
    return {"groups": wanted, "unknown": unknown, "change": change.model_dump(mode="json")}


async def unnamed(db: Database, settings: Settings, groups: Sequence[str]) -> list[str]:
    """Those of the groups that stand in no rule and in no policy."""
    from assistant.index import access

    async with db.read() as session:
        known = await access.groups_named(session, settings.sources)
    known |= {ADMINS, *(g for p in settings.policies for g in (*p.groups, *p.except_groups))}
    return [g for g in groups if g not in known]
