"""Backups of everything but the master key, and restoring them."""
