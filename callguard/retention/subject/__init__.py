"""Erasing all of one person."""
