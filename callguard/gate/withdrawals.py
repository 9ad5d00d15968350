"""What became of consents that were ended in the middle of a call: in the ledger, and in what was
recorded. The recording is silent before any of this is written, so here there is time to try again.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import SQLAlchemyError

from callguard.audit.log import Entry, append
from callguard.consent.given import About, ConsentError, withdraw
from callguard.consent.states import ConsentState
from callguard.contacts.contact import ContactError
from callguard.recording.erasure import Fate
from callguard.recording.recorder import OpenRecording
from callguard.retention.schedule import Keep
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError
from callguard.storage.schema import consents

if TYPE_CHECKING:
    from callguard.gate.room import Gate

log = structlog.get_logger(__name__)

RETRY_S = 1.0
UNKEPT = 10_000
"""Most withdrawals that wait to be kept; beyond it the database is gone for good."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One party's consent that ended: the row's id, the subject, and the channel where known."""

    id: str
    subject: str
    channel_uniqueid: str | None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The consents of one call that ended together. ``proof`` is the way it was said; ``keep`` is
    until when the evidence is kept. With ``erase`` what was recorded goes, and so does the consent
    that stands for further calls; ``unsealed`` are the recordings whose audio is not sealed yet.
    """

    call_id: str
    tenant: str
    pbx: str
    parties: tuple[Ended, ...]
    actor: str
    by: str
    proof: str
    at: datetime
    keep: Keep
    erase: bool
    unsealed: tuple[OpenRecording, ...] = ()


def enter(connection: Connection, withdrawal: Withdrawal) -> None:
    """Writes the ledger, in a writing transaction. Saying it again changes nothing."""
    known = select(consents.c.id).where(consents.c.id.in_([p.id for p in withdrawal.parties]))
    there = set(connection.execute(known).scalars())
    for party in withdrawal.parties:
        if party.id not in there:
            _enter(connection, withdrawal, party)
    if withdrawal.erase:
        for subject in {party.subject for party in withdrawal.parties if party.subject}:
            _end_standing(connection, withdrawal, subject)


def _enter(connection: Connection, withdrawal: Withdrawal, party: Ended) -> None:
    connection.execute(
        insert(consents).values(
            id=party.id,
            tenant_id=withdrawal.tenant,
            call_id=withdrawal.call_id,
            subject=party.subject,
            purpose="recording",
            state=ConsentState.WITHDRAWN.value,
            pbx=withdrawal.pbx,
            channel_uniqueid=party.channel_uniqueid,
            proof=withdrawal.proof,
            actor=withdrawal.actor,
            at=withdrawal.at,
            expires_at=withdrawal.keep(withdrawal.at),
        )
    )
    details = {"purpose": "recording", "erase": withdrawal.erase, "by": withdrawal.by}
    target = f"consent:{party.id}"
    entry = Entry(
        withdrawal.at, withdrawal.actor, "consent.withdraw", target, withdrawal.tenant, details
    )
    append(connection, entry)


def _end_standing(connection: Connection, withdrawal: Withdrawal, subject: str) -> None:
    """A contact that cannot be read is not called at all, so nothing stands by it either."""
    about = About(withdrawal.tenant, subject, "recording")
    try:
        withdraw(
            connection,
            about,
            reason=f"{withdrawal.proof}, call {withdrawal.call_id}",
            at=withdrawal.at,
            actor=withdrawal.actor,
            keep=withdrawal.keep,
        )
    except (ConsentError, ContactError):
        return


class Withdrawals:
    """Keeps them, at once where it can be, and again until it is done. What waits here is lost
    with the process: who withdrew was told that it is not done yet."""

    def __init__(self) -> None:
        self._unkept: list[Withdrawal] = []

    def __len__(self) -> int:
        return len(self._unkept)

    async def keep(self, gate: "Gate", withdrawal: Withdrawal) -> Fate:
        """What became of what was to be erased, all of it durable now; what is not is tried
        again."""
        try:
            fate = await _kept(gate, withdrawal)
        except (NotDurableError, SQLAlchemyError, TimeoutError) as error:
            log.error("withdrawal_not_durable", call=withdrawal.call_id, reason=one_line(error))
            fate = Fate.FAILED
        if fate is Fate.FAILED:
            self.later(withdrawal)
        return fate

    async def run(self, gate: "Gate") -> None:
        """Tries again for ever."""
        while True:
            await asyncio.sleep(RETRY_S)
            await self._again(gate)

    async def _again(self, gate: "Gate") -> None:
        for withdrawal in tuple(self._unkept):
            try:
                done = await _kept(gate, withdrawal) is not Fate.FAILED
            except (NotDurableError, SQLAlchemyError, TimeoutError):
                return
            if done:
                self._unkept.remove(withdrawal)
                log.info("withdrawal_kept", call=withdrawal.call_id)

    def later(self, withdrawal: Withdrawal) -> None:
        """It could not be kept yet."""
        if any(waiting.parties == withdrawal.parties for waiting in self._unkept):
            return
        if len(self._unkept) >= UNKEPT:
            log.error("withdrawal_lost", call=withdrawal.call_id)
            return
        self._unkept.append(withdrawal)


async def _kept(gate: "Gate", withdrawal: Withdrawal) -> Fate:
    """The ledger and the recordings at the same time, neither waits for the other; then what was
    sealed before."""
    erase = partial(gate.recordings.erase, by=withdrawal.by)
    work = partial(enter, withdrawal=withdrawal)
    _, erased = await asyncio.gather(
        gate.journal.write(work, timeout=gate.durable_s),
        asyncio.gather(*map(erase, withdrawal.unsealed)),
    )
    if not withdrawal.erase:
        return Fate.ERASED
    left = await gate.recordings.of_call_all(withdrawal.call_id)
    fates = [*erased, *[await erase(one) for one in left]]
    return next((one for one in (Fate.FAILED, Fate.HELD) if one in fates), Fate.ERASED)
