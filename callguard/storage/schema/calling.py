"""What is decided at call time, and what the caps count."""

from sqlalchemy import JSON, Column, Date, ForeignKey, Index, Integer, String, Table, Text

from callguard.storage.schema.base import SUBJECT, metadata, tenant_column
from callguard.storage.types import Instant

calls = Table(
    "calls",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(nullable=True),
    Column("pbx", String(63), nullable=False),
    Column("uniqueid", String(150), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("channel", String(8), nullable=False, server_default="voice"),
    Column("purpose", String(16)),
    Column("campaign", Text),
    Column("debt", Text),
    Column("agent", Text),
    Column("subject", String(SUBJECT), nullable=False),
    Column("caller", String(80), nullable=False),
    Column("called", String(80), nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("obligations", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("registries", JSON(none_as_null=True)),
    Column("decided_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Index(None, "expires_at"),
    Index(None, "subject"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("subject", String(SUBJECT), primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("call_id", String(36), primary_key=True),
    tenant_column(),
    Column("purpose", String(16), nullable=False),
    Column("channel", String(8), nullable=False),
    Column("campaign", Text),
    Column("debt", Text),
    Column("answered_at", Instant),
    Column("expires_at", Instant),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

campaign_days = Table(
    "campaign_days",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("campaign", String(128), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("answered", Integer, nullable=False),
    Column("abandoned", Integer, nullable=False),
    sqlite_with_rowid=False,
)
