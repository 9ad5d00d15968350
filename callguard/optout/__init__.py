"""Opt-outs: who does not want to be called, by whom, since when, and how they said so."""
