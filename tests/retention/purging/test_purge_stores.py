"""A purge whose store fails for some, for all or for ever: nothing else waits for it."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.purging import erasing as erasing_module
from callguard.storage.database import Database
from tests.clock import HandClock
from tests.recording.playback.vault import hold
from tests.retention.purging.steps import (
    purged,
    states,
)
from tests.retention.rows import EVERY, certified, left, put, put_recording

pytestmark = pytest.mark.usefixtures("small_steps")


class Stubborn(FolderStore):
    """Some payloads stay, and so does all that is asked for together with one of them."""

    def __init__(self, root: Path, *stay: str) -> None:
        super().__init__(root)
        self.stay, self.asked = set(stay), 0

    def delete(self, names: Iterable[str]) -> int:
        self.asked += 1
        wanted = list(names)
        if not self.stay or self.stay & set(wanted):
            raise ObjectStoreError("it stays")
        return super().delete(wanted)


async def test_a_payload_that_stays_keeps_no_other(
    database: Database,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasing_module, "PAYLOADS", 8)
    for number in range(20):
        put_recording(database, store, number, clock.now())
    stubborn = Stubborn(store.objects_folder.parent, "recording-0", "recording-1", "recording-9")
    for _ in range(2):
        with pytest.raises(ObjectStoreError, match="it stays"):
            await purged(database, clock, stubborn)
        assert set(store.names()) == set(states(database)) == stubborn.stay
    await purged(database, clock, store)
    assert (list(store.names()), certified(database)["recording"]) == ([], 20)


async def test_a_store_that_is_away_is_not_asked_for_each_payload(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for number in range(40):
        put_recording(database, store, number, clock.now())
    away = Stubborn(store.objects_folder.parent)
    with pytest.raises(ObjectStoreError, match="it stays"):
        await purged(database, clock, away)
    assert away.asked == erasing_module.TRIES


class Hanging(FolderStore):
    """Answers once it may."""

    may = threading.Event()

    def delete(self, names: Iterable[str]) -> int:
        assert self.may.wait(60)
        return super().delete(names)


async def test_a_store_that_hangs_keeps_no_row(
    database: Database,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasing_module, "STALL_S", 0.01)
    for name in EVERY:
        put(database, name, 1, clock.now())
    hanging = Hanging(store.objects_folder.parent)
    try:
        with pytest.raises(TimeoutError, match="takes nothing away"):
            await purged(database, clock, hanging)
    finally:
        hanging.may.set()
    rest = {"recording": 1, "archive": 1}
    assert left(database, EVERY) == {**dict.fromkeys(EVERY, 0), **rest}
    await purged(database, clock, store)
    assert left(database, EVERY) == dict.fromkeys(EVERY, 0)


async def test_what_is_being_erased_no_certificate_says_to_be_held(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put_recording(database, store, 1, clock.now())
    with pytest.raises(ObjectStoreError):
        await purged(database, clock, Stubborn(store.objects_folder.parent))
    hold(database, clock.now(), tenant_id=tenant)
    kept = put_recording(database, store, 2, clock.now())
    made = await purged(database, clock, store)
    assert (made.tally.held, states(database)) == ({"recording": 1}, {kept: "sealed"})
