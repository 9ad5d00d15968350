"""Recordings: the spool, the sealed format, the keys and the object store."""
