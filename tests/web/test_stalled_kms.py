"""A KMS that takes the question and does not answer holds up who asked, and nobody else."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, select, update

from callguard.audit.log import Entry, append
from callguard.config import Vault
from callguard.recording.keyring import Keyring
from callguard.recording.keys import identity_context
from callguard.recording.rekeying.rotation import rotate
from callguard.recording.transit import TransitWrapper
from callguard.storage.schema import tenant_keys
from callguard.web.recording_sending import THREADS
from tests.recording.conftest import MASTER
from tests.recording.rekeying.keyed_rows import means
from tests.recording.transit_server import TransitServer, serving
from tests.web.doors import token_file
from tests.web.recording_door import WHY, Door, clock, database, door, journal

__all__ = ["clock", "database", "door", "journal"]

LOOKS = 20
NOTICEABLE_S = 1.0
"""A call waits two seconds for a durable verdict; the KMS here would keep it for a minute."""


def note(connection: Connection) -> None:
    """As durable as a verdict is."""
    append(connection, Entry(datetime.now(UTC), "test", "test.look", "acme", "acme", {}))


def move_over(door: Door, transit: TransitWrapper) -> None:
    """The KMS wraps the identity of acme from now on."""
    context, mine = identity_context("acme", 1), tenant_keys.c.tenant_id == "acme"
    with door.database.writing() as connection:
        wrapped = connection.execute(select(tenant_keys.c.wrapped_identity).where(mine)).scalar()
        assert wrapped is not None
        moved = transit.wrap(MASTER.unwrap(wrapped, context), context)
        connection.execute(update(tenant_keys).where(mine).values(wrapped_identity=moved))


async def test_a_kms_that_does_not_answer_keeps_no_call_waiting(door: Door, tmp_path: Path) -> None:
    name = door.record()
    with serving(TransitServer()) as kms:
        token = token_file(tmp_path, "vault.token", kms.token)
        transit = TransitWrapper(Vault(url=kms.url, key="callguard", token_file=token, timeout=60))
        move_over(door, transit)
        door.api._identities = transit
        rooms = means(door.database, door.clock, keyring=Keyring(transit, MASTER))
        kms.silent = threading.Event()
        asked = len(kms.asked)
        played = [asyncio.create_task(door.get(f"/{name}/audio")) for _ in range(THREADS + 4)]
        rotated = asyncio.create_task(rotate(rooms, "acme", renew=False))
        while len(kms.asked) - asked < THREADS + 1:
            await asyncio.sleep(0.01)
        longest = 0.0
        for _ in range(LOOKS):
            began = time.monotonic()
            await asyncio.to_thread(int)
            await door.journal.write(note, timeout=2.0)
            assert (await door.told(f"/{name}", **WHY))[0] == 200
            longest = max(longest, time.monotonic() - began)
        assert not rotated.done()
        assert not any(one.done() for one in played)
        kms.silent.set()
        assert {answer.status for answer, _ in await asyncio.gather(*played)} == {200}
        assert (await rotated).rewritten == 1
    assert longest < NOTICEABLE_S
