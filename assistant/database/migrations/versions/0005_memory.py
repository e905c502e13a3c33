"""Notes, summaries, branches, pins, undo, sharing, and full text of talks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from assistant.database import tables
from assistant.database.words import kept

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BATCH = 500
_WORDS = sa.Text().with_variant(TSVECTOR(), "postgresql")
_TRIGGERS = {
    "message_fts_insert": (
        "AFTER INSERT ON message WHEN new.words <> ''",
        "INSERT INTO message_fts(rowid, words) VALUES (new.seq, new.words);",
    ),
    "message_fts_delete": (
        "AFTER DELETE ON message WHEN old.words <> ''",
        "INSERT INTO message_fts(message_fts, rowid, words) VALUES ('delete', old.seq, old.words);",
    ),
    "message_fts_change": (
        "AFTER UPDATE OF words ON message WHEN new.words <> old.words AND old.words <> ''",
        "INSERT INTO message_fts(message_fts, rowid, words) VALUES ('delete', old.seq, old.words);",
    ),
    "message_fts_changed": (
        "AFTER UPDATE OF words ON message WHEN new.words <> old.words AND new.words <> ''",
        "INSERT INTO message_fts(rowid, words) VALUES (new.seq, new.words);",
    ),
}


def upgrade() -> None:
    op.add_column("message", sa.Column("words", _WORDS, nullable=False, server_default=""))
    op.add_column("thread", sa.Column("words", sa.Text(), nullable=False, server_default=""))
    op.add_column("thread", sa.Column("leaf_id", sa.String(), nullable=True))
    op.add_column("thread", sa.Column("pinned_at", tables.Moment(), nullable=True))
    op.add_column("thread", sa.Column("deleted_at", tables.Moment(), nullable=True))
    op.add_column("thread", sa.Column("share_key", sa.String(), nullable=True))
    op.create_index(op.f("ix_thread_deleted_at"), "thread", ["deleted_at"])
    op.create_index(op.f("ix_thread_share_key"), "thread", ["share_key"], unique=True)
    op.create_table(
        "memory",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.Column("updated_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"]),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_memory_id"), "memory", ["id"], unique=True)
    op.create_index(op.f("ix_memory_person_id"), "memory", ["person_id"])
    op.create_table(
        "summary",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("documents", sa.JSON(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["thread.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_summary_thread_id"), "summary", ["thread_id"])
    if op.get_bind().dialect.name == "sqlite":
        # The words are folded and cut by us; `ascii` leaves them as they are.
        columns = "words, content='message', content_rowid='seq', tokenize='ascii'"
        op.execute(f"CREATE VIRTUAL TABLE message_fts USING fts5({columns})")
        for name, (when, then) in _TRIGGERS.items():
            op.execute(f"CREATE TRIGGER {name} {when} BEGIN {then} END")
    else:
        op.create_index("ix_message_words", "message", ["words"], postgresql_using="gin")
    _fill()


def _fill() -> None:
    """What is there already: its words, and which message each question follows."""
    connection = op.get_bind()
    message = sa.table(
        "message", sa.column("seq"), sa.column("text"), sa.column("words", _WORDS), sa.column("role"),
        sa.column("state"), sa.column("id"), sa.column("parent_id"), sa.column("thread_id"),
    )  # fmt: skip
    at = 0
    while rows := connection.execute(
        sa.select(message.c.seq, message.c.text, message.c.state)
        .where(message.c.seq > at)
        .order_by(message.c.seq)
        .limit(BATCH)
    ).all():
        for row in rows:
            if row.state != "streaming":
                connection.execute(sa.update(message).where(message.c.seq == row.seq).values(words=kept(row.text)))
        at = rows[-1].seq
    earlier = message.alias()
    follows = (
        sa.select(earlier.c.id)
        .where(earlier.c.thread_id == message.c.thread_id, earlier.c.seq < message.c.seq)
        .order_by(earlier.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(sa.update(message).where(message.c.role == "user").values(parent_id=follows))
    thread = sa.table("thread", sa.column("id"), sa.column("title"), sa.column("words"))
    for thread_id, title in connection.execute(sa.select(thread.c.id, thread.c.title)).all():
        connection.execute(sa.update(thread).where(thread.c.id == thread_id).values(words=kept(title)))


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in _TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TABLE message_fts")
    else:
        op.drop_index("ix_message_words", table_name="message")
    op.drop_table("summary")
    op.drop_table("memory")
    op.drop_index(op.f("ix_thread_share_key"), table_name="thread")
    op.drop_index(op.f("ix_thread_deleted_at"), table_name="thread")
    with op.batch_alter_table("thread") as table:
        for name in ("share_key", "deleted_at", "pinned_at", "leaf_id", "words"):
            table.drop_column(name)
    with op.batch_alter_table("message") as table:
        table.drop_column("words")
