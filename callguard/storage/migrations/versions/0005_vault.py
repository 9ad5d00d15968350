"""Recordings sealed while they run, keys that are retired and destroyed, places to which recordings
are delivered, and holds."""

import sqlalchemy as sa
from alembic import op

from callguard.storage import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("recordings") as table:
        table.add_column(sa.Column("keyed_for", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("missing_bytes", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("reserved", sa.LargeBinary(), nullable=True))
    op.create_index(op.f("ix_recordings_sealed_at"), "recordings", ["sealed_at"])
    op.create_index(
        op.f("ix_recordings_tenant_id_keyed_for_id"), "recordings", ["tenant_id", "keyed_for", "id"]
    )
    with op.batch_alter_table("tenant_keys") as table:
        table.alter_column("wrapped_identity", existing_type=sa.LargeBinary(), nullable=True)
        table.add_column(sa.Column("retired_at", types.Instant(), nullable=True))
        table.add_column(sa.Column("destroyed_at", types.Instant(), nullable=True))
    with op.batch_alter_table("tenant_recipients") as table:
        table.add_column(sa.Column("name", sa.String(length=63), nullable=False, server_default=""))
    op.create_table(
        "tenant_places",
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("keep", sa.Boolean(), nullable=False),
        sa.Column("added_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_places_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_tenant_places")),
    )
    op.create_table(
        "deliveries",
        sa.Column("recording_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.String(length=63), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", types.Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("begun_at", types.Instant(), nullable=False),
        sa.Column("confirmed_at", types.Instant(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("proof", sa.JSON(), nullable=True),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_deliveries_tenant_id")
        ),
        sa.PrimaryKeyConstraint("recording_id", "place", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_state_next_at"), "deliveries", ["state", "next_at"])
    op.create_index(op.f("ix_deliveries_expires_at"), "deliveries", ["expires_at"])
    op.create_table(
        "holds",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=True),
        sa.Column("subject", sa.String(length=254), nullable=True),
        sa.Column("call_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("review_at", types.Instant(), nullable=True),
        sa.Column("released_at", types.Instant(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_holds_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    with op.batch_alter_table("erasures") as table:
        table.drop_constraint(op.f("uq_erasures_object_id"), type_="unique")
        table.create_unique_constraint(
            op.f("uq_erasures_object_id_data_class"), ["object_id", "data_class"]
        )
    op.create_index(op.f("ix_erasures_done_at"), "erasures", ["done_at"])
    op.create_table(
        "erasure_mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_mark")),
    )
