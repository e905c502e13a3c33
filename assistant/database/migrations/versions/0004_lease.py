"""What a process holds while it lives, and the one that runs the jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("until", tables.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_lease_owner"), "lease", ["owner"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_lease_owner"), table_name="lease")
    op.drop_table("lease")
