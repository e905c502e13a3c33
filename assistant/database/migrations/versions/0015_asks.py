"""The question that a document asks itself. Those of before are filled in when they are read again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("document", sa.Column("asks", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("document") as table:
        table.drop_column("asks")
