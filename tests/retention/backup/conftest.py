"""The database fixtures, and a place with something in it to back up."""

from tests.databases import clock, database, journal, tenant

__all__ = ["clock", "database", "journal", "tenant"]
