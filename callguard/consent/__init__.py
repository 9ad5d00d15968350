"""Notices, what was answered, and the ledger of both."""
