"""How a database's failure is told: without the statement and its parameters, which may hold
telephone numbers."""

from sqlalchemy.exc import StatementError


def one_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    origin = error.orig if isinstance(error, StatementError) else None
    told = " ".join(str(origin if origin is not None else error).split())
    return told or type(error).__name__
