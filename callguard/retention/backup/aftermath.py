"""What an operator must know after a restore."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from callguard.storage.schema import purges

TOLD_FOR = timedelta(days=30)
"""How long it is told of; after that it stands in the audit log."""


def restored_without_ledger(connection: Connection, now: datetime) -> str | None:
    """One line where the last restore had only the ledger of its backup; None where it had more, or
    is long ago."""
    newest = (
        select(purges.c.certificate, purges.c.finished_at)
        .where(purges.c.kind == "restore", purges.c.finished_at > now - TOLD_FOR)
        .order_by(purges.c.finished_at.desc())
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    if row is None or not row.certificate.get("ledger_of_backup"):
        return None
    return (
        f"restored at {row.finished_at:%Y-%m-%d %H:%M} UTC without the erasures that followed the "
        f"backup of {str(row.certificate.get('made_at'))[:10]}: what was erased after it is there "
        "again"
    )
