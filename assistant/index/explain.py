"""Why a person finds what they find: every stage of a search, and the rule behind each document that is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sqlmodel import col, select

from assistant.database.engine import Database
from assistant.database.tables import AccessRule, AuditRow, DocumentRow
from assistant.domain import Asker, Plain
from assistant.errors import InputError
from assistant.index import access, glossary
from assistant.index.rerank import WordCodes
from assistant.index.retrieve import Knowledge
from assistant.index.store import Table
from assistant.index.unrestricted import Unrestricted, Watched

# Hits of a stage that are listed, and passages among whose documents the hidden ones are looked for.
LISTED = 10
BEST = 20


class Hit(Plain):
    """A passage at a stage, with the score it has there: BM25, cosine or their normalised sum."""

    passage: str
    document: str
    title: str
    place: str
    score: float


class Hidden(Plain):
    """A document that the question would find, and what keeps it from the person.

    `cause`: its rule does not admit them, the release carries an older narrower rule, or it left the index.
    """

    document: str
    title: str
    score: float
    rule: str
    groups: tuple[str, ...] = ()
    reason: str
    cause: Literal["not_admitted", "older_rule", "gone"] = "not_admitted"


class Explanation(Plain):
    """`searched` is the question with the meaning of its words that stand in the glossary.

    `stages` are text, vector and fused over everything, then after_rights and reranked as the person has them.
    """

    person: str
    groups: tuple[str, ...]
    question: str
    searched: str
    release: int
    stages: dict[str, tuple[Hit, ...]]
    hidden: tuple[Hidden, ...]
    signals: dict[str, float]
    word_codes: WordCodes = "model"


async def explain(
    db: Database,
    knowledge: Knowledge,
    admin: Asker,
    person: Asker,
    question: str,
    k: int = 6,
    *,
    terms: glossary.Terms = (),
) -> Explanation:
    """What `person` would find, and what not. Leaves a line in the audit log.

    Raises `InputError` when `admin` is none: it names documents that the person may not know of.
    """
    if not admin.is_admin:
        raise InputError("Only an admin may search as somebody else.", "Ask somebody of the group admins.")
    async with db.write() as session:
        session.add(AuditRow(person=admin.email, action="search as", subject=person.email))
    own, everything = await knowledge.pinned(Watched), await knowledge.pinned(Unrestricted)
    # What the person may not read goes to no provider.
    everything.reranker = None
    searched = glossary.read(question, terms).text
    found = await own.search(person, searched, k)
    unrestricted = await everything.everything(searched, BEST)
    table = (await own.release()).table
    best = {p.document_id: p for p in reversed(unrestricted.passages)}
    why = await _why(db, person, {i: p.access for i, p in best.items()})
    return Explanation(
        person=person.email,
        groups=tuple(sorted(person.groups)),
        question=question,
        searched=searched,
        release=found.release_id,
        stages={
            **{name: await _hits(table, getattr(everything.stages, name)) for name in ("text", "vector", "fused")},
            "after_rights": await _hits(table, own.stages.fused),
            "reranked": tuple(
                Hit(passage=p.id, document=p.document, title=p.title, place=p.place.label(), score=p.scores.fused)
                for p in found.passages
            ),
        },
        hidden=tuple(
            Hidden(document=p.document, title=p.title, score=p.scores.fused, **told)
            for p in sorted(best.values(), key=lambda p: -p.scores.fused)
            if (told := why.get(p.document_id)) is not None
        ),
        signals=found.signals,
        word_codes=found.word_codes,
    )


async def _hits(table: Table, scores: Mapping[str, float]) -> tuple[Hit, ...]:
    first = sorted(scores, key=lambda i: (-scores[i], i))[:LISTED]
    rows = {r["id"]: r for r in await table.passages(first)}
    return tuple(
        Hit(
            passage=i,
            document=rows[i]["document"],
            title=rows[i]["title"],
            place=" · ".join(rows[i]["headings"] or ()),
            score=round(scores[i], 4),
        )
        for i in first
    )


async def _why(db: Database, person: Asker, carried: Mapping[int, int]) -> dict[int, dict[str, Any]]:
    """For each document that the person may not see: its rule, the groups that it admits, and a reason in words.

    `carried` is the rule that a document's passages carry in the release.
    """
    async with db.read() as session:
        rules = {r.id: r for r in (await session.exec(select(AccessRule))).all()}
        mine = set(await access.rules_of(session, person))
        documents = await _rows(session, carried)
    out: dict[int, dict[str, Any]] = {}
    for i, document in documents.items():
        rule, old = rules[document.rule_id], rules.get(carried[i])
        if document.state != "indexed":
            reason = f"it is no longer in the index: {document.reason or document.state}"
            out[i] = {"rule": rule.key, "groups": tuple(rule.groups), "reason": reason, "cause": "gone"}
        elif document.rule_id not in mine:
            readers = (
                f"{', '.join(rule.groups)} only" if rule.groups else "nobody: no group is admitted by all its rules"
            )
            reason = f"it may be read by {readers}"
            out[i] = {"rule": rule.key, "groups": tuple(rule.groups), "reason": reason, "cause": "not_admitted"}
        elif carried[i] not in mine and old is not None:
            reason = "the release still carries an older, narrower rule; the next run brings it along"
            out[i] = {"rule": old.key, "groups": tuple(old.groups), "reason": reason, "cause": "older_rule"}
    return out


async def _rows(session: Any, documents: Iterable[int]) -> dict[int, DocumentRow]:
    found = await session.exec(select(DocumentRow).where(col(DocumentRow.id).in_(list(documents))))
    return {d.id: d for d in found.all()}
