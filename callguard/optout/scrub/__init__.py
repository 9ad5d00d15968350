"""A calling list divided: who may be called, who must not, and of whom it cannot be told."""
