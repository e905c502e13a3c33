"""Indexes for what every turn and every few seconds ask: a person's costs of today, and the answers under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STREAMING = sa.text("state = 'streaming'")


def upgrade() -> None:
    op.create_index("ix_usage_person_id_day", "usage", ["person_id", "day"])
    op.drop_index("ix_usage_person_id", "usage")
    op.create_index("ix_message_streaming", "message", ["owner"], sqlite_where=STREAMING, postgresql_where=STREAMING)


def downgrade() -> None:
    op.drop_index("ix_message_streaming", "message")
    op.create_index("ix_usage_person_id", "usage", ["person_id"])
    op.drop_index("ix_usage_person_id_day", "usage")
