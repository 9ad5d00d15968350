"""The end of a contract: what is returned, what goes, and what is left."""
