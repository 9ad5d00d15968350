"""What all tables stand on: one metadata, and the columns that many of them have."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""Of a key that counts up by itself; SQLite counts up only INTEGER keys."""

SUBJECT = 254
"""Longest key of a subject, in characters: that of an e-mail address."""


def tenant_column(*, nullable: bool = False) -> Column[str]:
    """Whose row it is; ``nullable`` where it may be nobody's."""
    return Column("tenant_id", String(63), ForeignKey("tenants.id"), nullable=nullable)
