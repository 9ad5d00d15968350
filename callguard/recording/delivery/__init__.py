"""Delivery: each sealed recording goes to the tenant's own places."""
