"""When a document was first found. Of those of before it is known when they were last read, which is no earlier."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("document", sa.Column("first_seen", tables.Moment(), nullable=True))
    op.execute("UPDATE document SET first_seen = updated_at")
    with op.batch_alter_table("document") as table:
        table.alter_column("first_seen", existing_type=tables.Moment(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("document") as table:
        table.drop_column("first_seen")
