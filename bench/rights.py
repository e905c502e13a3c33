"""Whether anybody sees what they may not, through every door and every change: `make bench-rights CASES=10000`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from unittest import mock

from assistant.database.engine import Database
from assistant.domain import Asker
from assistant.errors import AssistantError, NotFoundError
from assistant.index import access, filling, release
from assistant.index.retrieve import Knowledge
from assistant.settings import AccessEntry, Source
from tests.index.conftest import Index, InThisProcess, asker, put

PEOPLE, GROUPS, DOCUMENTS = 20, 50, 60
# A change of rights, of groups or of the release comes after so many cases.
CHANGE_EVERY = 25
WORDS = "budget holiday server salary merger lunch parking roadmap audit travel".split()
_VALUES = (
    "' OR '1'='1", "x' OR 'x'='x", "1; DROP TABLE document; --", "') OR 1=1 --", '" OR ""="', "%", "_", "*", "O'Brien",
    "\\' OR 1=1", "'; DELETE FROM passages; --", "NULL", "true", "access >= 0", "id IS NOT NULL", "1) OR (1=1", "../..",
    "\x00", "\ud800", "ｕｎｉｏｎ　ｓｅｌｅｃｔ",
)  # fmt: skip
_SHAPES = ("{}", "a{}", "{}a", "'{}'", '"{}"', "({})", "{0}{0}", "everyone{}", "group1{}", " {} ")
HOSTILE = [shape.format(value) for shape, value in product(_SHAPES, _VALUES)]


class World:
    """A company of people, groups, rules and documents that change; knows by itself who may read what."""

    def __init__(self, index: Index, rng: random.Random, documents: int = DOCUMENTS, people: int = PEOPLE) -> None:
        self.index, self.rng = index, rng
        self.groups = [f"group{n}" for n in range(GROUPS)]
        self.names = [f"{n}.md" for n in range(documents)]
        self.people = [self._person() for _ in range(people)]
        self.rules: dict[str, set[str]] = {}
        self.passages: dict[str, tuple[str, int]] = {}
        self.settled = False
        self.leaks: list[str] = []
        self.did: Counter[str] = Counter()
        self.knowledge: Knowledge

    def _person(self) -> Asker:
        return asker(*self.rng.sample(self.groups, self.rng.randint(0, 6)))

    def page(self, name: str) -> str:
        rng = self.rng
        return f"# Paper {name[:-3]}\n\nThe {rng.choice(WORDS)} and {rng.choice(WORDS)} of paper{name[:-3]} in detail."

    async def build(self) -> None:
        self._rule_anew()
        put(self.index.folder, {name: self.page(name) for name in self.names})
        await self._run()

    def _rule_anew(self, share: float = 1.0) -> None:
        for name in self.names:
            if self.rng.random() < share:
                self.rules[name] = set(self.rng.sample(self.groups, self.rng.randint(1, 4)))
        # Some documents have no rule of their own and are everyone's.
        self.rules |= {name: {"everyone"} for name in self.names if self.rng.random() < share / 6}
        entries = [AccessEntry(match=n, groups=sorted(g)) for n, g in self.rules.items() if g != {"everyone"}]
        self.index.source = Source(name="share", path=self.index.folder, access=entries)

    async def _run(self) -> None:
        await self.index.sync()
        self.knowledge = self.index.knowledge
        table = (await self.knowledge.release()).table
        rows = [r async for r in table.rows(["id", "document", "document_id"])]
        self.passages |= {r["id"]: (r["document"], r["document_id"]) for r in rows}
        self.settled = True

    async def change(self) -> None:
        """One of the ways in which who may read what changes."""
        what = self.rng.choice(["rules", "rules", "groups", "run", "back", "edit"])
        self.did[what] += 1
        if what == "rules":
            self._rule_anew(0.3)
            async with self.index.db.write() as session:
                await access.realign(session, [self.index.source])
            self.settled = False
        elif what == "groups":
            self.people[self.rng.randrange(len(self.people))] = self._person()
        elif what == "back":
            opened = await self.knowledge.release()
            number = self.rng.randint(max(1, (opened.row.id or 1) - 2), opened.row.id or 1)
            try:
                await release.activate(self.index.db, self.index.store, number, "bench")
                self.settled = False
            except AssistantError:
                self.did["back refused"] += 1
        else:
            if what == "edit":
                name = self.rng.choice(self.names)
                put(self.index.folder, {name: self.page(name)})
            await self._run()

    def may(self, who: Asker, document: str) -> bool:
        return bool(self.rules[document] & who.groups)

    async def case(self) -> None:
        """One question or one request of one person, through one of the doors."""
        who = self.rng.choice(self.people)
        doors: list[Callable[[Asker], Awaitable[None]]] = [self._search, self._follow_up, self._passage, self._original]
        door = self.rng.choice([*doors, self._count])
        self.did[door.__name__.strip("_")] += 1
        await door(who)

    async def _search(self, who: Asker, before: tuple[tuple[str, float], ...] = ()) -> None:
        query = self.rng.choice([*WORDS, f"paper{self.rng.randrange(len(self.names))} in detail"])
        found = await self.knowledge.search(who, query, self.rng.choice([1, 6, 20]), before)
        seen = {p.document for p in found.passages} | {n.document for n in found.nearest}
        self.leaks += [f"search shows {name}" for name in seen if not self.may(who, name)]

    async def _follow_up(self, who: Asker) -> None:
        hidden = self.rng.choice(self.names)
        await self._search(who, ((f"what does paper{hidden[:-3]} say", 0.6), ("an answer before it", 0.4)))

    async def _passage(self, who: Asker) -> None:
        key, (name, _) = self.rng.choice(list(self.passages.items()))
        release_id = self.rng.choice([None, 1, 2, (await self.knowledge.release()).row.id])
        try:
            shown = await self.knowledge.passage(who, key, release_id)
        except NotFoundError:
            return
        if not self.may(who, name) or not self.may(who, shown.passage.document):
            self.leaks.append(f"a citation opens {name}")

    async def _original(self, who: Asker) -> None:
        name, number = self.rng.choice(list(self.passages.values()))
        try:
            original = await self.knowledge.original(who, number)
        except NotFoundError:
            if self.may(who, name):
                self.leaks.append(f"the original of {name} is kept from somebody who may read it")
            return
        if not self.may(who, original.path.name):
            self.leaks.append(f"the original of {name} opens")

    async def _count(self, who: Asker) -> None:
        """What a person may read is neither more than theirs nor thinned out by what is not."""
        found = await self.knowledge.search(who, "paper", 3 * len(self.names))
        seen = {p.document for p in found.passages}
        mine = {name for name in self.names if self.may(who, name)}
        if not seen <= mine or (self.settled and seen != mine):
            self.leaks.append(f"{len(seen)} documents are counted of {len(mine)}")

    async def hostile(self, value: str) -> int:
        """Rows beyond an exact match that a hostile id, name or group brings."""
        who = asker(value)
        table = (await self.knowledge.release()).table
        extra = len(await table.passages([value]))
        try:
            await self.knowledge.passage(who, value)
            extra += 1
        except NotFoundError:
            pass
        for person in (who, Asker(person_id=value, email=value, groups=frozenset({"everyone", value}))):
            found = await self.knowledge.search(person, f"paper {value}", 50)
            extra += sum(not self.may(person, p.document) for p in found.passages)
        return extra


@asynccontextmanager
async def world(rng: random.Random, documents: int = DOCUMENTS, people: int = PEOPLE) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as scratch, mock.patch.object(filling, "Workers", InThisProcess):
        db = Database(f"sqlite+aiosqlite:///{scratch}/assistant.db")
        try:
            await db.migrate()
            made = World(Index(Path(scratch), db), rng, documents, people)
            await made.build()
            yield made
        finally:
            await db.close()
            shutil.rmtree(scratch, ignore_errors=True)


async def measure(cases: int) -> dict[str, object]:
    async with world(random.Random(17)) as made:
        for number in range(cases):
            if number % CHANGE_EVERY == CHANGE_EVERY - 1:
                await made.change()
            await made.case()
            if number % 500 == 0:
                print(f"{number} of {cases}", file=sys.stderr)  # noqa: T201 - progress
        extra = sum([await made.hostile(value) for value in HOSTILE])
        for leak in made.leaks[:10]:
            print(leak, file=sys.stderr)  # noqa: T201 - what to look at
        return {
            "cases": cases,
            "leaks": len(made.leaks),
            "hostile": len(HOSTILE),
            "extra_rows": extra,
            "did": dict(made.did),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(os.environ.get("CASES") or 10_000)))))  # noqa: T201 - the bench's result
