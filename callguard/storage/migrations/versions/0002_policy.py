"""What rules look at: contacts, attempts, campaigns; a tenant's own values; consents given
elsewhere than in a call; keys of subjects as long as an e-mail address."""

import sqlalchemy as sa
from alembic import op

from callguard.storage import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SHORT, _LONG = sa.String(length=40), sa.String(length=254)
_CLUSTERED = {"sqlite_with_rowid": False}


def upgrade() -> None:
    with op.batch_alter_table("opt_outs") as table:
        table.alter_column("subject", existing_type=_SHORT, type_=_LONG)
    with op.batch_alter_table("calls", table_kwargs=_CLUSTERED) as table:
        table.alter_column("subject", existing_type=_SHORT, type_=_LONG)
        table.add_column(
            sa.Column("channel", sa.String(length=8), nullable=False, server_default="voice")
        )
        table.add_column(sa.Column("debt", sa.Text(), nullable=True))
    with op.batch_alter_table("consents", table_kwargs=_CLUSTERED) as table:
        table.alter_column("subject", existing_type=_SHORT, type_=_LONG)
        table.alter_column("call_id", existing_type=sa.String(length=36), nullable=True)
        table.alter_column("prompt", existing_type=sa.Text(), nullable=True)
        table.alter_column("language", existing_type=sa.String(length=16), nullable=True)
        table.alter_column("heard_ms", existing_type=sa.Integer(), nullable=True)
        table.alter_column("length_ms", existing_type=sa.Integer(), nullable=True)
        table.add_column(sa.Column("proof", sa.Text(), nullable=True))
        table.add_column(sa.Column("actor", sa.Text(), nullable=True))
        table.add_column(sa.Column("until", types.Instant(), nullable=True))
    op.create_index(op.f("ix_consents_tenant_id"), "consents", ["tenant_id", "subject"])
    op.create_table(
        "attempts",
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("call_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("debt", sa.Text(), nullable=True),
        sa.Column("answered_at", types.Instant(), nullable=True),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_attempts_tenant_id")),
        sa.PrimaryKeyConstraint("subject", "at", "call_id", name=op.f("pk_attempts")),
        **_CLUSTERED,
    )
    op.create_index(op.f("ix_attempts_expires_at"), "attempts", ["expires_at"])
    op.create_table(
        "contacts",
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("subject", sa.String(length=254), nullable=False),
        sa.Column("known", sa.JSON(), nullable=False),
        sa.Column("updated_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_contacts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "subject", name=op.f("pk_contacts")),
        **_CLUSTERED,
    )
    op.create_table(
        "campaign_days",
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("abandoned", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_campaign_days_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "campaign", "day", name=op.f("pk_campaign_days")),
        **_CLUSTERED,
    )
    op.create_table(
        "tenant_rules",
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("rule", sa.String(length=120), nullable=False),
        sa.Column("change", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_tenant_rules_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "rule", name=op.f("pk_tenant_rules")),
    )
