"""When every trace must be gone, and seeing to it."""
