from tests.databases import clock, database, tenant

__all__ = ["clock", "database", "tenant"]
