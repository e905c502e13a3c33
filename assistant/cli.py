"""The command `assistant`. Imports nothing heavy before a command needs it.

With `--json`, stdout holds JSON alone; progress goes to stderr. Exit codes: 0 fine, 1 a check failed, 2 bad input.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from assistant import bootstrap
from assistant.commands import evaluation, indexing, releases, rights
from assistant.commands import replay as replaying
from assistant.commands.doctor import examine
from assistant.domain import ADMINS, Answer, Asker
from assistant.errors import AssistantError, InputError
from assistant.masking import mask_logs
from assistant.settings import Settings, load

if TYPE_CHECKING:
    from assistant.database.engine import Database

app = typer.Typer(
    name="assistant", help="Ask the company's documents.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
index_app = typer.Typer(help="Build, list, activate and check what is searched.", no_args_is_help=True)
users_app = typer.Typer(help="People who may sign in.", no_args_is_help=True)
glossary_app = typer.Typer(help="What people ask for and the documents call otherwise.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys with which programs push documents or ask.", no_args_is_help=True)
eval_app = typer.Typer(help="Measure retrieval and answers on cases.", no_args_is_help=True)
app.add_typer(index_app, name="index")
app.add_typer(users_app, name="users")
app.add_typer(glossary_app, name="glossary")
app.add_typer(keys_app, name="keys")
app.add_typer(eval_app, name="eval")

# The products here are small: threads of BLAS that wait for the next one, spinning, took a third of a turn's CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

T = TypeVar("T")
Rows = list[dict[str, Any]]
# What is piped on is not cut to the width of a screen that is not there.
out = Console(width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True)

Data = Annotated[Path | None, typer.Option("--data", help="Folder of index and database.", show_default=False)]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on stdout.")]
As = Annotated[str, typer.Option("--as", help="E-mail of the person who asks.", show_default=False)]


def _run(job: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(job)


def _in_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    async def job() -> T:
        async with bootstrap.database(settings) as db:
            return await work(db)

    return _run(job())


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


class _Bar:
    """A progress bar on a terminal, silence elsewhere; called with (done, total, message)."""

    def __enter__(self) -> _Bar:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int, message: str) -> None:
        self._progress.update(self._task, completed=done, total=total or None, description=message[-50:])


def _for_children(config: Path | None) -> None:
    """Let the processes that this one starts, for runs and the like, read the same settings."""
    if config is not None:
        os.environ["ASSISTANT_CONFIG"] = str(config.resolve())


@app.command()
def serve(
    config: Config = None,
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
) -> None:
    """Serve the chat, the admin pages and the API."""
    settings = load(config, data)
    change = {k: v for k, v in {"host": host, "port": port}.items() if v is not None}
    settings = settings.model_copy(update={"web": settings.web.model_copy(update=change)})
    _for_children(config)
    from assistant.web.app import run

    run(settings)


@app.command()
def ask(
    question: str,
    as_: As = "",
    thread: Annotated[str, typer.Option(help="Go on with this thread of the same person.")] = "",
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Ask one question; the answer comes with its citations and its receipt."""
    from assistant.memory import threads

    settings = load(config, data)

    async def job() -> Answer:
        async with bootstrap.parts(settings) as parts:
            asker = await parts.asker(as_)
            if thread:
                await threads.of(parts.db, asker, thread)
            return await parts.answer(asker, question, thread or None)

    answer = _run(job())
    if as_json:
        _print_json(answer_json(answer))
        return
    # An address below the server leads nowhere from a terminal.
    out.print(re.sub(r"\[([^\]]+)\]\(/[^)]*\)", r"\1", answer.text), markup=False)
    for c in answer.citations:
        out.print(f"  [{c.n}] {c.title} · {c.place} ({c.document})", style="dim", markup=False)


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as programs get it."""
    return {
        "answer": answer.text,
        "abstained": answer.abstained,
        "citations": [c.model_dump(include={"n", "document", "title", "place", "quote"}) for c in answer.citations],
        "receipt": answer.receipt.model_dump(mode="json"),
        "thread": answer.thread,
    }


@app.command()
def search(
    query: str,
    as_: As = "",
    k: Annotated[int, typer.Option("-k", min=1, max=500, help="How many passages.")] = 10,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also every stage, and the rule behind each hidden document; for admins.")
    ] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Search the passages that a person may read."""
    settings = load(config, data)
    if explain:
        _explain(settings, query, as_, k, as_json)
        return

    async def job() -> list[dict[str, Any]]:
        async with bootstrap.parts(settings, answering=False) as parts:
            found = await parts.knowledge.search(await parts.asker(as_), query, k)
        return [
            {
                "document": p.document,
                "title": p.title,
                "place": p.place.label(),
                "text": p.text,
                "scores": p.scores.model_dump(),
            }
            for p in found.passages
        ]

    rows = _run(job())
    if as_json:
        _print_json({"passages": rows})
        return
    for row in rows:
        out.print(f"{row['scores']['fused']:.3f}  {row['title']} · {row['place']}", style="bold", markup=False)
        out.print(f"       {shorten(row['text'], 160, placeholder=' …')}", markup=False)


def _explain(settings: Settings, query: str, as_: str, k: int, as_json: bool) -> None:
    async def job() -> dict[str, Any]:
        from assistant.index import glossary
        from assistant.index.explain import explain

        async with bootstrap.parts(settings, answering=False) as parts:
            # Whoever may start this command may read the index anyway.
            operator = Asker(person_id="", email="command line", groups=frozenset({ADMINS}))
            who, terms = await parts.asker(as_), await glossary.in_use(parts.db, settings)
            told = await explain(parts.db, parts.knowledge, operator, who, query, k, terms=terms)
            decision = bootstrap.outcome(parts, told)
            return told.model_dump(mode="json") | {"level": decision.level, "why": decision.reason}

    told = _run(job())
    if as_json:
        _print_json(told)
        return
    out.print(f"{told['person']} ({', '.join(told['groups'])}), release {told['release']}", markup=False)
    out.print(f"{told['level']}: {told['why']}", markup=False)
    if told["searched"] != told["question"]:
        out.print(f"searched by the glossary: {told['searched']}", markup=False)
    for stage, hits in told["stages"].items():
        out.print(stage, style="bold")
        for hit in hits:
            out.print(f"  {hit['score']:7.3f}  {hit['document']} · {hit['place']}", markup=False)
    out.print("hidden", style="bold")
    for row in told["hidden"]:
        out.print(f"  {row['score']:7.3f}  {row['document']}: {row['reason']} ({row['rule']})", markup=False)


@index_app.command("sync")
def index_sync(
    paths: Annotated[list[Path] | None, typer.Argument(help="Folders; default: the sources in assistant.toml.")] = None,
    allow_removals: Annotated[
        bool, typer.Option("--allow-removals", help="Also when most documents of a source are gone.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Read again what failed before.")] = False,
    drop_others: Annotated[
        bool, typer.Option("--drop-others", help="Let the documents of sources go that assistant.toml names no more.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Index this source alone; may be given several times.")
    ] = None,
    started_by: Annotated[str, typer.Option(hidden=True)] = "",
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Index what is new or changed, drop what is gone, and activate the release when it is whole and no worse.

    Exit 1 when a source cannot be read, or the release is held: see `assistant index report`, then accept or drop it.
    """
    settings = load(config, data)
    if paths and only:
        raise InputError("Folders and --only do not go together.", "Name one of them.")
    if drop_others and (paths or only):
        raise InputError("--drop-others is for a run of all sources.", "Leave the folders, or --only, out.")

    with _Bar() as bar:
        report = _run(
            indexing.sync(
                settings,
                paths or [],
                started_by or "command line",
                bar,
                allow_removals=allow_removals,
                retry_failed=retry_failed,
                drop_others=drop_others,
                only=only or [],
            )
        )
    if as_json:
        _print_json(report)
    else:
        _print_run(report)
    raise typer.Exit(1 if report["held"] or report["problems"] else 0)


def _print_run(report: dict[str, Any]) -> None:
    out.print(
        f"Release {report['release']}: {report['documents']} documents, {report['passages']} passages "
        f"({report['added']} added, {report['changed']} changed, {report['removed']} removed, "
        f"{report['renamed']} renamed, {report['unchanged']} unchanged) in {report['seconds']} s"
    )
    for path in report["empty"]:
        out.print(f"  no text: {path}", markup=False)
    for row in report["failed"]:
        out.print(f"  not read: {row['path']}: {row['reason']}", markup=False)
    for problem in report["problems"].values():
        err.print(problem, style="red", markup=False)
    if report["held"]:
        number = report["release"]
        err.print(f"Release {number} waits; people are answered from the one before it. {report['held']}", markup=False)
        err.print(f"assistant index report {number} · accept {number} · drop {number}", markup=False)


@index_app.command("sources")
def index_sources(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List the sources: their documents, when they were read, when they are next, and what is wrong with them."""
    settings = load(config, data)
    rows = _in_database(settings, lambda db: indexing.source_states(settings, db))
    if as_json:
        _print_json({"sources": rows})
        return
    _table([{k: v for k, v in row.items() if k not in {"problem", "note"}} for row in rows])
    for row in rows:
        for told in filter(None, (row["problem"], row["note"])):
            out.print(f"{row['source']}: {told}", markup=False)


@index_app.command("releases")
def index_releases(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List the releases that are kept; the active one is marked."""

    _listed(load(config, data), "releases", as_json, releases.listed)


@index_app.command("activate")
def index_activate(release: int, config: Config = None, data: Data = None) -> None:
    """Answer people from another kept release, from the next question on: forward or back."""
    settings = load(config, data)
    _for_children(config)
    _run(releases.activate(settings, release, "command line"))
    out.print(f"People are answered from release {release}.")


@index_app.command("report")
def index_report(release: int, config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Show what the gate found of a release beside the one that was active."""
    settings = load(config, data)
    found = _run(releases.report(settings, release))
    if as_json:
        _print_json(found)
        return
    out.print(f"Release {found['release']} beside {found['against']}, {found['cases']} cases")
    if found["cases"]:
        _table([{"release": found[n], **found[side]} for n, side in (("against", "then"), ("release", "now"))])
    for case, documents in found["gone"].items():
        out.print(f"  left the sources: {case} ({', '.join(documents)})", markup=False)
    for case in found.get("worse", []):
        out.print(f"{case['case']}: {case['question']}", style="bold", markup=False)
        for side, rank in zip(("then", "now"), case["rank"], strict=True):
            out.print(f"  {side}: expected at {rank or 'no place'}", markup=False)
            for p in case[side]:
                out.print(
                    f"    {p['document']} · {p['place']}  {shorten(p.get('text', ''), 100, placeholder=' …')}",
                    markup=False,
                )


@index_app.command("accept")
def index_accept(release: int, config: Config = None, data: Data = None) -> None:
    """Answer people from a release that was held, from the next question on."""
    settings = load(config, data)
    _for_children(config)
    _run(releases.accept(settings, release, "command line"))
    out.print(f"People are answered from release {release}.")


@index_app.command("drop")
def index_drop(release: int, config: Config = None, data: Data = None) -> None:
    """Let a held release go; the next run makes a new one."""
    settings = load(config, data)
    _run(releases.drop(settings, release, "command line"))
    out.print(f"Release {release} is dropped.")


@index_app.command("compare")
def index_compare(first: int, second: int, config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Show which documents two kept releases differ in, and which case questions find other passages."""
    settings = load(config, data)
    found = _run(releases.compare(settings, first, second))
    if as_json:
        _print_json(found)
        return
    for kind in ("added", "changed", "removed"):
        for path in found[kind]:
            out.print(f"{kind:>8}  {path}", markup=False)
    for case in found["questions"]:
        out.print(f"question  {case['case']}: {case['question']}", markup=False)
    out.print(
        f"{len(found['added'])} added, {len(found['changed'])} changed, {len(found['removed'])} removed; "
        f"{len(found['questions'])} questions find other passages"
    )


@index_app.command("rights")
def index_rights(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say who would gain and lose what.")] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Put the access rules of assistant.toml into force, and say who gains and loses which documents."""
    settings = load(config, data)
    changes = _run(rights.apply(settings, dry_run=dry_run))
    if as_json:
        _print_json({"changes": changes, "applied": not dry_run})
        return
    for change in changes:
        _print_change(change)
    if not changes:
        out.print("Nobody gains or loses a document.")


def _print_change(change: dict[str, Any]) -> None:
    out.print(f"{change['person']}: gains {len(change['gains'])}, loses {len(change['loses'])}", markup=False)
    for sign, paths in (("+", change["gains"]), ("-", change["loses"])):
        for path in paths:
            out.print(f"  {sign} {path}", markup=False)


def _listed(settings: Settings, name: str, as_json: bool, read: Callable[[Database], Awaitable[Rows]]) -> None:
    """Print rows that are read from the database: a table, or JSON under this name."""

    rows = _in_database(settings, read)
    if as_json:
        _print_json({name: rows})
    else:
        _table(rows)


def _document(row: Any) -> dict[str, Any]:
    keys = ("id", "source", "path", "title", "state", "reason", "owner", "language", "passages")
    return {k: getattr(row, k) for k in keys} | {"changed": row.modified and f"{row.modified:%Y-%m-%d}"}


After = Annotated[int, typer.Option(help="Go on after the document with this id.")]


@index_app.command("documents")
def index_documents(
    q: Annotated[str, typer.Argument(help="Part of a title, path or reason.")] = "",
    source: Annotated[str, typer.Option()] = "",
    kind: Annotated[str, typer.Option(help="Ending of the file: pdf, md …")] = "",
    state: Annotated[str, typer.Option(help="indexed, failed, empty or pending.")] = "",
    owner: Annotated[str, typer.Option()] = "",
    age: Annotated[str, typer.Option(help="month, year, old or very_old.")] = "",
    language: Annotated[str, typer.Option()] = "",
    after: After = 0,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List documents and what became of them, a page at a time."""
    from assistant.index import catalogue

    wanted = catalogue.Filter(q=q, source=source, kind=kind, state=state, owner=owner, age=age, language=language)

    async def read(db: Database) -> list[dict[str, Any]]:
        return [_document(d) for d in (await catalogue.documents(db, wanted, after)).rows]

    _listed(load(config, data), "documents", as_json, read)


@index_app.command("document")
def index_document(document: int, config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Show one document: who may read it, how often it was cited, and what each kept release made of it."""
    settings = load(config, data)

    from assistant.index import catalogue

    told = _in_database(settings, lambda db: catalogue.facts(db, document))
    history = _run(releases.history(settings, document))
    found = {
        **_document(told.row),
        "groups": told.groups,
        "rule": told.rule,
        "cited": told.cited,
        "cited_last": told.cited_last,
        "repeats": told.repeats and told.repeats.path,
        "repeated_by": [d.path for d in told.repeated],
    }
    if as_json:
        _print_json({**found, "history": history})
        return
    for key, value in found.items():
        out.print(f"{key:>12}  {', '.join(value) if isinstance(value, list) else value}", markup=False)
    _table(history)


@index_app.command("runs")
def index_runs(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List the newest runs."""

    async def read(db: Database) -> list[dict[str, Any]]:
        from assistant.index import catalogue

        keys = ("id", "started_by", "state", "done", "total", "message", "release_id", "started_at", "finished_at")
        return [{k: getattr(r, k) for k in keys} for r in (await catalogue.runs(db))[: catalogue.PAGE]]

    _listed(load(config, data), "runs", as_json, read)


@index_app.command("stale")
def index_stale(
    months: Annotated[int, typer.Option(min=0, max=120, help="Unread for so long; 0: past their date.")] = 0,
    owner: Annotated[str | None, typer.Option(show_default=False)] = None,
    after: After = 0,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List documents past their date, or old and cited by no answer for so many months."""

    async def read(db: Database) -> list[dict[str, Any]]:
        from assistant.index import catalogue

        unread = catalogue.unread(db, months, owner, after) if months else None
        found = await (unread or catalogue.expired(db, owner, after))
        return [_document(d) | {"valid_until": d.valid_until} for d in found.page.rows]

    _listed(load(config, data), "documents", as_json, read)


@index_app.command("contradictions")
def index_contradictions(
    owner: Annotated[str | None, typer.Option(show_default=False)] = None,
    after: After = 0,
    anew: Annotated[bool, typer.Option("--anew", help="Look for them once more; every run does.")] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List documents that say the same thing with another number, date or amount."""
    settings = load(config, data)
    found = _run(releases.contradictions(settings, owner, after, anew=anew))
    if as_json:
        _print_json(found)
        return
    for pair in found["pairs"]:
        for side in pair["documents"]:
            facts = ", ".join(filter(None, (side["owner"], side["dated"])))
            out.print(f"{side['document']} ({facts or 'no owner, no date'}): {side['says']}", markup=False)
        out.print()
    out.print(f"Pairs: {found['count']}.")
    if not found["whole"]:
        err.print("There was more to compare than one search may take; some may be missing.")


@app.command("audit")
def audit_log(
    person: Annotated[str, typer.Option(help="Only what this one did.")] = "",
    before: Annotated[int | None, typer.Option(help="Go on before this entry.", show_default=False)] = None,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Who did what as an admin, the newest first."""

    async def read(db: Database) -> list[dict[str, Any]]:
        from assistant.ops import audit

        found = (await audit.entries(db, person, before))[: audit.PAGE]
        return [r.model_dump(include={"seq", "created_at", "person", "action", "subject"}) for r in found]

    _listed(load(config, data), "entries", as_json, read)


@users_app.command("add")
def users_add(
    email: str,
    password: Annotated[
        str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, help="At least 10 characters.")
    ],
    name: Annotated[str, typer.Option()] = "",
    groups: Annotated[str, typer.Option(help="Comma-separated.")] = "",
    config: Config = None,
    data: Data = None,
) -> None:
    """Make an account."""
    from assistant.memory import people

    settings = load(config, data)

    async def make(db: Database) -> list[str]:
        made = await people.add(db, email, name=name, password=password, groups=groups.split(","))
        return await rights.unnamed(db, settings, made.groups)

    unknown = _in_database(settings, make)
    out.print(f"{email} can sign in.", markup=False)
    _print_unknown(unknown)


@users_app.command("passwd")
def users_passwd(
    email: str,
    password: Annotated[str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True)],
    config: Config = None,
    data: Data = None,
) -> None:
    """Change a password; every session of that person ends."""
    from assistant.memory import people

    _in_database(load(config, data), lambda db: people.set_password(db, email, password))
    out.print("Changed. Every session of that account has ended.")


@users_app.command("groups")
def users_groups(
    email: str,
    groups: Annotated[str, typer.Argument(help="Comma-separated; these replace the present ones.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what they would gain and lose.")] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Set the groups of a person, and say which documents they gain and lose; it holds from the next question."""
    told = _run(rights.set_groups(load(config, data), email, groups.split(","), dry_run=dry_run))
    out.print(f"{email}: {', '.join(told['groups']) or 'only everyone'}", markup=False)
    _print_unknown(told["unknown"])
    _print_change(told["change"])


def _print_unknown(groups: list[str]) -> None:
    for group in groups:
        err.print(f"No rule and no policy names the group {group}: is it spelled as in assistant.toml?", markup=False)


@users_app.command("remove")
def users_remove(email: str, config: Config = None, data: Data = None) -> None:
    """Shut an account: it cannot sign in, and its sessions end. Its talks are kept."""
    from assistant.memory import people

    _in_database(load(config, data), lambda db: people.set_active(db, email, False))
    out.print(f"{email} is shut out.", markup=False)


@users_app.command("list")
def users_list(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List the accounts."""
    from assistant.memory import people

    found = _in_database(load(config, data), people.everyone)
    rows: Rows = [{"email": p.email, "name": p.name, "groups": p.groups, "active": p.active} for p in found]
    if as_json:
        _print_json({"people": rows})
    else:
        _table([{**r, "groups": ", ".join(r["groups"])} for r in rows])


@app.command()
def replay(
    receipt: Annotated[str, typer.Argument(help="The id of an answer's receipt.")],
    model: Annotated[str, typer.Option(help="Another deployment, or `extract` for quoting.")] = "",
    prompts: Annotated[Path | None, typer.Option("--prompt", help="Another folder of prompts.")] = None,
    release: Annotated[int | None, typer.Option(help="Another kept release.")] = None,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Answer a question of the past once more and show the difference; nothing of it is kept."""
    settings = load(config, data)
    found = _run(replaying.replay(settings, receipt, model=model, prompts_dir=prompts, release_id=release))
    if as_json:
        _print_json(found)
        return
    _table([{"answer": side, **found[side]} for side in ("then", "now")])
    out.print("\n".join(found["diff"]) or "The answers are the same.", markup=False)


@glossary_app.command("list")
def glossary_list(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List what words mean."""

    async def read(db: Database) -> list[dict[str, Any]]:
        from assistant.index import glossary

        async with db.read() as session:
            return [t.model_dump(mode="json", exclude={"key"}) for t in await glossary.listed(session)]

    _listed(load(config, data), "terms", as_json, read)


@glossary_app.command("add")
def glossary_add(
    said: Annotated[str, typer.Argument(help="What people say: PTO.")],
    meant: Annotated[str, typer.Argument(help="What the documents call it: annual leave.")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Let a question with this word be searched by what it means, too, from the next one on."""

    async def add(db: Database) -> None:
        from assistant.index import glossary

        async with db.write() as session:
            await glossary.add(session, said, meant, "command line")

    _in_database(load(config, data), add)
    out.print(f"“{said}” is searched as “{meant}”, too.", markup=False)


@glossary_app.command("remove")
def glossary_remove(said: str, config: Config = None, data: Data = None) -> None:
    """Let a word stand for itself again."""

    async def remove(db: Database) -> None:
        from assistant.index import glossary

        async with db.write() as session:
            await glossary.remove(session, said)

    _in_database(load(config, data), remove)
    out.print(f"“{said}” is searched as it stands.", markup=False)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="What it is for, so that it can be told from others.")],
    source: Annotated[str, typer.Option("--source", help="The source of kind push that it may write to.")] = "",
    ask_as: Annotated[str, typer.Option("--ask-as", help="The person as whom it may ask, by e-mail.")] = "",
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it. It is shown this once: only a hash of it is kept.

    It may do one thing: push documents into a source, or ask within the rights of one person, whose conversations its
    questions then are.
    """
    settings = load(config, data)
    if bool(source) == bool(ask_as):
        raise InputError("A key is for one thing.", "Name either --source or --ask-as.")
    if source and not any(s.name == source and s.kind == "push" for s in settings.sources):
        raise InputError(f"There is no source {source} of the kind push.", "Add it to [[sources]] in assistant.toml.")

    from assistant.memory import keys, people

    async def add(db: Database) -> tuple[str, str]:
        if source:
            return await keys.add(db, name, source, "command line")
        person = await people.by_email(db, ask_as)
        if person is None or not person.active:
            raise InputError(f"There is no active account for {ask_as}.", "See `assistant users list`.")
        return await keys.add_to_ask(db, name, person, "command line")

    key_id, key = _in_database(settings, add)
    scope = {"source": source} if source else {"ask_as": ask_as}
    if as_json:
        _print_json({"id": key_id, "key": key, **scope})
    else:
        out.print(key, markup=False, soft_wrap=True)
        what = f"for {source}" if source else f"asks as {ask_as}"
        err.print(f"Key {key_id} {what}. Keep it now: it is not shown again.", markup=False)


@keys_app.command("list")
def keys_list(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """List the keys, revoked ones too; never the keys themselves."""

    async def read(db: Database) -> list[dict[str, Any]]:
        from assistant.memory import keys

        return [r.model_dump(mode="json", exclude={"hash"}) for r in await keys.everyone(db)]

    _listed(load(config, data), "keys", as_json, read)


@keys_app.command("revoke")
def keys_revoke(key_id: str, config: Config = None, data: Data = None) -> None:
    """End a key, from the next request on. What it pushed or asked stays."""
    from assistant.memory import keys

    _in_database(load(config, data), lambda db: keys.revoke(db, key_id, "command line"))
    out.print(f"Key {key_id} is revoked.", markup=False)


@eval_app.command("retrieval")
def eval_retrieval(
    folder: Annotated[Path, typer.Argument(help="corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (BEIR).")],
    split: Annotated[str, typer.Option(help="Which qrels.")] = "test",
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Score text, vector and hybrid search on a judged collection, in a release made for it."""
    settings = load(config, data)
    with _Bar() as bar:
        result = _run(evaluation.retrieval(settings, folder, split, bar))
    if as_json:
        _print_json(result)
        return
    out.print(f"{result['documents']} documents, {result['queries']} queries")
    _table([{"search": name, **result[name]} for name in ("text", "vector", "hybrid")])


@eval_app.command("answers")
def eval_answers(
    cases: Annotated[Path | None, typer.Argument(help="A case file; default: the installation's own cases.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder to index for it; default: the sources.")] = None,
    details: Annotated[bool, typer.Option(help="Also the result of each case.")] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run a case file through the pipeline that answers people, on an index made for it."""
    settings = load(config, data)
    with _Bar() as bar:
        result = _run(evaluation.answers(settings, cases, documents, bar))
    if as_json:
        _print_json(result if details else {"kinds": result["kinds"]})
    else:
        _table([{"kind": kind, **row} for kind, row in result["kinds"].items()])


@eval_app.command("calibrate")
def eval_calibrate(
    cases: Annotated[Path | None, typer.Argument(help="A case file; default: the installation's own cases.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder to index for it; default: the sources.")] = None,
    foreign: Annotated[Path | None, typer.Option(help="Cases of another company, all to be declined.")] = None,
    declined_wrong: Annotated[float, typer.Option(min=0.01, max=0.5, help="Share of answerable ones to lose.")] = 0.1,
    write: Annotated[bool, typer.Option(help="Use the result from the next start on.")] = False,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Fit when to answer, and when to decline, on cases; the figures are of cases it was not fitted on."""
    settings = load(config, data)
    with _Bar() as bar:
        result = _run(evaluation.calibrate(settings, cases, documents, foreign, declined_wrong, bar))
    file = bootstrap.calibration_file(settings)
    if write:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if as_json:
        _print_json(result)
        return
    _table([{k: v for k, v in result.items() if k not in {"curve", "weights", "embedder"}}])
    _table(result["curve"])
    if write:
        out.print(f"Written to {file}; it counts from the next start on.", markup=False)


@eval_app.command("gate")
def eval_gate(
    floor: Annotated[Path, typer.Option(help="Least values, by kind of case.")] = Path("data/demo/floor.toml"),
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hold the installation's cases against the floor; exit 1 when one figure misses it."""
    settings = load(config, data)

    from assistant.ops import gate

    least = gate.read_floor(floor)
    with _Bar() as bar:
        kinds = _run(evaluation.answers(settings, None, None, bar))["kinds"]
    missed = gate.failures(kinds, least)
    if as_json:
        _print_json({"kinds": kinds, "missed": missed})
    else:
        _table([{"kind": kind, **row} for kind, row in kinds.items()])
        for sentence in missed:
            err.print(sentence, markup=False)
    raise typer.Exit(1 if missed else 0)


@app.command()
def usage(
    by: Annotated[str, typer.Option(help="day, segment, feature, model or person.")] = "day",
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """What was used and what it cost."""
    settings = load(config, data)
    if by not in {"day", "segment", "feature", "model", "person"}:
        raise InputError(f"--by {by}: no such grouping.", "Use day, segment, feature, model or person.")

    from assistant.ops import usage as ledger

    rows = _in_database(settings, lambda db: ledger.summary(db, by))  # type: ignore[arg-type]
    if as_json:
        _print_json({"by": by, "rows": rows})
    else:
        _table(rows)


@app.command()
def doctor(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Check everything that can be checked; exit 1 when something is wrong."""
    settings = load(config, data)
    checks = _run(examine(settings))
    if as_json:
        _print_json({"checks": checks})
    else:
        for check in checks:
            out.print(f"{check['state']:>5}  {check['name']}: {check['message']}", markup=False)
    raise typer.Exit(1 if any(c["state"] == "bad" for c in checks) else 0)


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        out.print("Nothing yet.")
        return
    table = Table(box=None)
    for key in rows[0]:
        figures = isinstance(rows[0][key], int | float) and not isinstance(rows[0][key], bool)
        table.add_column(key, justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    out.print(table)


def _cell(value: Any) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime):
        return Text(value.isoformat(timespec="seconds"))
    return Text(f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value))


def main() -> None:
    """Run the command line; an error a person can mend is one line on stderr."""
    mask_logs()
    try:
        app()
    except AssistantError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
