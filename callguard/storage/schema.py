"""The tables. One schema for every database; instants are ``Instant``, ids are UUID text.

Tables whose rows come at call time are clustered by their id, a UUIDv7: rows that come together
lie together, newest last, and no other index is needed for that order.

``expires_at`` is a promise: from that instant the row is hidden from every reader, and the next
purge takes it. NULL means that no date is known yet.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from callguard.storage.types import Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only INTEGER keys


SUBJECT = 254
"""Longest key of a subject: that of an e-mail address."""


def _tenant(*, nullable: bool = False) -> Column[str]:
    return Column("tenant_id", String(63), ForeignKey("tenants.id"), nullable=nullable)


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
    _tenant(),
)

tenant_endpoints = Table(
    "tenant_endpoints",
    metadata,
    Column("endpoint", String(128), primary_key=True),
    _tenant(),
)

tenant_recipients = Table(
    "tenant_recipients",
    metadata,
    Column("id", _SEQUENCE, primary_key=True),
    _tenant(),
    Column("name", String(63), nullable=False, server_default=""),
    Column("recipient", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
)

tenant_keys = Table(
    "tenant_keys",
    metadata,
    Column("id", _SEQUENCE, primary_key=True),
    _tenant(),
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

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
    _tenant(nullable=True),
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
    _tenant(),
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
    _tenant(),
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

calls = Table(
    "calls",
    metadata,
    Column("id", String(36), primary_key=True),
    _tenant(nullable=True),
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

consents = Table(
    "consents",
    metadata,
    Column("id", String(36), primary_key=True),
    _tenant(),
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
    Index(None, "tenant_id", "subject"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("subject", String(SUBJECT), primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("call_id", String(36), primary_key=True),
    _tenant(),
    Column("purpose", String(16), nullable=False),
    Column("channel", String(8), nullable=False),
    Column("campaign", Text),
    Column("debt", Text),
    Column("answered_at", Instant),
    Column("expires_at", Instant),
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

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(36), primary_key=True),
    _tenant(),
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
    _tenant(),
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

holds = Table(
    "holds",
    metadata,
    Column("id", String(36), primary_key=True),
    _tenant(nullable=True),
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

recording_events = Table(
    "recording_events",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("recording_id", String(36), nullable=False),
    Column("call_id", String(36), nullable=False),
    _tenant(),
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

call_records = Table(
    "call_records",
    metadata,
    Column("id", _SEQUENCE, primary_key=True),
    Column("pbx", String(63), nullable=False),
    Column("uniqueid", String(150), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("linkedid", String(150), nullable=False),
    Column("call_id", String(36)),
    _tenant(nullable=True),
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

audit = Table(
    "audit",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("tenant", String(63)),
    Column("target", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
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

exports = Table(
    "exports",
    metadata,
    Column("id", String(36), primary_key=True),
    _tenant(nullable=True),
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
    _tenant(),
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
    _tenant(),
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

audit_beginning = Table(
    "audit_beginning",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)
