"""What tells documents that repeat each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("document") as table:
        table.add_column(sa.Column("text_hash", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("sketch", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("duplicate_of", sa.Integer(), nullable=True))
        table.create_index(op.f("ix_document_duplicate_of"), ["duplicate_of"])


def downgrade() -> None:
    with op.batch_alter_table("document") as table:
        table.drop_index(op.f("ix_document_duplicate_of"))
        table.drop_column("duplicate_of")
        table.drop_column("sketch")
        table.drop_column("text_hash")
