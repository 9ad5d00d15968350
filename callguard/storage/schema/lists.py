"""Who does not want to be called: opt-outs, public registries, calling lists divided by them."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Index, String, Table, Text

from callguard.storage.schema.base import SEQUENCE, SUBJECT, metadata, tenant_column
from callguard.storage.types import Instant

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    tenant_column(nullable=True),
    Column("subject", String(SUBJECT), nullable=False),
    Column("standing", Boolean, nullable=False),
    Column("purposes", JSON, nullable=False),
    Column("channels", JSON, nullable=False, server_default="[]"),
    Column("way", String(32), nullable=False),
    Column("call_id", String(36)),
    Column("prompt", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("evidence", Text),
    Column("at", Instant, nullable=False),
    Index(None, "subject"),
)

opt_out_claims = Table(
    "opt_out_claims",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("subject", String(SUBJECT), nullable=False),
    Column("state", String(12), nullable=False),
    Column("pbx", String(63), nullable=False),
    Column("call_id", String(36), nullable=False),
    Column("prompt", Text),
    Column("language", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("settled_at", Instant),
    Column("reason", Text),
    Column("expires_at", Instant),
    Index(None, "state"),
    Index(None, "expires_at"),
)

registry_imports = Table(
    "registry_imports",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("registry", String(63), nullable=False),
    Column("state", String(12), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("digest", String(64)),
    Column("list_date", Date),
    Column("count", BigInteger),
    Column("reason", Text),
    Column("details", JSON, nullable=False),
    Column("replaced_at", Instant),
    Column("dropped_at", Instant),
    Index(None, "registry", "at"),
)

scrubs = Table(
    "scrubs",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("state", String(12), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("rows", BigInteger),
    Column("summary", JSON),
    Column("reason", Text),
    Column("expires_at", Instant, nullable=False),
    Index(None, "expires_at"),
)
