"""Pairs of passages that contradict each other, for whoever looks after their documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contradiction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("one_id", sa.Integer(), nullable=False),
        sa.Column("other_id", sa.Integer(), nullable=False),
        sa.Column("one_passage", sa.String(), nullable=False),
        sa.Column("other_passage", sa.String(), nullable=False),
        sa.Column("one_start", sa.Integer(), nullable=False),
        sa.Column("one_end", sa.Integer(), nullable=False),
        sa.Column("other_start", sa.Integer(), nullable=False),
        sa.Column("other_end", sa.Integer(), nullable=False),
        sa.Column("found_at", tables.Moment(), nullable=False),
        sa.Column("dismissed_at", tables.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("one_passage", "other_passage", "one_start", "other_start"),
    )
    op.create_index(op.f("ix_contradiction_one_id"), "contradiction", ["one_id"], unique=False)
    op.create_index(op.f("ix_contradiction_other_id"), "contradiction", ["other_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_contradiction_other_id"), table_name="contradiction")
    op.drop_index(op.f("ix_contradiction_one_id"), table_name="contradiction")
    op.drop_table("contradiction")
