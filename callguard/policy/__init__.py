"""What decides: facts and rules in, a verdict out. Pure; no clock, no I/O, no globals."""
