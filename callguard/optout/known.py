"""Whether a wish is known already, asked in the transaction that would enter it."""

from sqlalchemy import Connection, select

from callguard.optout.events import OptOutEvent
from callguard.optout.scope import cells
from callguard.optout.standing import history, wishes
from callguard.storage.schema import opt_outs


def came_already(connection: Connection, event: OptOutEvent) -> bool:
    """Whether the wish was entered before, with the same way and evidence. An opt-out that was
    lifted since is not known: obeying it again costs a call, forgetting one that is new and only
    bears an old name would cost a wish."""
    if event.evidence is None or (event.standing and not stands_already(connection, event)):
        return False
    found = select(opt_outs.c.seq).where(
        opt_outs.c.subject == event.subject,
        opt_outs.c.tenant_id.is_not_distinct_from(event.tenant),
        opt_outs.c.way == event.way,
        opt_outs.c.evidence == event.evidence,
    )
    return connection.execute(found.limit(1)).first() is not None


def stands_already(connection: Connection, event: OptOutEvent) -> bool:
    """Whether what stands against the same tenant covers the wish, so that nothing would change."""
    missing = cells(event.purposes, event.channels)
    for wish in wishes(history(connection, event.subject)):
        if wish.event.tenant == event.tenant:
            missing &= ~cells(wish.event.purposes, wish.event.channels)
    return missing == 0
