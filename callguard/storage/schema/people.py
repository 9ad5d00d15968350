"""What a tenant knows of the people it calls, and what they agreed to."""

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table, Text

from callguard.storage.schema.base import SUBJECT, metadata, tenant_column
from callguard.storage.types import Instant

consents = Table(
    "consents",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("call_id", String(36)),
    Column("subject", String(SUBJECT), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("state", String(12), nullable=False),
    Column("mode", String(20)),
    Column("rules", JSON(none_as_null=True)),
    Column("pbx", String(63)),
    Column("channel_uniqueid", String(150)),
    Column("prompt", Text),
    Column("words", Text),
    Column("language", String(16)),
    Column("asked", Integer),
    Column("heard_ms", Integer),
    Column("length_ms", Integer),
    Column("answer", String(4)),
    Column("proof", Text),
    Column("actor", Text),
    Column("at", Instant, nullable=False),
    Column("until", Instant),
    Column("expires_at", Instant),
    Index(None, "call_id"),
    Index("ix_consents_tenant_id", "tenant_id", "subject"),  # as its migration named it
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

contacts = Table(
    "contacts",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("subject", String(SUBJECT), primary_key=True),
    Column("known", JSON, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("id", String(36)),
    Column("origin", String(8), nullable=False, server_default="manual"),
    Column("exchanged_at", Instant),
    Column("expires_at", Instant),
    Index(None, "expires_at"),
    Index(None, "id"),
    sqlite_with_rowid=False,
)
