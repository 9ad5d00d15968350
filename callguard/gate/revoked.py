"""Consents to recordings that were withdrawn elsewhere than in a call, by letter or on a form, or
whose time is over, while their subject is on the telephone: what is recorded of them falls silent
and is stopped."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, func, select

from callguard.consent.states import ConsentState
from callguard.gate.callbook import Call
from callguard.gate.room import Gate
from callguard.gate.told import Told
from callguard.gate.withdrawals import Ended, Withdrawal, enter
from callguard.ids import uuid7
from callguard.storage.schema import audit, consents
from callguard.tenants.keeping import Concern, keeping_evidence

log = structlog.get_logger(__name__)

BEFORE_IT_ENDS = timedelta(seconds=1)
"""How long before its end a consent is heeded no more: by then nothing is heard."""

PAGE = 500
"""Most acts of the audit log that are looked at in one read."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """One withdrawal: the ledger's row, and who withdrew towards which tenant."""

    id: str
    tenant: str
    subject: str
    actor: str


def newest_act(connection: Connection) -> int:
    """The last row of the audit log, which is in the order of the commits."""
    return connection.execute(select(func.max(audit.c.seq))).scalar() or 0


def revoked_after(connection: Connection, sequence: int) -> tuple[int, list[Revoked]]:
    """What was withdrawn after that row, of one page, and its last row."""
    acts = connection.execute(
        select(audit.c.seq, audit.c.action, audit.c.target)
        .where(audit.c.seq > sequence)
        .order_by(audit.c.seq)
        .limit(PAGE)
    ).all()
    ids = [a.target.removeprefix("consent:") for a in acts if a.action == "consent.withdraw"]
    found = []
    if ids:
        rows = connection.execute(
            select(consents).where(
                consents.c.id.in_(ids),
                consents.c.call_id.is_(None),
                consents.c.purpose == "recording",
                consents.c.state == ConsentState.WITHDRAWN.value,
            )
        )
        found = [Revoked(r.id, r.tenant_id, r.subject, r.actor or "callguard") for r in rows]
    return (acts[-1].seq if acts else sequence), found


class Revocations:
    """Heeds them for the calls that go on."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._read_up_to = 0
        self._before: list[Revoked] = []

    def load(self, connection: Connection) -> None:
        """What was withdrawn before is heeded by each call as it is answered."""
        self._read_up_to = newest_act(connection)

    async def follow(self) -> None:
        """Each is heeded twice: a call that read the ledger just before may have been answered
        meanwhile. Raises what a read raises."""
        await self._heed_ends()
        again, self._before = self._before, []
        for revoked in again:
            await self._heed(revoked)
        while True:
            newer = partial(revoked_after, sequence=self._read_up_to)
            read_up_to, found = await self._gate.database.read(newer)
            for revoked in found:
                await self._heed(revoked)
            self._before += found
            if read_up_to == self._read_up_to:
                return
            self._read_up_to = read_up_to

    async def _heed_ends(self) -> None:
        over = self._gate.clock.now() + BEFORE_IT_ENDS
        for pbx, uniqueid, told in self._gate.told.all():
            if told.may_be_recorded and told.until is not None and told.until <= over:
                self._gate.told.withdraw(pbx, uniqueid, ConsentState.EXPIRED)
                await self._stop(await self._gate.recall(told.call_id), told, uniqueid)

    async def _heed(self, revoked: Revoked) -> None:
        for pbx, uniqueid, told in self._gate.told.all():
            of_them = (told.tenant, told.subject) == (revoked.tenant, revoked.subject)
            if of_them and told.may_be_recorded:
                # It is silent from here on, whatever becomes of the rest.
                self._gate.told.withdraw(pbx, uniqueid)
                call = None
                try:
                    call = await self._gate.recall(told.call_id)
                finally:
                    self._note(revoked, pbx, uniqueid, told, call)
                await self._stop(call, told, uniqueid)

    def _note(
        self, revoked: Revoked, pbx: str, uniqueid: str, told: Told, call: Call | None
    ) -> None:
        gate, at = self._gate, self._gate.clock.now()
        concern = call.concern if call is not None else Concern(told.subject)
        withdrawal = Withdrawal(
            call_id=told.call_id,
            tenant=told.tenant,
            pbx=pbx,
            parties=(Ended(str(uuid7(at)), told.subject, uniqueid),),
            actor=revoked.actor,
            by="callguard",
            proof=f"consent:{revoked.id}",
            at=at,
            keep=keeping_evidence(gate.tenants.get(told.tenant), concern),
            erase=False,
        )
        again = partial(gate.acts.withdrawals.later, withdrawal)
        gate.journal.post(work=partial(enter, withdrawal=withdrawal), on_lost=again)

    async def _stop(self, call: Call | None, told: Told, uniqueid: str) -> None:
        """Those of their own call, and on their own channel; of others they are only silent while
        they hear this one."""
        log.info("consent_ended", call=told.call_id)
        if call is None:
            return
        for recording in self._gate.recordings.in_progress(call, uniqueid):
            if recording.call_id == told.call_id or recording.channel_uniqueid == uniqueid:
                await self._gate.recordings.stop(recording)
