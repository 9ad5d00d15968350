"""Who did what: the tamper-evident record."""
