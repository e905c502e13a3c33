"""Every table of the product. Ids that leave the database are random; order is by `seq`, never by clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlalchemy import text as _sql
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from assistant.domain import now

__all__ = ["SQLModel"]


class Moment(TypeDecorator[datetime]):
    """An aware UTC time; SQLite keeps no zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def new_id() -> str:
    return str(uuid4())


def _seq() -> Any:
    # SQLite numbers only plain INTEGER keys by itself.
    return Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _moment(*, index: bool = False, nullable: bool = False) -> Any:
    return Column(Moment(), nullable=nullable, index=index)


def _words() -> Any:
    return Column(Text().with_variant(TSVECTOR(), "postgresql"), nullable=False, server_default="")


class Person(SQLModel, table=True):
    """Somebody who may sign in. `groups` leaves out `everyone`, which all are in."""

    id: str = Field(default_factory=new_id, primary_key=True)
    email: str = Field(unique=True, index=True, max_length=254)
    name: str = ""
    title: str = ""
    password_hash: str = ""
    groups: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    active: bool = True
    language: str = Field(
        default="", description="chosen by the person; empty: the browser says", sa_column_kwargs={"server_default": ""}
    )
    # Session tokens issued before this moment are void: sign-out and removal revoke by it.
    tokens_after: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class ProjectRow(SQLModel, table=True):
    """Talks of one person under instructions and documents of their own choosing."""

    __tablename__ = "project"

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    name: str
    instructions: str = Field(default="", sa_column=Column(Text, nullable=False))
    documents: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    only: bool = Field(default=False, description="whether nothing but its documents is searched")
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class Thread(SQLModel, table=True):
    """A talk of one person."""

    id: str = Field(default_factory=new_id, primary_key=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    title: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    updated_at: datetime = Field(default_factory=now, sa_column=_moment(index=True))
    extra: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    words: str = Field(
        default="",
        description="the title's, for searching",
        sa_column=Column(Text, nullable=False, server_default=""),
    )
    # The message that the shown branch ends with; null: the newest.
    leaf_id: str | None = None
    pinned_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    # Hidden from then on, and erased a while later: until then it can be brought back.
    deleted_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, index=True))
    share_key: str | None = Field(default=None, unique=True, index=True, description="opens it to colleagues")
    # No foreign key: SQLite would have to copy every talk to add one.
    project_id: str | None = Field(default=None, index=True)


class Message(SQLModel, table=True):
    """What a person wrote or was answered. `state`: streaming, complete, stopped, interrupted or failed.

    `parent_id` is the message that it follows: two with the same one are versions of each other.
    """

    # A few of them stream, of millions, and they are looked for again and again.
    __table_args__ = (
        Index(
            "ix_message_streaming",
            "owner",
            sqlite_where=_sql("state = 'streaming'"),
            postgresql_where=_sql("state = 'streaming'"),
        ),
    )

    seq: int | None = Field(default=None, sa_column=_seq())
    id: str = Field(default_factory=new_id, unique=True, index=True)
    thread_id: str = Field(foreign_key="thread.id", index=True)
    parent_id: str | None = Field(default=None, index=True)
    role: str = Field(description="user or assistant")
    text: str = Field(default="", sa_column=Column(Text, nullable=False))
    state: str = "complete"
    # The process that streams it, so that a start can tell a cut answer from a running one.
    owner: str = ""
    extra: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    words: str = Field(default="", description="for searching; none while it streams", sa_column=_words())
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class NoteRow(SQLModel, table=True):
    """What a person asked to be remembered. For that person only."""

    __tablename__ = "memory"

    seq: int | None = Field(default=None, sa_column=_seq())
    id: str = Field(default_factory=new_id, unique=True, index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    text: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class SummaryRow(SQLModel, table=True):
    """The talk up to a question, in short, for the model; `documents` are those that it may rest on."""

    __tablename__ = "summary"

    id: str = Field(primary_key=True, description="the last question that it covers")
    thread_id: str = Field(foreign_key="thread.id", index=True)
    text: str = Field(sa_column=Column(Text, nullable=False))
    turns: int = 0
    documents: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class ReceiptRow(SQLModel, table=True):
    """The receipt of an answer, whole, as JSON, under the answer's id."""

    __tablename__ = "receipt"

    id: str = Field(primary_key=True, foreign_key="message.id")
    thread_id: str = Field(foreign_key="thread.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    release_id: int | None = Field(default=None, index=True)
    level: str = Field(default="", index=True)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_column=_moment(index=True))


class FeedbackRow(SQLModel, table=True):
    """A person's rating of one answer: 1 good, 0 bad. One row for each person and answer."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("message_id", "person_id"),)

    id: str = Field(default_factory=new_id, primary_key=True)
    message_id: str = Field(foreign_key="message.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    value: int
    comment: str = Field(default="", sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    updated_at: datetime = Field(default_factory=now, sa_column=_moment(index=True))


class OwnerQuestion(SQLModel, table=True):
    """A question that our documents did not answer, sent to the owner of the nearest one. One for each answer.

    `owner` is what the document says, `owner_id` the account that it names; without one, admins pass it on.
    """

    __tablename__ = "owner_question"

    id: str = Field(default_factory=new_id, primary_key=True)
    answer_id: str = Field(foreign_key="message.id", unique=True, index=True)
    thread_id: str = Field(foreign_key="thread.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True, description="who asks")
    document_id: int
    owner: str
    owner_id: str | None = Field(default=None, foreign_key="person.id", index=True)
    text: str = Field(sa_column=Column(Text, nullable=False))
    reply: str = Field(default="", sa_column=Column(Text, nullable=False))
    replied_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    replied_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    seen_at: datetime | None = Field(
        default=None, sa_column=_moment(nullable=True), description="when who asked first saw the reply"
    )


class WorkRow(SQLModel, table=True):
    """Long work that an answer waits for, under its id. `state`: waiting, running, done or failed.

    `kept` is what need not be done again when the process that does it is gone.
    """

    __tablename__ = "work"

    id: str = Field(primary_key=True, foreign_key="message.id")
    thread_id: str = Field(foreign_key="thread.id", index=True)
    person_id: str = Field(foreign_key="person.id", index=True)
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    chosen_by: str = "rules"
    language: str = "en"
    state: str = Field(default="waiting", index=True)
    done: int = 0
    total: int = 0
    kept: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    owner: str = ""
    tries: int = 0
    beat_at: datetime = Field(default_factory=now, sa_column=_moment())
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    finished_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class StepFigure(SQLModel, table=True):
    """How long a step of an answer takes, in milliseconds, of the newest receipts."""

    __tablename__ = "step_figure"

    name: str = Field(primary_key=True)
    count: int
    p50: float
    p95: float
    measured_at: datetime = Field(default_factory=now, sa_column=_moment())


class UsageRow(SQLModel, table=True):
    """The ledger: one row for every model, embedding and rerank call, failed ones too. Money in nano-dollars."""

    __tablename__ = "usage"
    # Every turn asks what its person has spent today.
    __table_args__ = (Index("ix_usage_person_id_day", "person_id", "day"),)

    seq: int | None = Field(default=None, sa_column=_seq())
    turn: str | None = Field(default=None, index=True, description="the answer's id; null for indexing")
    person_id: str | None = None
    segment: str = ""
    feature: str = Field(description="answer, rewrite, title, judge, embed_query, embed_index, …")
    kind: str = "chat"
    provider: str = ""
    model_asked: str
    model_served: str = ""
    outcome: str = "ok"
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    cost_nano: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    ms_first: int | None = None
    ms: int = 0
    day: str = Field(index=True, description="UTC date, YYYY-MM-DD")
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class OutboxRow(SQLModel, table=True):
    """Something to deliver, written with what it tells of.

    `kind`: trace (subject: receipt), score (feedback) or alert (the channel that it goes to).
    """

    __tablename__ = "outbox"

    seq: int | None = Field(default=None, sa_column=_seq())
    kind: str
    subject: str = Field(index=True)
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    tries: int = 0
    next_try: datetime = Field(default_factory=now, sa_column=_moment(index=True))
    delivered_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True, index=True))
    error: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class AccessRule(SQLModel, table=True):
    """Which groups may read the documents of a rule. `key` is `source:glob`, stable over renamed groups.

    Documents that name groups themselves have a rule of their own, `source:glob & groups`.
    """

    __tablename__ = "access_rule"

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    groups: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class DocumentRow(SQLModel, table=True):
    """A file or page as the newest run found it. `state`: indexed, empty, failed, leaving or removed.

    One that is leaving is found by nobody any more, and taken out of the index by the next run.
    """

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("source", "path"), Index("ix_document_state_path", "state", "path"))

    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(index=True)
    path: str
    title: str = ""
    asks: str = Field(
        default="", description="a question of its own that it answers", sa_column_kwargs={"server_default": ""}
    )
    link: str = ""
    owner: str = ""
    language: str = ""
    media_type: str = ""
    modified: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    valid_until: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    rule_id: int = Field(foreign_key="access_rule.id", index=True)
    indexed_rule: int | None = Field(default=None, description="the rule that its passages carry in the active release")
    narrowed: dict[str, list[str]] = Field(
        default_factory=dict,
        sa_column=Column(JSON, nullable=False, server_default="{}"),
        description="groups that narrow its rule: said beside the document (`source`) or within it (`file`)",
    )
    sha256: str = ""
    mark: str = Field(
        default="", description="what the source said of its version", sa_column_kwargs={"server_default": ""}
    )
    size: int = 0
    text_hash: str = Field(
        default="", description="names its words, whatever their layout", sa_column_kwargs={"server_default": ""}
    )
    sketch: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    duplicate_of: int | None = Field(default=None, index=True, description="the newer document that says the same")
    settings: str = Field(default="", description="fingerprint of parser, splitter and embedder")
    state: str = Field(default="indexed")
    reason: str = ""
    passages: int = 0
    first_seen: datetime = Field(default_factory=now, sa_column=_moment())
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class SourceRow(SQLModel, table=True):
    """A source, and where its files are; `configured` is false for one named on the command line.

    `settings` are those of `assistant.toml` when it was last seen, so that its documents can be opened without; they
    hold no secret. `problem` says why its last listing failed, `note` what it left out.
    """

    __tablename__ = "source"

    name: str = Field(primary_key=True)
    kind: str = Field(default="folder", sa_column_kwargs={"server_default": "folder"})
    location: str
    configured: bool = True
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}"))
    problem: str = Field(default="", sa_column_kwargs={"server_default": ""})
    note: str = Field(default="", sa_column_kwargs={"server_default": ""})
    last_run: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    next_run: datetime | None = Field(default=None, sa_column=_moment(nullable=True, index=True))
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class ReleaseRow(SQLModel, table=True):
    """What is searched: a LanceDB table at a version. `state`: building, held, ready, retired, damaged or dropped.

    One that never went live has no `activated_at`; one that is live has no `retired_at`.
    """

    __tablename__ = "release"

    id: int | None = Field(default=None, primary_key=True)
    table_name: str
    version: int = 0
    embedder: str = ""
    splitter: str = ""
    parser: str = ""
    documents: int = 0
    passages: int = 0
    content_hash: str = Field(default="", description="over ids, texts and access of all passages, order-free")
    vectors_hash: str = ""
    # Which settings name its embedder, so that it can be searched whatever the settings name today; no secret.
    embedded_by: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    state: str = Field(default="building", index=True)
    note: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    activated_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    retired_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class ReleaseReport(SQLModel, table=True):
    """What the gate found of a release beside the one that was active. No text of a document."""

    __tablename__ = "release_report"

    release_id: int = Field(primary_key=True, foreign_key="release.id")
    against_id: int | None = None
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class ReleaseChange(SQLModel, table=True):
    """What becomes of a document's row when a held release is accepted: the new values by column, never its rule."""

    __tablename__ = "release_change"

    release_id: int = Field(primary_key=True, foreign_key="release.id")
    document_id: int = Field(primary_key=True)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class ActiveRelease(SQLModel, table=True):
    """The one row that says which release people are answered from."""

    __tablename__ = "active_release"

    id: int = Field(default=1, primary_key=True)
    release_id: int | None = Field(default=None, foreign_key="release.id")
    activated_by: str = ""
    updated_at: datetime = Field(default_factory=now, sa_column=_moment())


class ContradictionRow(SQLModel, table=True):
    """Two documents that disagree: the passages, and where in each the sentence stands. No text of a document.

    One that somebody dismissed is kept, so that it is not found again.
    """

    __tablename__ = "contradiction"
    __table_args__ = (UniqueConstraint("one_passage", "other_passage", "one_start", "other_start"),)

    id: int | None = Field(default=None, primary_key=True)
    one_id: int = Field(index=True, description="the document with the smaller number")
    other_id: int = Field(index=True)
    one_passage: str
    other_passage: str
    one_start: int
    one_end: int
    other_start: int
    other_end: int
    found_at: datetime = Field(default_factory=now, sa_column=_moment())
    dismissed_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class GlossaryRow(SQLModel, table=True):
    """A word that people say, and what the documents call it. Whoever asks may be told of it."""

    __tablename__ = "glossary"

    key: str = Field(primary_key=True, description="`said`, however it is written")
    said: str
    meant: str
    by: str = Field(description="address of the admin, or what a program or the command line is called")
    at: datetime = Field(default_factory=now, sa_column=_moment())


class RunRow(SQLModel, table=True):
    """One indexing job. `state`: running, done, failed or abandoned (its process is gone)."""

    __tablename__ = "run"

    id: int | None = Field(default=None, primary_key=True)
    started_by: str = ""
    host: str = ""
    pid: int = 0
    state: str = Field(default="running", index=True)
    done: int = 0
    total: int = 0
    message: str = ""
    report: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    release_id: int | None = None
    started_at: datetime = Field(default_factory=now, sa_column=_moment())
    beat_at: datetime = Field(default_factory=now, sa_column=_moment())
    finished_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class SignInTry(SQLModel, table=True):
    """A sign-in that failed, or is being checked. `key` is the hash of an account or of an address."""

    __tablename__ = "sign_in_try"

    seq: int | None = Field(default=None, sa_column=_seq())
    key: str = Field(index=True)
    at: datetime = Field(default_factory=now, sa_column=_moment(index=True))


class LeaseRow(SQLModel, table=True):
    """Something that one process holds until a moment, and renews while it lives."""

    __tablename__ = "lease"

    name: str = Field(primary_key=True)
    owner: str = Field(index=True)
    until: datetime = Field(sa_column=_moment())


class ApiKeyRow(SQLModel, table=True):
    """A key of a program: by its `scope` it may `push` documents into one source, or `ask` as one person.

    Only a hash of it is kept.
    """

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str
    scope: str = "push"
    source: str = Field(default="", index=True)
    person_id: str | None = Field(default=None, foreign_key="person.id")
    hash: str
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())
    used_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=_moment(nullable=True))


class ApiQuestionRow(SQLModel, table=True):
    """A question that a program asked with a key, under the id of its answer."""

    __tablename__ = "api_question"

    id: str = Field(primary_key=True)
    key_id: str = Field(foreign_key="api_key.id", index=True)
    thread_id: str = Field(index=True)
    created_at: datetime = Field(default_factory=now, sa_column=_moment(index=True))


class CaseRow(SQLModel, table=True):
    """A case made of a rating or a declined question, before and after it joined the case file."""

    __tablename__ = "case"

    id: str = Field(primary_key=True)
    message_id: str | None = Field(default=None, foreign_key="message.id", index=True)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created_by: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment())


class AuditRow(SQLModel, table=True):
    """Who did what as an admin."""

    __tablename__ = "audit"

    seq: int | None = Field(default=None, sa_column=_seq())
    person: str
    action: str
    subject: str = ""
    created_at: datetime = Field(default_factory=now, sa_column=_moment(index=True))
