"""Reading what was recorded: who may, which bytes, and whether they are whole."""
