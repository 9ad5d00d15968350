"""Opt-outs by channel and with evidence, claims that wait for a call back, the snapshots of
registries that were taken or refused, and scrubbed lists."""

import sqlalchemy as sa
from alembic import op

from callguard.storage import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CLUSTERED = {"sqlite_with_rowid": False}


def upgrade() -> None:
    with op.batch_alter_table("opt_outs") as table:
        table.alter_column("channel", existing_type=sa.String(length=32), new_column_name="way")
        table.add_column(sa.Column("channels", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("evidence", sa.Text(), nullable=True))
    with op.batch_alter_table("calls", table_kwargs=_CLUSTERED) as table:
        table.add_column(sa.Column("registries", sa.JSON(), nullable=True))
    op.create_table(
        "opt_out_claims",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("pbx", sa.String(length=63), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("settled_at", types.Instant(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_opt_out_claims_tenant_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opt_out_claims")),
    )
    op.create_index(op.f("ix_opt_out_claims_state"), "opt_out_claims", ["state"])
    op.create_index(op.f("ix_opt_out_claims_expires_at"), "opt_out_claims", ["expires_at"])
    op.create_table(
        "registry_imports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("registry", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("list_date", sa.Date(), nullable=True),
        sa.Column("count", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("replaced_at", types.Instant(), nullable=True),
        sa.Column("dropped_at", types.Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_imports")),
    )
    op.create_index(op.f("ix_registry_imports_registry_at"), "registry_imports", ["registry", "at"])
    op.create_table(
        "scrubs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("finished_at", types.Instant(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_scrubs_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scrubs")),
    )
    op.create_index(op.f("ix_scrubs_expires_at"), "scrubs", ["expires_at"])
