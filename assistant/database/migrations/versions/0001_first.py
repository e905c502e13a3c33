"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "access_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_audit_created_at"), "audit", ["created_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try", tables.Moment(), nullable=False),
        sa.Column("delivered_at", tables.Moment(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_outbox_delivered_at"), "outbox", ["delivered_at"], unique=False)
    op.create_index(op.f("ix_outbox_next_try"), "outbox", ["next_try"], unique=False)
    op.create_index(op.f("ix_outbox_subject"), "outbox", ["subject"], unique=False)
    op.create_table(
        "person",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("tokens_after", tables.Moment(), nullable=True),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_person_email"), "person", ["email"], unique=True)
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("embedder", sa.String(), nullable=False),
        sa.Column("splitter", sa.String(), nullable=False),
        sa.Column("parser", sa.String(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("vectors_hash", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.Column("activated_at", tables.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_release_state"), "release", ["state"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=True),
        sa.Column("started_at", tables.Moment(), nullable=False),
        sa.Column("beat_at", tables.Moment(), nullable=False),
        sa.Column("finished_at", tables.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_run_state"), "run", ["state"], unique=False)
    op.create_table(
        "source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "usage",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("turn", sa.String(), nullable=True),
        sa.Column("person_id", sa.String(), nullable=True),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("feature", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model_asked", sa.String(), nullable=False),
        sa.Column("model_served", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=False),
        sa.Column("tokens_out", sa.Integer(), nullable=False),
        sa.Column("tokens_cached", sa.Integer(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("ms_first", sa.Integer(), nullable=True),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_usage_day"), "usage", ["day"], unique=False)
    op.create_index(op.f("ix_usage_person_id"), "usage", ["person_id"], unique=False)
    op.create_index(op.f("ix_usage_turn"), "usage", ["turn"], unique=False)
    op.create_table(
        "active_release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=True),
        sa.Column("activated_by", sa.String(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("modified", tables.Moment(), nullable=True),
        sa.Column("valid_until", tables.Moment(), nullable=True),
        sa.Column("rule_id", sa.Integer(), nullable=False),
        sa.Column("indexed_rule", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("settings", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rule_id"],
            ["access_rule.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "path"),
    )
    op.create_index(op.f("ix_document_rule_id"), "document", ["rule_id"], unique=False)
    op.create_index(op.f("ix_document_source"), "document", ["source"], unique=False)
    op.create_index("ix_document_state_path", "document", ["state", "path"], unique=False)
    op.create_table(
        "thread",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_thread_person_id"), "thread", ["person_id"], unique=False)
    op.create_index(op.f("ix_thread_updated_at"), "thread", ["updated_at"], unique=False)
    op.create_table(
        "message",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["thread_id"],
            ["thread.id"],
        ),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_message_id"), "message", ["id"], unique=True)
    op.create_index(op.f("ix_message_parent_id"), "message", ["parent_id"], unique=False)
    op.create_index(op.f("ix_message_thread_id"), "message", ["thread_id"], unique=False)
    op.create_table(
        "case",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_case_message_id"), "case", ["message_id"], unique=False)
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id", "person_id"),
    )
    op.create_index(op.f("ix_feedback_message_id"), "feedback", ["message_id"], unique=False)
    op.create_index(op.f("ix_feedback_person_id"), "feedback", ["person_id"], unique=False)
    op.create_index(op.f("ix_feedback_updated_at"), "feedback", ["updated_at"], unique=False)
    op.create_table(
        "receipt",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=True),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["id"],
            ["message.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
        ),
        sa.ForeignKeyConstraint(
            ["thread_id"],
            ["thread.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_receipt_created_at"), "receipt", ["created_at"], unique=False)
    op.create_index(op.f("ix_receipt_level"), "receipt", ["level"], unique=False)
    op.create_index(op.f("ix_receipt_person_id"), "receipt", ["person_id"], unique=False)
    op.create_index(op.f("ix_receipt_release_id"), "receipt", ["release_id"], unique=False)
    op.create_index(op.f("ix_receipt_thread_id"), "receipt", ["thread_id"], unique=False)


def downgrade() -> None:

    op.drop_index(op.f("ix_receipt_thread_id"), table_name="receipt")
    op.drop_index(op.f("ix_receipt_release_id"), table_name="receipt")
    op.drop_index(op.f("ix_receipt_person_id"), table_name="receipt")
    op.drop_index(op.f("ix_receipt_level"), table_name="receipt")
    op.drop_index(op.f("ix_receipt_created_at"), table_name="receipt")
    op.drop_table("receipt")
    op.drop_index(op.f("ix_feedback_updated_at"), table_name="feedback")
    op.drop_index(op.f("ix_feedback_person_id"), table_name="feedback")
    op.drop_index(op.f("ix_feedback_message_id"), table_name="feedback")
    op.drop_table("feedback")
    op.drop_index(op.f("ix_case_message_id"), table_name="case")
    op.drop_table("case")
    op.drop_index(op.f("ix_message_thread_id"), table_name="message")
    op.drop_index(op.f("ix_message_parent_id"), table_name="message")
    op.drop_index(op.f("ix_message_id"), table_name="message")
    op.drop_table("message")
    op.drop_index(op.f("ix_thread_updated_at"), table_name="thread")
    op.drop_index(op.f("ix_thread_person_id"), table_name="thread")
    op.drop_table("thread")
    op.drop_index("ix_document_state_path", table_name="document")
    op.drop_index(op.f("ix_document_source"), table_name="document")
    op.drop_index(op.f("ix_document_rule_id"), table_name="document")
    op.drop_table("document")
    op.drop_table("active_release")
    op.drop_index(op.f("ix_usage_turn"), table_name="usage")
    op.drop_index(op.f("ix_usage_person_id"), table_name="usage")
    op.drop_index(op.f("ix_usage_day"), table_name="usage")
    op.drop_table("usage")
    op.drop_table("source")
    op.drop_index(op.f("ix_run_state"), table_name="run")
    op.drop_table("run")
    op.drop_index(op.f("ix_release_state"), table_name="release")
    op.drop_table("release")
    op.drop_index(op.f("ix_person_email"), table_name="person")
    op.drop_table("person")
    op.drop_index(op.f("ix_outbox_subject"), table_name="outbox")
    op.drop_index(op.f("ix_outbox_next_try"), table_name="outbox")
    op.drop_index(op.f("ix_outbox_delivered_at"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_audit_created_at"), table_name="audit")
    op.drop_table("audit")
    op.drop_table("access_rule")
