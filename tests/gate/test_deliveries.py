"""A whole call, and its recording at the tenant's own place, which keeps the only copy."""

import asyncio
from pathlib import Path

import pytest

from callguard.recording import age
from callguard.recording.delivery import store
from callguard.recording.delivery.carriers import Carriers
from callguard.recording.delivery.parcel import Parcel, Receipt
from callguard.recording.delivery.places import Place, read_place
from callguard.recording.payload import open_stream
from callguard.storage.schema import deliveries, recordings
from tests.harness.virtual import current_clock, virtual_time
from tests.house import house


@virtual_time
async def test_a_recording_goes_to_the_tenants_place_and_only_the_tenant_has_it(
    tmp_path: Path,
) -> None:
    theirs: dict[str, bytes] = {}

    class Theirs:
        async def carry(self, parcel: Parcel) -> Receipt:
            theirs[parcel.name] = b"".join([piece async for piece in parcel.pieces()])
            return Receipt(True, "taken")

    def carrier(self: Carriers, place: Place) -> Theirs:
        return Theirs()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Carriers, "to", carrier)
        async with house(tmp_path) as home:
            values = {"url": "https://theirs.example/in", "auth": "none"}
            at = current_clock().now()
            place = read_place("acme", "theirs", "https", values, keep=False, at=at)
            with home.service.database.writing() as connection:
                store.add(connection, place, actor="test")
            await home.whole_call()
            await home.settled()
            while home.one(recordings)["state"] == "sealed":
                await asyncio.sleep(1)
            row, delivery = home.one(recordings), home.one(deliveries)
            status = await home.service.overview.status()
            objects = list(home.service.vault.store.names())
    assert (row["state"], row["header"], objects) == ("delivered", None, [])
    assert delivery["state"] == "confirmed"
    assert not [one for one in status.alarms if "deliver" in one]
    file = theirs[f"{row['id']}.age"]
    header = age.read_header(file)
    file_key = age.unwrap(header, [home.identity])
    sound = b"".join(open_stream([file[header.size :]], file_key))
    assert len(sound) == row["plain_bytes"]
