"""callguard: the compliance gate beside an Asterisk PBX."""

__version__ = "0.1.0"
