"""The hash-chained log, and where it begins since its oldest entries went."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from callguard.storage.schema.base import SEQUENCE, metadata
from callguard.storage.types import Instant

audit = Table(
    "audit",
    metadata,
    Column("seq", SEQUENCE, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("tenant", String(63)),
    Column("target", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
)

audit_beginning = Table(
    "audit_beginning",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)
