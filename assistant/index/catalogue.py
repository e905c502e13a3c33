"""The documents as an admin goes through them: found and counted in SQL, with how often answers cited each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, Subquery, Text, and_, cast, func, or_, true
from sqlalchemy import select as sql_select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, DocumentRow, ReceiptRow, RunRow, SourceRow
from assistant.domain import Plain, now
from assistant.errors import NotFoundError

PAGE = 25
# Problems first: they are what an admin comes for.
STATES = ("failed", "empty", "pending", "indexed")
PROBLEMS = ("failed", "empty")
# Days since a document was changed: at most, or at least.
AGES = {"month": (None, 30), "year": (None, 365), "old": (365, None), "very_old": (3 * 365, None)}
OFFERED = 100
MONTH = timedelta(days=30.4)


class Filter(Plain):
    """Which documents are looked for. Empty fields admit everything; `kind` is the ending of a file without its dot."""

    q: str = ""
    source: str = ""
    kind: str = ""
    state: str = ""
    owner: str = ""
    age: str = ""
    language: str = ""

    @property
    def is_set(self) -> bool:
        return any(self.model_dump().values())


@dataclass(frozen=True)
class Page:
    """Some documents, how many there are in all, and where the next page goes on; None at the end."""

    rows: list[DocumentRow]
    count: int
    after: int | None


@dataclass(frozen=True)
class Choices:
    """What a filter can be set to, the most frequent first."""

    source: list[str]
    kind: list[str]
    owner: list[str]
    language: list[str]


@dataclass(frozen=True)
class Facts:
    """All that is known of one document. `repeats` is the newer one that says the same, `repeated` those it outdoes."""

    row: DocumentRow
    rule: str
    groups: list[str]
    cited: int
    cited_last: datetime | None
    repeats: DocumentRow | None
    repeated: list[DocumentRow]


@dataclass
class SourceState:
    """A source and what became of its documents. `failed` and `empty` are among none of the `documents`."""

    name: str
    location: str
    configured: bool
    documents: int = 0
    passages: int = 0
    failed: int = 0
    empty: int = 0
    pending: int = 0
    changed_at: datetime | None = None
    problem: str = ""
    note: str = ""
    last_run: datetime | None = None
    next_run: datetime | None = None


@dataclass(frozen=True)
class Owner:
    """How many documents of an owner are stale."""

    owner: str
    documents: int


@dataclass(frozen=True)
class Stale:
    """Documents that somebody should look at, by owner. `since` is the oldest answer that is still known."""

    owners: list[Owner]
    page: Page
    since: datetime | None = None
    months: int = 0


async def documents(db: Database, wanted: Filter, after: int = 0) -> Page:
    """A page of documents by path, after the one with this number; searched in title, path and reason."""
    return await _page(db, _filtered(select(DocumentRow), wanted), after)


async def problems(db: Database, source: str = "", reason: str = "", after: int = 0) -> Page:
    """A page of the files that gave no passages, by path."""
    return await _page(db, _problems(select(DocumentRow), source, reason), after)


async def reasons(db: Database, source: str = "") -> list[tuple[str, int]]:
    """Why files gave no passages, and how many for each reason, the most frequent first."""
    statement = _problems(select(DocumentRow.reason, func.count()), source, "").group_by(col(DocumentRow.reason))
    async with db.read() as session:
        found = (await session.exec(statement.order_by(func.count().desc()).limit(OFFERED))).all()
    return [(reason, int(count)) for reason, count in found]


async def counts(db: Database) -> dict[str, int]:
    """How many documents there are in each state."""
    async with db.read() as session:
        rows = await session.exec(select(DocumentRow.state, func.count()).group_by(col(DocumentRow.state)))
        found = dict(rows.all())
    return {s: int(found.get(s, 0)) for s in STATES}


async def choices(db: Database) -> Choices:
    """What the documents can be filtered by."""
    async with db.read() as session:
        paths = (await session.exec(select(DocumentRow.path).where(col(DocumentRow.state).in_(STATES)))).all()
        named = [await _values(session, column) for column in (DocumentRow.source, DocumentRow.owner)]
        languages = await _values(session, DocumentRow.language)
    kinds = Counter(ending(p) for p in paths)
    return Choices(named[0], [k for k, _ in kinds.most_common(OFFERED) if k], named[1], languages)


def ending(path: str) -> str:
    """What a file's name ends with, in small letters and without the dot; empty when it has no ending."""
    stem, _, last = path.rpartition("/")[2].lower().rpartition(".")
    return last if stem else ""


async def _values(session: AsyncSession, column: Any) -> list[str]:
    statement = select(column).where(col(DocumentRow.state).in_(STATES), col(column) != "")
    found = await session.exec(
        statement.group_by(col(column)).order_by(func.count().desc(), col(column)).limit(OFFERED)
    )
    return list(found.all())


def _filtered(statement: Any, wanted: Filter) -> Any:
    statement = statement.where(col(DocumentRow.state).in_([wanted.state] if wanted.state in STATES else STATES))
    if wanted.q:
        statement = statement.where(
            or_(
                col(DocumentRow.title).icontains(wanted.q, autoescape=True),
                col(DocumentRow.path).icontains(wanted.q, autoescape=True),
                col(DocumentRow.reason).icontains(wanted.q, autoescape=True),
            )
        )
    for column, value in (
        (DocumentRow.source, wanted.source),
        (DocumentRow.owner, wanted.owner),
        (DocumentRow.language, wanted.language),
    ):
        if value:
            statement = statement.where(col(column) == value)
    if wanted.kind:
        statement = statement.where(col(DocumentRow.path).iendswith(f".{wanted.kind}", autoescape=True))
    if wanted.age in AGES:
        least, most = AGES[wanted.age]
        if most is not None:
            statement = statement.where(col(DocumentRow.modified) >= now() - timedelta(days=most))
        if least is not None:
            statement = statement.where(col(DocumentRow.modified) < now() - timedelta(days=least))
    return statement


def _problems(statement: Any, source: str, reason: str) -> Any:
    statement = statement.where(col(DocumentRow.state).in_(PROBLEMS))
    if source:
        statement = statement.where(DocumentRow.source == source)
    return statement.where(DocumentRow.reason == reason) if reason else statement


async def _page(db: Database, statement: Any, after: int, by: Any = None, count: int | None = None) -> Page:
    """The next rows after a document, ordered by `by` (else by path alone), then path and number."""
    keys: list[Any] = [col(k) for k in ([by] if by is not None else []) + [DocumentRow.path, DocumentRow.id]]
    async with db.read() as session:
        if count is None:
            counted = statement.with_only_columns(func.count(), maintain_column_froms=True)
            count = int((await session.exec(counted)).one())
        last = await session.get(DocumentRow, after) if after else None
        if last is not None:
            statement = statement.where(_beyond(keys, [getattr(last, k.key) for k in keys]))
        rows = list((await session.exec(statement.order_by(*keys).limit(PAGE + 1))).all())
    return Page(rows[:PAGE], count, rows[PAGE - 1].id if len(rows) > PAGE else None)


def _beyond(keys: list[Any], values: list[Any]) -> Any:
    return or_(
        *(
            and_(*(k == v for k, v in zip(keys[:n], values[:n], strict=True)), keys[n] > values[n])
            for n in range(len(keys))
        )
    )


async def facts(db: Database, document_id: int) -> Facts:
    """One document, with who may read it and how often it was cited. Raises `NotFoundError`."""
    uses = _uses(db, document_id)
    async with db.read() as session:
        row = await session.get(DocumentRow, document_id)
        if row is None:
            raise NotFoundError("There is no such document.", "It may have left its source; go back to the list.")
        rule = await session.get(AccessRule, row.rule_id)
        cited = select(func.count(), func.max(uses.c.created_at)).where(uses.c.document_id == document_id)
        count, last = (await session.exec(cited)).one()
        repeats = await session.get(DocumentRow, row.duplicate_of) if row.duplicate_of else None
        others = select(DocumentRow).where(DocumentRow.duplicate_of == document_id).order_by(col(DocumentRow.path))
        repeated = list((await session.exec(others.limit(PAGE))).all())
    groups = list(rule.groups) if rule else []
    return Facts(row, rule.key if rule else "", groups, int(count), last, repeats, repeated)


async def numbers(db: Database, paths: Iterable[str]) -> dict[str, list[int]]:
    """The ids of the documents with these paths; two sources may hold the same path."""
    found: dict[str, list[int]] = {}
    async with db.read() as session:
        statement = select(DocumentRow.path, DocumentRow.id).where(col(DocumentRow.path).in_(set(paths)))
        for path, number in (await session.exec(statement)).all():
            found.setdefault(path, []).append(number or 0)
    return found


def _uses(db: Database, document_id: int | None = None) -> Subquery:
    """Every citation of every receipt that is kept, or those that can be of one document: which, and when."""
    body = col(ReceiptRow.body)
    if db.is_sqlite:
        each = func.json_each(body, "$.passages").table_valued("value")
        number = func.json_extract(each.c.value, "$.document_id")
        cited = func.json_extract(each.c.value, "$.cited") == 1
    else:
        each = func.json_array_elements(body["passages"]).table_valued("value")
        number = func.json_extract_path_text(each.c.value, "document_id")
        cited = func.json_extract_path_text(each.c.value, "cited") == "true"
    statement: Any = select(cast(number, Integer).label("document_id"), col(ReceiptRow.created_at).label("created_at"))
    statement = statement.select_from(ReceiptRow).join(each, true()).where(cited)
    if document_id is not None:
        # Looking for a few letters is much cheaper than taking every receipt apart.
        statement = statement.where(cast(body, Text).contains(f'"document_id": {document_id}'))
    found: Subquery = statement.subquery()
    return found


async def sources(db: Database, configured: Iterable[tuple[str, str]]) -> list[SourceState]:
    """The sources that are configured (name and place) and those that were indexed otherwise, with their documents."""
    found = {name: SourceState(name, place, True) for name, place in configured}
    async with db.read() as session:
        for row in (await session.exec(select(SourceRow).order_by(col(SourceRow.name)))).all():
            told = found.setdefault(row.name, SourceState(row.name, row.location, False))
            told.problem, told.note, told.last_run, told.next_run = row.problem, row.note, row.last_run, row.next_run
        columns: list[Any] = [
            DocumentRow.source,
            DocumentRow.state,
            func.count(),
            func.coalesce(func.sum(DocumentRow.passages), 0),
            func.max(DocumentRow.updated_at),
        ]
        statement: Any = sql_select(*columns).group_by(col(DocumentRow.source), col(DocumentRow.state))
        for source, state, count, passages, changed in (await session.exec(statement)).all():
            told = found.setdefault(source, SourceState(source, "", False))
            if state in STATES:
                setattr(told, "documents" if state == "indexed" else state, int(count))
                told.passages += int(passages)
            told.changed_at = max(filter(None, (told.changed_at, changed)), default=None)
    return list(found.values())


async def expired(db: Database, owner: str | None = None, after: int = 0) -> Stale:
    """Documents past their `valid_until`."""
    return await _stale(db, [col(DocumentRow.valid_until) < now()], owner, after)


async def unread(db: Database, months: int, owner: str | None = None, after: int = 0) -> Stale:
    """Documents that were not changed for so many months, nor cited by an answer that is kept."""
    since = now() - months * MONTH
    uses = _uses(db)
    read = select(uses.c.document_id).where(uses.c.created_at >= since)
    return await _stale(db, [col(DocumentRow.modified) < since, col(DocumentRow.id).not_in(read)], owner, after, months)


async def _stale(db: Database, rules: list[Any], owner: str | None, after: int, months: int = 0) -> Stale:
    rules = [DocumentRow.state == "indexed", *rules]
    by_owner = select(DocumentRow.owner, func.count()).where(*rules).group_by(col(DocumentRow.owner))
    async with db.read() as session:
        owners = (await session.exec(by_owner.order_by(func.count().desc(), col(DocumentRow.owner)))).all()
        since = (await session.exec(select(func.min(ReceiptRow.created_at)))).one()
    if owner is not None:
        rules = [*rules, DocumentRow.owner == owner]
    count = sum(int(n) for name, n in owners if owner in {None, name})
    page = await _page(db, select(DocumentRow).where(*rules), after, DocumentRow.owner, count)
    return Stale([Owner(name, int(count)) for name, count in owners], page, since, months)


async def runs(db: Database, before: int | None = None) -> list[RunRow]:
    """Runs, the newest first, one more than a page holds where there are more."""
    statement = select(RunRow).order_by(col(RunRow.id).desc()).limit(PAGE + 1)
    if before is not None:
        statement = statement.where(col(RunRow.id) < before)
    async with db.read() as session:
        return list((await session.exec(statement)).all())


async def run(db: Database, run_id: int) -> RunRow:
    """One run with its report. Raises `NotFoundError`."""
    async with db.read() as session:
        row = await session.get(RunRow, run_id)
    if row is None:
        raise NotFoundError("There is no such run.", "Go back to the list.")
    return row
