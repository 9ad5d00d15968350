"""Retention by data class in spans of the calendar, holds of cases and periods, fuller call
records, exports, archives, terminations, and who purges."""

import sqlalchemy as sa
from alembic import op

from callguard.ids import uuid7
from callguard.storage import types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _tenants()
    _calls()
    _contacts()
    with op.batch_alter_table("holds") as table:
        table.add_column(sa.Column("case_id", sa.String(length=63), nullable=True))
        table.add_column(sa.Column("from_at", types.Instant(), nullable=True))
        table.add_column(sa.Column("to_at", types.Instant(), nullable=True))
    columns = ["subject", "call_id", "tenant_id", "to_at"]
    op.create_index(op.f("ix_holds_subject_call_id_tenant_id_to_at"), "holds", columns)
    op.create_index(op.f("ix_holds_call_id"), "holds", ["call_id"])
    with op.batch_alter_table("purges") as table:
        table.add_column(
            sa.Column("kind", sa.String(length=12), nullable=False, server_default="purge")
        )
        table.add_column(sa.Column("tenant", sa.String(length=63), nullable=True))
    _exports()
    _ends()
    _states()


def _tenants() -> None:
    with op.batch_alter_table("tenants") as table:
        table.add_column(sa.Column("ends_at", types.Instant(), nullable=True))
    with op.batch_alter_table("tenant_retention") as table:
        table.add_column(sa.Column("span", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("anonymise", sa.Boolean(), nullable=False, server_default="0"))
        table.add_column(sa.Column("at_end", sa.JSON(none_as_null=True), nullable=True))
    op.execute("UPDATE tenant_retention SET span = days || 'd'")
    with op.batch_alter_table("tenant_retention") as table:
        table.drop_column("days")


def _calls() -> None:
    with op.batch_alter_table("call_records") as table:
        table.add_column(sa.Column("direction", sa.String(length=8), nullable=True))
        table.add_column(sa.Column("purpose", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("campaign", sa.Text(), nullable=True))
        table.add_column(sa.Column("agent", sa.Text(), nullable=True))
        table.add_column(sa.Column("subject", sa.String(length=254), nullable=True))
        table.add_column(sa.Column("own_number", sa.String(length=80), nullable=True))
        table.add_column(sa.Column("routed_to", sa.Text(), nullable=True))
        table.add_column(sa.Column("cause", sa.Integer(), nullable=True))
        table.add_column(sa.Column("account_code", sa.String(length=80), nullable=True))
    op.create_index(
        op.f("ix_call_records_tenant_id_ended_at"), "call_records", ["tenant_id", "ended_at"]
    )
    op.create_index(op.f("ix_call_records_pbx_linkedid"), "call_records", ["pbx", "linkedid"])
    with op.batch_alter_table("cdr_cursors") as table:
        table.add_column(sa.Column("head", sa.String(length=64), nullable=True))
    op.create_table(
        "call_statistics",
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("campaign", sa.String(length=128), nullable=False),
        sa.Column("disposition", sa.String(length=16), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("billed_s", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_call_statistics_tenant_id")
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id",
            "day",
            "direction",
            "purpose",
            "campaign",
            "disposition",
            name=op.f("pk_call_statistics"),
        ),
        sqlite_with_rowid=False,
    )


def _contacts() -> None:
    with op.batch_alter_table("contacts") as table:
        table.add_column(sa.Column("id", sa.String(length=36), nullable=True))
        table.add_column(
            sa.Column("origin", sa.String(length=8), nullable=False, server_default="manual")
        )
        table.add_column(sa.Column("exchanged_at", types.Instant(), nullable=True))
        table.add_column(sa.Column("expires_at", types.Instant(), nullable=True))
    op.create_index(op.f("ix_contacts_expires_at"), "contacts", ["expires_at"])
    op.create_index(op.f("ix_contacts_id"), "contacts", ["id"])
    connection = op.get_bind()
    contacts = sa.table(
        "contacts",
        sa.column("tenant_id", sa.String),
        sa.column("subject", sa.String),
        sa.column("updated_at", types.Instant()),
        sa.column("id", sa.String),
    )
    for row in connection.execute(sa.select(contacts)).all():
        mine = (contacts.c.tenant_id == row.tenant_id) & (contacts.c.subject == row.subject)
        connection.execute(sa.update(contacts).where(mine).values(id=str(uuid7(row.updated_at))))


def _exports() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("finished_at", types.Instant(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", types.Instant(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_exports_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index(op.f("ix_exports_expires_at"), "exports", ["expires_at"])


def _ends() -> None:
    op.create_table(
        "archives",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("data_class", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.String(length=120), nullable=True),
        sa.Column("sealed_bytes", sa.BigInteger(), nullable=True),
        sa.Column("payload_sha256", sa.String(length=64), nullable=True),
        sa.Column("at", types.Instant(), nullable=False),
        sa.Column("expires_at", types.Instant(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_archives_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archives")),
    )
    op.create_index(op.f("ix_archives_expires_at"), "archives", ["expires_at"])
    op.create_table(
        "terminations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=63), nullable=False),
        sa.Column("ends_at", types.Instant(), nullable=False),
        sa.Column("choice", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("asked_at", types.Instant(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("finished_at", types.Instant(), nullable=True),
        sa.Column("certificate", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_terminations_tenant_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terminations")),
    )
    op.create_index(op.f("ix_terminations_state"), "terminations", ["state"])


def _states() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=120), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("until", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "clock_marks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seen_at", types.Instant(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("fault_at", types.Instant(), nullable=True),
        sa.Column("confirmed_at", types.Instant(), nullable=True),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_marks")),
    )
    op.create_table(
        "audit_beginning",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", types.Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_beginning")),
    )
