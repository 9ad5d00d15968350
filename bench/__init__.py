"""Measurements. ``python -m bench NAME`` runs the ``main`` of ``bench/NAME.py``."""
