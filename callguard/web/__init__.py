"""The page, its live updates, health and metrics."""
