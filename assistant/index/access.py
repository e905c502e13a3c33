"""Who may read what: rules live in SQL, so a change holds from the next question and survives a rollback."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, update
from sqlalchemy import select as sql_select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from assistant.database.tables import AccessRule, DocumentRow
from assistant.domain import Asker, Plain, now
from assistant.index.sources.narrowing import narrower
from assistant.index.sources.origin import matches
from assistant.settings import Source

# Stands in a rule's key between the rule of the settings and the groups that its documents name themselves.
AND = " ∩ "
# The state of a document that is in the index still and that nobody may find any more.
LEAVING = "leaving"
Said = Mapping[str, Sequence[str]]
# Documents whose rule changes by one statement; databases bound how many values one may name.
TOGETHER = 500


class Change(Plain):
    """What a change of rules does to a person: paths of documents that are then theirs to read, or no longer."""

    person: str
    gains: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()


def key(source: str, pattern: str) -> str:
    return f"{source}:{pattern}"


def rule_for(source: Source, path: str) -> str:
    """The key of the rule that a document falls under: the last entry that matches, else the source's own."""
    for entry in reversed(source.access):
        if matches(path, entry.match):
            return key(source.name, entry.match)
    return key(source.name, "**")


def groups_for(source: Source, path: str, said: Said | None = None) -> list[str]:
    """The groups that may read a document: those of the settings, narrowed by what the document says itself."""
    groups = next((e.groups for e in reversed(source.access) if matches(path, e.match)), source.groups)
    return _left(groups, said or {})


def _left(groups: Sequence[str], said: Said) -> list[str]:
    left = sorted(set(groups))
    for named in said.values():
        left = narrower(left, named)
    return left


def _narrowed_key(base: str, said: Said) -> str:
    named = sorted({", ".join(sorted(groups)) for groups in said.values()})
    return AND.join([base, *named])


async def narrow(session: AsyncSession, document: DocumentRow, said: Said) -> None:
    """Give a document the rule it falls under now, narrowed by the groups that it names itself. Holds at once."""
    rule = await session.get(AccessRule, document.rule_id)
    base = rule.key.partition(AND)[0] if rule else ""
    known = (await session.exec(select(AccessRule).where(AccessRule.key == base))).first()
    # Without a rule of the settings nobody may read it.
    wider = known.groups if known else []
    document.narrowed = {k: list(v) for k, v in said.items()}
    document.rule_id = await _rule(session, _narrowed_key(base, said), _left(wider, said))


async def _rule(session: AsyncSession, name: str, groups: list[str]) -> int:
    """The id of a rule with these groups."""
    rule = (await session.exec(select(AccessRule).where(AccessRule.key == name))).first() or AccessRule(key=name)
    if rule.groups != groups or rule.id is None:
        rule.groups, rule.updated_at = groups, now()
        session.add(rule)
        await session.flush()
    assert rule.id is not None
    return rule.id


async def rule_at(session: AsyncSession, source: Source, path: str, said: Said) -> int:
    """The id of the rule that a document at this path falls under. One that is there is taken as it is."""
    name = _narrowed_key(rule_for(source, path), said)
    rule = (await session.exec(select(AccessRule).where(AccessRule.key == name))).first()
    if rule is not None and rule.id is not None:
        return rule.id
    return await _rule(session, name, groups_for(source, path, said))


async def withdraw(session: AsyncSession, source: str, path: str) -> None:
    """Let nobody find a document from the next question on; its passages leave with the next run."""
    statement = select(DocumentRow).where(
        DocumentRow.source == source, DocumentRow.path == path, DocumentRow.state == "indexed"
    )
    if (document := (await session.exec(statement)).first()) is not None:
        document.state, document.updated_at = LEAVING, now()
        session.add(document)


async def reconcile(session: AsyncSession, sources: Iterable[Source]) -> dict[str, int]:
    """Bring the rules of these sources to what the settings say. Returns the ids of all rules by key."""
    wanted: dict[str, list[str]] = {}
    for source in sources:
        wanted[key(source.name, "**")] = sorted(set(source.groups))
        wanted |= {key(source.name, e.match): sorted(set(e.groups)) for e in source.access}
    rules = {r.key: r for r in (await session.exec(select(AccessRule))).all()}
    for name, groups in wanted.items():
        rule = rules.get(name) or AccessRule(key=name)
        if rule.groups != groups or rule.id is None:
            rule.groups, rule.updated_at = groups, now()
            session.add(rule)
            rules[name] = rule
    await session.flush()
    return {name: rule.id for name, rule in rules.items() if rule.id is not None}


async def realign(session: AsyncSession, sources: Iterable[Source]) -> int:
    """Give every known document of these sources the rule its path falls under now. Returns how many changed."""
    wanted = list(sources)
    return await align(session, wanted, await reconcile(session, wanted))


async def align(session: AsyncSession, sources: Iterable[Source], rules: Mapping[str, int]) -> int:
    """`realign` where the rules are as the settings say already: `rules` are their ids by key."""
    by_name = {s.name: s for s in sources}
    ids = dict(rules)
    narrowed: set[str] = set()
    moved: defaultdict[int, list[int]] = defaultdict(list)
    for document, source_name, path, rule, said in await _documents(session, by_name):
        source = by_name[source_name]
        name = _narrowed_key(rule_for(source, path), said)
        if said and name not in narrowed:
            narrowed.add(name)
            ids[name] = await _rule(session, name, groups_for(source, path, said))
        if rule != ids[name]:
            moved[ids[name]].append(document)
    for rule, documents in moved.items():
        for at in range(0, len(documents), TOGETHER):
            these = col(DocumentRow.id).in_(documents[at : at + TOGETHER])
            await session.exec(update(DocumentRow).where(these).values(rule_id=rule))
    return sum(map(len, moved.values()))


async def _documents(session: AsyncSession, sources: Iterable[str], *only: Any) -> Sequence[Any]:
    """Number, source, path, rule and narrowing groups of the documents of these sources; whole rows are far slower."""
    what = (DocumentRow.id, DocumentRow.source, DocumentRow.path, DocumentRow.rule_id, DocumentRow.narrowed)
    statement: Any = select(*(col(c) for c in what)).where(col(DocumentRow.source).in_(sources), *only)
    found: Sequence[Any] = (await session.exec(statement)).all()
    return found


async def in_force(session: AsyncSession) -> list[tuple[AccessRule, int]]:
    """The rules under which documents can be found, with how many, by their keys."""
    count = func.count(col(DocumentRow.id))
    statement: Any = (
        sql_select(AccessRule, count)
        .join(DocumentRow, col(DocumentRow.rule_id) == col(AccessRule.id))
        .where(col(DocumentRow.state) == "indexed")
        .group_by(col(AccessRule.id))
        .order_by(col(AccessRule.key))
    )
    return [(rule, int(n)) for rule, n in (await session.exec(statement)).all()]


async def groups_named(session: AsyncSession, sources: Iterable[Source]) -> set[str]:
    """The groups that stand in a rule, be it one of the settings that no run has seen yet."""
    named = {g for groups in (await session.exec(select(AccessRule.groups))).all() for g in groups}
    return named.union(*(s.groups for s in sources), *(e.groups for s in sources for e in s.access))


async def preview_groups(session: AsyncSession, before: Asker, after: Asker) -> Change:
    """What a person would gain and lose, were they of the groups of `after`. Writes nothing."""
    rules = {r.id: set(r.groups) for r in (await session.exec(select(AccessRule))).all()}
    statement: Any = select(col(DocumentRow.path), col(DocumentRow.rule_id)).where(col(DocumentRow.state) == "indexed")
    paths: dict[bool, list[str]] = {True: [], False: []}
    for path, rule in (await session.exec(statement)).all():
        then, now_ = (bool(rules.get(rule, set()) & who.groups) for who in (before, after))
        if then != now_:
            paths[now_].append(path)
    return Change(person=before.email, gains=tuple(sorted(paths[True])), loses=tuple(sorted(paths[False])))


async def preview(session: AsyncSession, sources: Iterable[Source], people: Iterable[Asker]) -> list[Change]:
    """Who would gain and lose which documents, were the rules of these sources what the settings say. Writes nothing.

    Only people for whom something changes are listed.
    """
    by_name = {s.name: s for s in sources}
    rules = {r.id: set(r.groups) for r in (await session.exec(select(AccessRule))).all()}
    moves = []
    for _, source, path, rule, said in await _documents(session, by_name, col(DocumentRow.state) == "indexed"):
        before, after = rules.get(rule, set()), set(groups_for(by_name[source], path, said))
        if before != after:
            moves.append((path, before, after))
    changes = []
    for person in people:
        gains = tuple(sorted(p for p, before, after in moves if person.groups & after and not person.groups & before))
        loses = tuple(sorted(p for p, before, after in moves if person.groups & before and not person.groups & after))
        if gains or loses:
            changes.append(Change(person=person.email, gains=gains, loses=loses))
    return changes


async def rules_of(session: AsyncSession, asker: Asker) -> list[int]:
    """The ids of the rules that admit the asker, for the search's prefilter."""
    rules = (await session.exec(select(AccessRule.id, AccessRule.groups))).all()
    return sorted(i for i, groups in rules if i is not None and asker.groups.intersection(groups))


async def allowed(session: AsyncSession, rules: Sequence[int], documents: Iterable[int]) -> dict[int, DocumentRow]:
    """Of these documents the ones that the rules admit today and that are still there."""
    statement = select(DocumentRow).where(
        col(DocumentRow.id).in_(set(documents)), col(DocumentRow.rule_id).in_(rules), DocumentRow.state == "indexed"
    )
    return {d.id: d for d in (await session.exec(statement)).all() if d.id is not None}


async def readable(session: AsyncSession, asker: Asker, documents: Iterable[int]) -> dict[int, DocumentRow]:
    """Of these documents the ones that the asker may read today."""
    return await allowed(session, await rules_of(session, asker), documents)


async def main_language(session: AsyncSession, asker: Asker) -> str:
    """The language of most documents that the asker may read and whose language is known; nothing where none leads."""
    statement = (
        select(DocumentRow.language, func.count())
        .where(col(DocumentRow.rule_id).in_(await rules_of(session, asker)), DocumentRow.state == "indexed")
        .where(DocumentRow.language != "")
        .group_by(col(DocumentRow.language))
    )
    counts = dict((await session.exec(statement)).all())
    best = max(counts, key=lambda name: counts[name], default="")
    return best if best and 2 * counts[best] > sum(counts.values()) else ""
