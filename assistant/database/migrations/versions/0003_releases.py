"""Releases that are held, with what the gate found of them, and the embedder that each was made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("release", sa.Column("embedded_by", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("release", sa.Column("retired_at", tables.Moment(), nullable=True))
    op.create_table(
        "release_report",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("against_id", sa.Integer(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"]),
        sa.PrimaryKeyConstraint("release_id"),
    )
    op.create_table(
        "release_change",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"]),
        sa.PrimaryKeyConstraint("release_id", "document_id"),
    )


def downgrade() -> None:
    op.drop_table("release_change")
    op.drop_table("release_report")
    op.drop_column("release", "retired_at")
    op.drop_column("release", "embedded_by")
