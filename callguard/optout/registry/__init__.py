"""Public do-not-call registries: lists read, snapshots made and kept, numbers looked up."""
