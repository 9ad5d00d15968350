"""Call records, how far Asterisk's files are read, and the counts that stay of them."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from callguard.storage.schema.base import SEQUENCE, SUBJECT, metadata, tenant_column
from callguard.storage.types import Instant

call_records = Table(
    "call_records",
    metadata,
    Column("id", SEQUENCE, primary_key=True),
    Column("pbx", String(63), nullable=False),
    Column("uniqueid", String(150), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("linkedid", String(150), nullable=False),
    Column("call_id", String(36)),
    tenant_column(nullable=True),
    Column("caller", String(80), nullable=False),
    Column("called", String(80), nullable=False),
    Column("channel", Text, nullable=False),
    Column("peer_channel", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("ended_at", Instant, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("billed_s", Integer, nullable=False),
    Column("disposition", String(16), nullable=False),
    Column("userfield", Text, nullable=False),
    Column("source", String(8), nullable=False),
    Column("direction", String(8)),
    Column("purpose", String(16)),
    Column("campaign", Text),
    Column("agent", Text),
    Column("subject", String(SUBJECT)),
    Column("own_number", String(80)),
    Column("routed_to", Text),
    Column("cause", Integer),
    Column("account_code", String(80)),
    Column("expires_at", Instant),
    UniqueConstraint("pbx", "uniqueid", "sequence"),
    Index(None, "call_id"),
    Index(None, "pbx", "linkedid"),
    Index(None, "tenant_id", "ended_at"),
    Index(None, "expires_at"),
)

cdr_cursors = Table(
    "cdr_cursors",
    metadata,
    Column("pbx", String(63), primary_key=True),
    Column("inode", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("head", String(64)),
)

call_statistics = Table(
    "call_statistics",
    metadata,
    Column("tenant_id", String(63), ForeignKey("tenants.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("direction", String(8), primary_key=True),
    Column("purpose", String(16), primary_key=True),
    Column("campaign", String(128), primary_key=True),
    Column("disposition", String(16), primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("billed_s", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
