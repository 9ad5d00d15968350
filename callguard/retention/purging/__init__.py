"""Taking away what has expired, and certifying it."""
