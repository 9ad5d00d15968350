"""For whom a tenant's recordings are sealed now, as the database has it."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from callguard.storage.schema import tenant_keys, tenant_recipients
from callguard.tenants.tenant import TenantError

_POST_QUANTUM = "age1pq1"


def own_recipient(connection: Connection, tenant_id: str) -> str | None:
    """The public half of the newest identity that is not destroyed."""
    newest = (
        select(tenant_keys.c.recipient)
        .where(tenant_keys.c.tenant_id == tenant_id, tenant_keys.c.destroyed_at.is_(None))
        .order_by(tenant_keys.c.version.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar_one_or_none()


def outside_recipients(connection: Connection, tenant_id: str) -> tuple[str, ...]:
    """The tenant's own public keys, in the order in which they were added."""
    theirs = select(tenant_recipients.c.recipient).where(tenant_recipients.c.tenant_id == tenant_id)
    return tuple(connection.execute(theirs.order_by(tenant_recipients.c.id)).scalars())


def check_present(connection: Connection, tenant_id: str, *, own_key: bool) -> None:
    """Raises TenantError where nobody could open the recordings to come, or where they could not
    be sealed for all who should."""
    own = own_recipient(connection, tenant_id) if own_key else None
    present = (*((own,) if own else ()), *outside_recipients(connection, tenant_id))
    if not present:
        raise TenantError(
            f"tenant {tenant_id} would have no key at all: add an outside recipient, or a key of "
            f"its own with key rotate {tenant_id} --own-key"
        )
    check_together(tenant_id, present)


def check_together(tenant_id: str, recipients: Sequence[str]) -> None:
    """Raises TenantError where post-quantum keys are mixed with X25519 ones, which age forbids."""
    if len({is_post_quantum(recipient) for recipient in recipients}) > 1:
        raise TenantError(
            f"tenant {tenant_id} would have post-quantum and X25519 keys together, which age "
            "forbids, for the weakest would decide: make all outside keys of one kind (age-keygen "
            "-pq makes post-quantum ones), or set key_kind to theirs and then key rotate"
        )


def is_post_quantum(recipient: str) -> bool:
    return recipient.lower().startswith(_POST_QUANTUM)
