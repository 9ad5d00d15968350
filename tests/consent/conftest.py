"""The database fixtures, for this room."""

from tests.databases import clock, database, journal, tenant

__all__ = ["clock", "database", "journal", "tenant"]
