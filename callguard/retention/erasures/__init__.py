"""The erasure ledger, outside of the database, and forgetting again by it."""
