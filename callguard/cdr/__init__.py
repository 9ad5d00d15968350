"""Call detail records: exactly one for each that Asterisk completes."""
