"""Holds figures against a floor, and a new release against the active one: what must be reached to go live."""

from __future__ import annotations

import asyncio
import hashlib
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.engine import Database
from assistant.database.tables import AuditRow, ReleaseReport, ReleaseRow
from assistant.domain import Case, Passage
from assistant.errors import AssistantError, InputError, ReleaseError
from assistant.index import release
from assistant.index.release import Judgement
from assistant.index.rerank import Reader
from assistant.index.retrieve import Opened
from assistant.index.scoring import leaning
from assistant.index.store import Store, Table
from assistant.index.unrestricted import Unrestricted
from assistant.settings import GateSettings

METRICS = ("hit@1", "hit@5", "mrr")
# Passages that are looked at for each question, searched so many at a time.
DEPTH = 10
AT_ONCE = 8
SHOWN = 3
LISTED = 100
# So many of the newest reports are looked at for the best release.
REPORTS = 200
SIDES = ("then", "now")


def read_floor(path: Path) -> dict[str, dict[str, float]]:
    """A floor file: a table for each kind of case; `hit@5 = 0.9` is a least value, `max_declined = 0.1` a most."""
    if not path.is_file():
        raise InputError(f"{path}: no such floor file.", "Name a .toml file of least values by --floor.")
    try:
        floor = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not readable as a floor: {error}.", "Name a .toml file of least values.") from error
    for kind, limits in floor.items():
        if not isinstance(limits, dict) or not all(isinstance(v, int | float) for v in limits.values()):
            raise InputError(f"{path}: {kind}: is not a table of numbers.", "Write e.g. [single] and hit@5 = 0.9.")
    return floor


def failures(kinds: dict[str, dict[str, Any]], floor: dict[str, dict[str, float]]) -> list[str]:
    """A sentence for every figure that misses its floor; a figure that could not be measured misses it too."""
    missed = []
    for kind, limits in floor.items():
        for key, limit in limits.items():
            name = key.removeprefix("max_")
            value = kinds.get(kind, {}).get(name)
            if value is None:
                missed.append(f"{kind}: {name} was not measured")
            elif key.startswith("max_") and value > limit:
                missed.append(f"{kind}: {name} is {value:.3f}, at most {limit:.3f} is allowed")
            elif not key.startswith("max_") and value < limit:
                missed.append(f"{kind}: {name} is {value:.3f}, at least {limit:.3f} is needed")
    return missed


@dataclass(frozen=True)
class RetrievalGate:
    """Searches the cases in a new release and in the active one, without a model: `release.Check`.

    Where an earlier release did better than the active one the new one is held to that too, swept or not, so that small
    losses do not add up; a release that a person accepted is where this begins anew. `embedder_of` gives the embedder
    that a release was made with; where it cannot be had any more, the release is searched by its text alone.
    `weight_before` is how much the turn before counts in a follow-up.
    """

    db: Database
    store: Store
    cases: Sequence[Case]
    settings: GateSettings
    embedder: Reader
    embedder_of: Callable[[ReleaseRow], Reader | None]
    weight_before: float = 0.0

    async def __call__(self, made: ReleaseRow, against: ReleaseRow, removed: Collection[str]) -> Judgement:
        """Whether the new release finds what the active one does.

        A case whose documents all left the sources does not count, but is named in the report; nor does one whose
        documents the active release never had.
        """
        began = time.monotonic()
        if not self.settings.enabled or not any(c.doc for c in self.cases):
            return Judgement()
        then, now_ = await self._search(against), await self._search(made)
        held = await _paths(then.table)
        expected = {c.id: {d for d in [c.doc, *c.also] if d} & held for c in self.cases}
        gone = {c.id: sorted(expected[c.id]) for c in self.cases if expected[c.id] and expected[c.id] <= set(removed)}
        asked = [c for c in self.cases if expected[c.id] and c.id not in gone]
        if not asked:
            return Judgement(body={"cases": 0, "gone": gone, "note": "no case has a document that both releases hold"})
        before, after = await then.all_of(asked), await now_.all_of(asked)
        ranks = {c.id: [_rank(found[c.id], expected[c.id] - set(removed)) for found in (before, after)] for c in asked}
        figures = [_figures(r[side] for r in ranks.values()) for side in (0, 1)]
        worse = sorted((c for c in asked if _share(ranks[c.id][1]) < _share(ranks[c.id][0])), key=lambda c: c.id)
        body = {
            "cases": len(asked),
            "then": figures[0],
            "now": figures[1],
            "worse": [
                {
                    "case": c.id,
                    "question": c.turns[-1],
                    "expected": sorted(expected[c.id]),
                    "rank": ranks[c.id],
                    "then": _shown(before[c.id]),
                    "now": _shown(after[c.id]),
                }
                for c in worse[:LISTED]
            ],
            "better": [c.id for c in asked if _share(ranks[c.id][1]) > _share(ranks[c.id][0])],
            "gone": gone,
            "by_text_alone": [side for side, s in (("then", then), ("now", now_)) if s.by_text_alone],
            "seconds": round(time.monotonic() - began, 2),
        }
        reason = _reason(figures[0], figures[1], self.settings.max_drop)
        # By what a case asks and expects: one that was edited since is another.
        marked = {side: {_mark(c): ranks[c.id][n] for c in asked} for n, side in enumerate(SIDES)}
        body["ranks"] = marked
        best = await self._best(made, against, marked)
        gained = [c for c in self.cases if not expected[c.id] and c.doc]
        if reason and (back := await self._way_back(against, now_, gained, after)):
            # Cases compete with every document: where those that had left come back, what is left alone finds less.
            reason, body["back_to"] = "", back
        elif best is not None and not reason:
            body["best"] = {"release": best.release, **best.reached}
            if fell := _fallen(best.reached, best.now, self.settings.max_drop):
                reason = f"Less is found in it than in release {best.release}, the best so far: {fell}."
        return Judgement(reason, body)

    async def _best(
        self, made: ReleaseRow, against: ReleaseRow, ranks: dict[str, dict[str, int | None]]
    ) -> _Best | None:
        """The release that once was live and found most, if that was more than the active one finds now.

        It may have been swept since: what it found is in the gate's reports. Only cases that were searched in both
        count, and a release in which too few of them were does not.
        """
        async with self.db.read() as session:
            since, lived = await _lived(session)
            others = set(lived) - {made.id, against.id}
            newest = select(ReleaseReport).where(col(ReleaseReport.release_id) >= since)
            newest = newest.order_by(col(ReleaseReport.release_id).desc()).limit(REPORTS)
            reports = (await session.exec(newest)).all()
        found: list[_Best] = []
        for report in reports:
            told = report.body.get("ranks", {})
            for number, side in zip((report.against_id, report.release_id), SIDES, strict=True):
                shared = ranks["now"].keys() & told.get(side, {}).keys()
                if number is not None and number in others and len(shared) > len(ranks["now"]) / 2:
                    reached, then, now_ = (
                        _figures(r[mark] for mark in shared) for r in (told[side], ranks["then"], ranks["now"])
                    )
                    found.append(_Best(number, reached, now_, sum(reached.values()) - sum(then.values())))
        best = max(found, key=lambda b: b.more, default=None)
        return best if best is not None and best.more > 0 else None

    async def _way_back(
        self,
        against: ReleaseRow,
        now_: _Search,
        gained: Sequence[Case],
        after: Mapping[str, tuple[Passage, ...]],
    ) -> int | None:
        """The kept release that was live before documents left, if they are back and the new one finds what it found.

        Only releases older than the active one count: whoever rolled back from a newer one did not want that again.
        """
        there = await _paths(now_.table)
        back = [c for c in gained if {c.doc, *c.also} & there]
        if not back:
            return None
        async with self.db.read() as session:
            _, lived = await _lived(session)
        for number in (n for n in lived if n < (against.id or 0)):
            try:
                row, table = await release.open_kept(self.db, self.store, number)
            except AssistantError:
                continue
            had = await _paths(table)
            if not all({c.doc, *c.also} & had for c in back):
                continue
            cases = [*back, *(c for c in self.cases if c.id in after)]
            then, found = await (await self._search(row)).all_of(cases), {**after, **await now_.all_of(back)}
            reached = [
                _figures(_rank(side[c.id], {d for d in (c.doc, *c.also) if d}) for c in cases) for side in (then, found)
            ]
            return number if not _fallen(reached[0], reached[1], self.settings.max_drop) else None
        return None

    async def changed(self, first: int, second: int) -> list[dict[str, Any]]:
        """The cases whose best passages differ between two kept releases, with those of each."""
        searches = [await self._search((await release.open_kept(self.db, self.store, i))[0]) for i in (first, second)]
        before, after = [await s.all_of(self.cases) for s in searches]
        return [
            {"case": c.id, "question": c.turns[-1], "then": _shown(before[c.id]), "now": _shown(after[c.id])}
            for c in self.cases
            if [p.text_hash for p in before[c.id][:SHOWN]] != [p.text_hash for p in after[c.id][:SHOWN]]
        ]

    async def _search(self, row: ReleaseRow) -> _Search:
        table = await self.store.open(row.table_name, row.version)
        embedder = self.embedder_of(row) or self.embedder
        search = Unrestricted(self.db, self.store, embedder, Opened(row, table))
        return _Search(search, table, self.weight_before, by_text_alone=embedder.fingerprint != row.embedder)


async def _lived(session: AsyncSession) -> tuple[int, list[int]]:
    """The release that a person accepted last, 0 for none, and those since then that were ever live, newest first."""
    accepted = select(AuditRow.subject).where(AuditRow.action == "accept release")
    since = max((int(s) for s in (await session.exec(accepted)).all()), default=0)
    lived = select(ReleaseRow.id).where(col(ReleaseRow.activated_at).is_not(None), col(ReleaseRow.id) >= since)
    numbers = (await session.exec(lived.order_by(col(ReleaseRow.id).desc()))).all()
    return since, [n for n in numbers if n is not None]


async def _paths(table: Table) -> set[str]:
    return {path for path, _ in (await table.documents()).values()}


@dataclass(frozen=True)
class _Best:
    """An earlier release: what it reached, what the new one reaches on the same cases, `more` than the active one."""

    release: int
    reached: dict[str, float]
    now: dict[str, float]
    more: float


@dataclass(frozen=True)
class _Search:
    search: Unrestricted
    table: Table
    weight_before: float
    by_text_alone: bool

    async def all_of(self, cases: Sequence[Case]) -> dict[str, tuple[Passage, ...]]:
        """What each case finds. Raises `ReleaseError` when the release cannot be searched."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(case: Case) -> tuple[Passage, ...]:
            passages: tuple[Passage, ...] = ()
            before: list[tuple[str, float]] = []
            async with room:
                for turn in case.turns:
                    passages = (await self.search.everything(turn, DEPTH, before)).passages
                    # As the engine searches a thread without a model: the turn before and what it was answered with,
                    # which is here the best passage, for answers quote it.
                    said = [turn, *(leaning(p.text) for p in passages[:1])]
                    before = [(text, self.weight_before) for text in said]
            return passages

        try:
            found = await asyncio.gather(*(one(c) for c in cases))
        except (OSError, RuntimeError) as error:
            raise ReleaseError(
                f"The cases could not be searched ({type(error).__name__}).", "Run `assistant doctor`."
            ) from error
        return dict(zip((c.id for c in cases), found, strict=True))


def _rank(passages: Iterable[Passage], expected: Collection[str]) -> int | None:
    """Where the first expected document stands among the documents found, from 1."""
    documents = list(dict.fromkeys(p.document for p in passages))
    return next((n for n, d in enumerate(documents, 1) if d in expected), None)


def _mark(case: Case) -> str:
    told = "\n".join([*case.turns, case.doc or "", *sorted(case.also)])
    return f"{case.id}:{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _share(rank: int | None) -> float:
    return 1 / rank if rank else 0.0


def _figures(ranks: Iterable[int | None]) -> dict[str, float]:
    known = list(ranks)
    hits = {f"hit@{k}": sum(bool(r and r <= k) for r in known) / len(known) for k in (1, 5)}
    return {name: round(v, 4) for name, v in {**hits, "mrr": sum(map(_share, known)) / len(known)}.items()}


def _reason(then: dict[str, float], now_: dict[str, float], allowed: float) -> str:
    fell = _fallen(then, now_, allowed)
    return f"The cases find less in it: {fell}." if fell else ""


def _fallen(then: dict[str, float], now_: dict[str, float], allowed: float) -> str:
    fallen = [f"{m} fell from {then[m]:.3f} to {now_[m]:.3f}" for m in METRICS if then[m] - now_[m] > allowed + 1e-9]
    return f"{', '.join(fallen)}; {allowed:g} is allowed" if fallen else ""


def _shown(passages: Sequence[Passage]) -> list[dict[str, str]]:
    """Which passages stood first, without their text: that is looked up in the release while it is kept."""
    return [
        {"passage": p.id, "document": p.document, "title": p.title, "place": p.place.label()} for p in passages[:SHOWN]
    ]
