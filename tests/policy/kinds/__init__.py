"""One file for each kind of rule."""
