"""Recordings, what happened to each, and the tenants' own places for them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from callguard.storage.schema.base import metadata, tenant_column
from callguard.storage.types import Instant

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("call_id", String(36), nullable=False),
    Column("pbx", String(63), nullable=False),
    Column("channel_uniqueid", String(150), nullable=False),
    Column("state", String(12), nullable=False),
    Column("spool_name", String(80), nullable=False),
    Column("encoding", String(16), nullable=False),
    Column("header", LargeBinary),
    Column("keyed_for", String(64)),
    Column("wrapped_file_key", LargeBinary),
    Column("payload", String(120)),
    Column("plain_bytes", BigInteger),
    Column("sealed_bytes", BigInteger),
    Column("payload_sha256", String(64)),
    Column("missing_bytes", BigInteger),
    Column("reserved", LargeBinary),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("sealed_at", Instant),
    Column("expires_at", Instant),
    Index(None, "call_id"),
    Index(None, "state"),
    Index(None, "sealed_at"),
    Index(None, "expires_at"),
    Index(None, "tenant_id", "keyed_for", "id"),
)

recording_events = Table(
    "recording_events",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("recording_id", String(36), nullable=False),
    Column("call_id", String(36), nullable=False),
    tenant_column(),
    Column("kind", String(16), nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant),
    Index(None, "call_id"),
    Index(None, "recording_id"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

tenant_places = Table(
    "tenant_places",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("keep", Boolean, nullable=False),
    Column("added_at", Instant, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("recording_id", String(36), primary_key=True),
    Column("place", String(63), primary_key=True),
    tenant_column(),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),
    Column("reason", Text),
    Column("begun_at", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("sha256", String(64)),
    Column("bytes", BigInteger),
    Column("proof", JSON(none_as_null=True)),
    Column("expires_at", Instant),
    Index(None, "state", "next_at"),
    Index(None, "expires_at"),
)
