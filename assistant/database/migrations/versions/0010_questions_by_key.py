"""Keys with which a program may ask as one person, and the questions that it asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from assistant.database import tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.add_column(sa.Column("scope", sa.String(), nullable=False, server_default="push"))
        table.add_column(sa.Column("person_id", sa.String(), nullable=True))
        table.create_foreign_key("fk_api_key_person_id_person", "person", ["person_id"], ["id"])
    op.create_table(
        "api_question",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("created_at", tables.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for name in ("key_id", "thread_id", "created_at"):
        op.create_index(op.f(f"ix_api_question_{name}"), "api_question", [name])


def downgrade() -> None:
    op.drop_table("api_question")
    op.execute("DELETE FROM api_key WHERE scope <> 'push'")
    with op.batch_alter_table("api_key") as table:
        table.drop_constraint("fk_api_key_person_id_person", type_="foreignkey")
        table.drop_column("person_id")
        table.drop_column("scope")
