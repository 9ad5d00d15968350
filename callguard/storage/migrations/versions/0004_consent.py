"""What asked for each consent and whose channel gave it, and what happened to a recording while it
ran."""

import sqlalchemy as sa
from alembic import op

from callguard.storage import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CLUSTERED = {"sqlite_with_rowid": False}


def upgrade() -> None:
    with op.batch_alter_table("consents", table_kwargs=_CLUSTERED) as table:
        table.add_column(sa.Column("mode", sa.String(length=20), nullable=True))
        table.add_column(sa.Column("rules", sa.JSON(), nullable=True))
        table.add_column(sa.Column("pbx", sa.String(length=63), nullable=True))
        table.add_column(sa.Column("channel_uniqueid", sa.String(length=150), nullable=True))
        table.add_column(sa.Column("words", sa.Text(), nullable=True))
        table.add_column(sa.Column("asked", sa.Integer(), nullable=True))
    op.create_table(
        "recording_events",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("recording_id", sa.String(length=36), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_recording_events_tenant_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_events")),
        sqlite_with_rowid=False,
    )
    for column in ("call_id", "recording_id", "expires_at"):
        op.create_index(op.f(f"ix_recording_events_{column}"), "recording_events", [column])
