"""When who asked an owner saw the reply. Replies of before are no news."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("owner_question", sa.Column("seen_at", tables.Moment(), nullable=True))
    op.execute("UPDATE owner_question SET seen_at = replied_at")


def downgrade() -> None:
    with op.batch_alter_table("owner_question") as table:
        table.drop_column("seen_at")
