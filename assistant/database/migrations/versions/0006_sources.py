"""What a source was when it was last seen and when it is due; groups that documents name themselves; keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("source") as table:
        table.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="folder"))
        table.add_column(sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("problem", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("note", sa.String(), nullable=False, server_default=""))
        table.add_column(sa.Column("last_run", tables.Moment(), nullable=True))
        table.add_column(sa.Column("next_run", tables.Moment(), nullable=True))
        table.create_index(op.f("ix_source_next_run"), ["next_run"], unique=False)
    with op.batch_alter_table("document") as table:
        table.add_column(sa.Column("narrowed", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("mark", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.Column("used_at", tables.Moment(), nullable=True),
        sa.Column("revoked_at", tables.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_api_key_source"), "api_key", ["source"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_api_key_source"), table_name="api_key")
    op.drop_table("api_key")
    with op.batch_alter_table("document") as table:
        table.drop_column("mark")
        table.drop_column("narrowed")
    with op.batch_alter_table("source") as table:
        table.drop_index(op.f("ix_source_next_run"))
        for name in ("next_run", "last_run", "note", "problem", "settings", "kind"):
            table.drop_column(name)
