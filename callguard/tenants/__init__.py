"""Tenants: whose calls these are, and what they chose."""
