"""Who on which channel was told of a recording, and what they answered; of living channels."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, tuple_

from callguard.consent.states import ConsentState
from callguard.ids import uuid7
from callguard.storage.schema import consents
from callguard.tenants.keeping import LONGEST_CALL

ASKED_AT_ONCE = 500
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Told:
    """What the last row of the ledger says of whoever is on a channel, and ``until`` when that
    is so, where it rests on a consent that ends."""

    tenant: str
    call_id: str
    subject: str
    state: ConsentState
    until: datetime | None = None

    @property
    def may_be_recorded(self) -> bool:
        return self.state is ConsentState.GRANTED


class ToldParties:
    """By Asterisk and the Uniqueid of the channel. Who is not here was not told."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], Told] = {}
        self._watchers: list[Callable[[str, str], None]] = []

    def watch(self, watcher: Callable[[str, str], None]) -> None:
        """``watcher`` is told of every Asterisk and channel of which something else holds now."""
        self._watchers.append(watcher)

    def enter(self, pbx: str, uniqueid: str, told: Told) -> None:
        """The ledger has a new row for that channel."""
        self._told[pbx, uniqueid] = told
        self._tell(pbx, uniqueid)

    def of(self, pbx: str, uniqueid: str) -> Told | None:
        return self._told.get((pbx, uniqueid))

    def all(self) -> tuple[tuple[str, str, Told], ...]:
        """Asterisk, channel and what was told, of everybody."""
        return tuple((pbx, uniqueid, told) for (pbx, uniqueid), told in self._told.items())

    def of_call(self, call_id: str) -> tuple[tuple[str, str, Told], ...]:
        """Asterisk, channel and what was told, of everybody in that call."""
        found = [(key, told) for key, told in self._told.items() if told.call_id == call_id]
        return tuple((pbx, uniqueid, told) for (pbx, uniqueid), told in found)

    def withdraw(
        self, pbx: str, uniqueid: str, state: ConsentState = ConsentState.WITHDRAWN
    ) -> None:
        """Whoever is there no longer agrees."""
        told = self._told.get((pbx, uniqueid))
        if told is not None:
            self._told[pbx, uniqueid] = replace(told, state=state)
            self._tell(pbx, uniqueid)

    def gone(self, pbx: str, uniqueid: str) -> None:
        """The channel is no more."""
        self._told.pop((pbx, uniqueid), None)

    def keep_only(self, pbx: str, uniqueids: Collection[str]) -> None:
        """The channels living on an Asterisk are known anew."""
        for name, uniqueid in tuple(self._told):
            if name == pbx and uniqueid not in uniqueids:
                self.gone(name, uniqueid)

    def _tell(self, pbx: str, uniqueid: str) -> None:
        for watcher in self._watchers:
            watcher(pbx, uniqueid)


def read_told(
    connection: Connection, pbx: str, uniqueids: Sequence[str], now: datetime
) -> dict[str, Told]:
    """What the ledger says of those on living channels, by Uniqueid: after a restart. Who withdrew
    elsewhere meanwhile, on a form or by letter, has withdrawn."""
    # The table is in the order of its ids, which begin with the time.
    oldest = str(UUID(int=uuid7(now - LONGEST_CALL).int >> 80 << 80))
    found: dict[str, Told] = {}
    said_at: dict[str, datetime] = {}
    for start in range(0, len(uniqueids), ASKED_AT_ONCE):
        some = uniqueids[start : start + ASKED_AT_ONCE]
        rows = connection.execute(
            select(consents)
            .where(
                consents.c.id >= oldest,
                consents.c.pbx == pbx,
                consents.c.channel_uniqueid.in_(some),
                consents.c.purpose == "recording",
                consents.c.call_id.is_not(None),
            )
            .order_by(consents.c.id)
        )
        for row in rows:
            before = found.get(row.channel_uniqueid)
            withdrawn = before is not None and before.state is ConsentState.WITHDRAWN
            if withdrawn and before is not None and before.call_id == row.call_id:
                continue  # nobody is asked again in that call; the clock was set back
            over = row.until is not None and row.until <= now
            state = ConsentState.EXPIRED if over else ConsentState(row.state)
            found[row.channel_uniqueid] = Told(
                row.tenant_id, row.call_id, row.subject, state, row.until
            )
            said_at[row.channel_uniqueid] = row.at
    ended = _withdrawn_elsewhere(connection, found.values())
    for uniqueid, told in found.items():
        if (
            told.may_be_recorded
            and ended.get((told.tenant, told.subject), _NEVER) >= (said_at[uniqueid])
        ):
            found[uniqueid] = replace(told, state=ConsentState.WITHDRAWN)
    return found


def _withdrawn_elsewhere(
    connection: Connection, told: Iterable[Told]
) -> dict[tuple[str, str], datetime]:
    """When these last withdrew otherwise than in a call, by tenant and subject."""
    whose = sorted({(one.tenant, one.subject) for one in told if one.may_be_recorded})
    found: dict[tuple[str, str], datetime] = {}
    for start in range(0, len(whose), ASKED_AT_ONCE):
        rows = connection.execute(
            select(consents.c.tenant_id, consents.c.subject, func.max(consents.c.at))
            .where(
                tuple_(consents.c.tenant_id, consents.c.subject).in_(
                    whose[start : start + ASKED_AT_ONCE]
                ),
                consents.c.call_id.is_(None),
                consents.c.purpose == "recording",
                consents.c.state == ConsentState.WITHDRAWN.value,
            )
            .group_by(consents.c.tenant_id, consents.c.subject)
        )
        found.update(((tenant, subject), at) for tenant, subject, at in rows)
    return found
