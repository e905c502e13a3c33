"""Runs, and the sources that they read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant import bootstrap
from assistant.domain import EVERYONE, Attempt, Progress
from assistant.errors import InputError
from assistant.settings import Settings, Source

if TYPE_CHECKING:
    from assistant.database.engine import Database
    from assistant.database.tables import ReleaseRow
    from assistant.index.release import Judgement


async def sync(
    settings: Settings,
    paths: Sequence[Path],
    started_by: str,
    progress: Progress | None = None,
    *,
    allow_removals: bool = False,
    retry_failed: bool = False,
    drop_others: bool = False,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Index the configured sources, of these the ones that `only` names, or these folders; see `ingest.sync`."""
    sources = _sources(settings, paths, only)

    from assistant.index import ingest, release, run
    from assistant.index.store import Store
    from assistant.ops import alerts

    async with bootstrap.database(settings) as db:
        async with db.read() as session:
            if only and await release.held(session) is not None:
                # A run of some sources would drop what is held of the others.
                sources = settings.sources
        calls: list[Attempt] = []
        embedder = bootstrap.own_embedder(settings, calls)

        async def check(made: ReleaseRow, against: ReleaseRow, removed: Collection[str]) -> Judgement:
            # What searches the cases takes seconds to import: most runs find nothing new, or have no case.
            return await bootstrap.retrieval_gate(settings, db, embedder)(made, against, removed)

        work = run.Parts(
            db=db,
            store=Store(settings.index_uri),
            embedder=embedder,
            settings=settings.index,
            lock=settings.data / "index.lock",
            calls=calls,
            check=check,
            alerts=alerts.channels(settings),
        )
        bootstrap.settled()
        report = await ingest.sync(
            work,
            sources,
            configured=not paths,
            started_by=started_by,
            progress=progress,
            drop_others=drop_others,
            allow_removals=allow_removals,
            retry_failed=retry_failed,
            whole=not only,
        )
        return asdict(report)


def _sources(settings: Settings, paths: Sequence[Path], only: Sequence[str] = ()) -> list[Source]:
    """What is to be indexed. Raises `InputError` at once, before anything heavy is imported."""
    for name in only:
        if all(s.name != name for s in settings.sources):
            raise InputError(f"There is no source {name}.", "See [[sources]] in assistant.toml.")
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: no such folder.", "Name an existing one.")
    chosen = [s for s in settings.sources if not only or s.name in only]
    sources = [ad_hoc(p, settings) for p in paths] or chosen
    if not sources:
        raise InputError("There is nothing to index.", "Name a folder, or add [[sources]] to assistant.toml.")
    missing = [s for s in sources if s.kind == "folder" and not s.path.is_dir()]
    if len(missing) == len(sources):
        # Where another source can be read the run goes on without these, and says so.
        raise InputError(
            f"sources.path of {missing[0].name}: there is no folder {missing[0].path}.",
            "Correct it in assistant.toml, or create the folder.",
        )
    return sources


def ad_hoc(path: Path, settings: Settings) -> Source:
    """The source that a named folder is: a configured one if it is its folder, else one that everyone may read."""
    full = path.resolve()
    known = next((s for s in settings.sources if s.path.resolve() == full), None)
    return known or Source.model_construct(
        name=str(full), path=full, groups=[EVERYONE], include=["**"], exclude=[], owner="", access=[]
    )


async def source_states(settings: Settings, db: Database) -> list[dict[str, Any]]:
    """Each configured source: its kind, documents by state, last and next run, and what is wrong with it."""
    from sqlalchemy import func
    from sqlmodel import col, select

    from assistant.database.tables import DocumentRow, SourceRow
    from assistant.index import schedule

    await schedule.plan(db, settings.sources, settings.data / "sources")
    async with db.read() as session:
        rows = {r.name: r for r in (await session.exec(select(SourceRow))).all()}
        by_state = select(DocumentRow.source, DocumentRow.state, func.count()).group_by(
            col(DocumentRow.source), col(DocumentRow.state)
        )
        counts = {(source, state): count for source, state, count in (await session.exec(by_state)).all()}
    states = []
    for source in settings.sources:
        row = rows[source.name]
        states.append(
            {
                "source": source.name,
                "kind": source.kind,
                "state": "failed" if row.problem else "read" if row.last_run else "new",
                "documents": counts.get((source.name, "indexed"), 0),
                "empty": counts.get((source.name, "empty"), 0),
                "failed": counts.get((source.name, "failed"), 0),
                "last_run": row.last_run and row.last_run.isoformat(timespec="seconds"),
                "next_run": row.next_run and row.next_run.isoformat(timespec="seconds"),
                "problem": row.problem,
                "note": row.note,
            }
        )
    return states
