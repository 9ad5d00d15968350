"""Tenants: their numbers, endpoints, keys, and their own values for rules."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from callguard.storage.schema.base import SEQUENCE, metadata, tenant_column
from callguard.storage.types import Instant

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("name", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ends_at", Instant),
)

tenant_numbers = Table(
    "tenant_numbers",
    metadata,
    Column("number", String(40), primary_key=True),
    tenant_column(),
)

tenant_endpoints = Table(
    "tenant_endpoints",
    metadata,
    Column("endpoint", String(128), primary_key=True),
    tenant_column(),
)

tenant_recipients = Table(
    "tenant_recipients",
    metadata,
    Column("id", SEQUENCE, primary_key=True),
    tenant_column(),
    Column("name", String(63), nullable=False, server_default=""),
    Column("recipient", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
)

tenant_keys = Table(
    "tenant_keys",
    metadata,
    Column("id", SEQUENCE, primary_key=True),
    tenant_column(),
    Column("version", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("wrapped_identity", LargeBinary),
    Column("created_at", Instant, nullable=False),
    Column("retired_at", Instant),
    Column("destroyed_at", Instant),
    UniqueConstraint("tenant_id", "version"),
)

tenant_retention = Table(
    "tenant_retention",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("data_class", String(32), primary_key=True),
    Column("span", String(16)),
    Column("anonymise", Boolean, nullable=False, server_default="0"),
    Column("at_end", JSON(none_as_null=True)),
)

tenant_rules = Table(
    "tenant_rules",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("rule", String(120), primary_key=True),
    Column("change", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
