"""Managed folders: files of other programs, which stay no longer than their data class allows."""
