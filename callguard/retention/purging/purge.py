"""The purge: takes away what has expired, in small transactions, and leaves a certificate.

Recordings and archives go first, as ``erasing.py`` says; their payloads go beside the rows of other
kinds, so that a store that is slow or fails keeps none of them. What a hold covers stays, hidden:
it is asked in the transaction that deletes. A purge that was cut short is taken up by the next one;
what it took stands in its own certificate, which then has no end.
"""

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import Write
from callguard.recording.store.objects import ObjectStore
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.purging import certificates, leader
from callguard.retention.purging.certificates import Certificate, open_certificate
from callguard.retention.purging.clock_sense import ClockError, refusal
from callguard.retention.purging.erasing import TABLES as SEALED
from callguard.retention.purging.erasing import end_erasures, finish_erasures, unfinished
from callguard.retention.purging.expired import ROWS, TABLES, due, take_rows
from callguard.retention.purging.further import Due
from callguard.retention.purging.leader import BusyError, Lease
from callguard.retention.purging.run import Run
from callguard.retention.purging.surroundings import Surroundings

__all__ = [
    "TABLES",
    "BusyError",
    "Certificate",
    "ClockError",
    "Due",
    "Surroundings",
    "Write",
    "due",
    "end_erasures",
    "finish_erasures",
    "purge",
]


async def purge(
    write: Write,
    store: ObjectStore,
    ledger: ErasureLedger,
    clock: Clock,
    *,
    actor: str,
    around: Surroundings | None = None,
) -> Certificate:
    """Takes all that had expired when it was called.

    Raises BusyError where somebody else purges and ClockError where the clock is not believed, and
    then nothing went; LedgerError or what ``write`` raises, and then the rest is taken by the next
    one; ObjectStoreError after all the others had their turn. A further room that fails, and an
    export whose file does not go, is named in the certificate.
    """
    around = around or Surroundings()
    if around.sense is not None and (fault := await write(around.sense.look)):
        raise ClockError(refusal(fault))
    # What is due is told by the very reading that was judged: the clock may jump right behind it.
    now = around.sense.believed() if around.sense is not None else clock.now()
    purge_id = str(uuid7(now))
    facts = around.sense.facts() if around.sense else {}

    def begin(connection: Connection) -> tuple[Lease, int]:
        lease = leader.take(connection, leader.PURGE, leader.who(actor), now)
        certificates.take_up(connection, purge_id, now, actor)
        open_certificate(connection, purge_id, now, actor, facts)
        return lease, unfinished(connection)

    lease, resumed = await write(begin)
    run = Run(write, clock, around, purge_id, actor, now, lease, facts)
    try:
        await _take(run, store, ledger, now)
        return await run.certify(resumed)
    except Exception:
        await run.give_up()
        raise


async def _take(run: Run, store: ObjectStore, ledger: ErasureLedger, now: datetime) -> None:
    beside: list[asyncio.Task[Any]] = [asyncio.create_task(run.keep_lease())]
    try:
        for name in SEALED:
            await run.take_sealed(ledger, name)
        payloads = asyncio.create_task(run.take_payloads(store))
        beside.append(payloads)
        for name in ROWS:
            await run.take_all(name, partial(take_rows, name=name, now=now))
        await run.take_exports()
        stuck = await payloads
        await run.take_further()
        await run.take_audit()
        if stuck is not None:
            raise stuck
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
