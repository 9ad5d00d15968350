"""What keeps, what takes away, and what proves it."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from callguard.storage.schema.base import SEQUENCE, SUBJECT, metadata, tenant_column
from callguard.storage.types import Instant

holds = Table(
    "holds",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(nullable=True),
    Column("subject", String(SUBJECT)),
    Column("call_id", String(36)),
    Column("case_id", String(63)),
    Column("from_at", Instant),
    Column("to_at", Instant),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("review_at", Instant),
    Column("released_at", Instant),
    Column("released_by", Text),
    Index(None, "subject", "call_id", "tenant_id", "to_at"),
    Index(None, "call_id"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("data_class", String(32), nullable=False),
    Column("object_id", String(200), nullable=False),
    Column("payload", String(120)),
    Column("at", Instant, nullable=False),
    Column("done_at", Instant),
    UniqueConstraint("object_id", "data_class"),
    Index(None, "done_at"),
)

erasure_mark = Table(
    "erasure_mark",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("fault", Text),
)

purges = Table(
    "purges",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(12), nullable=False, server_default="purge"),
    Column("tenant", String(63)),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("certificate", JSON, nullable=False),
)

exports = Table(
    "exports",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(nullable=True),
    Column("kind", String(16), nullable=False),
    Column("format", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("file", Text),
    Column("rows", BigInteger),
    Column("bytes", BigInteger),
    Column("sha256", String(64)),
    Column("reason", Text),
    Column("expires_at", Instant),
    Index(None, "expires_at"),
)

archives = Table(
    "archives",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("data_class", String(32), nullable=False),
    Column("state", String(12), nullable=False),
    Column("basis", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("header", LargeBinary),
    Column("payload", String(120)),
    Column("sealed_bytes", BigInteger),
    Column("payload_sha256", String(64)),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "expires_at"),
)

terminations = Table(
    "terminations",
    metadata,
    Column("id", String(36), primary_key=True),
    tenant_column(),
    Column("ends_at", Instant, nullable=False),
    Column("choice", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("finished_at", Instant),
    Column("certificate", JSON(none_as_null=True)),
    Index(None, "state"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(120), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("until", Instant, nullable=False),
)

clock_marks = Table(
    "clock_marks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seen_at", Instant, nullable=False),
    Column("fault", Text),
    Column("fault_at", Instant),
    Column("confirmed_at", Instant),
    Column("confirmed_by", Text),
)
