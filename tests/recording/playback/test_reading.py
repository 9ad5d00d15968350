"""Reading recordings: what is there for whom, and one line for what is not."""

import pytest
from sqlalchemy import insert

from callguard.recording import age, sealer
from callguard.recording.keys import KeyStoreError, MasterKey
from callguard.recording.payload import open_stream
from callguard.recording.playback.reading import (
    RecordingError,
    RecordingRow,
    listed,
    sealed_file,
)
from callguard.recording.store.objects import ObjectMissing
from callguard.recording.wav import WavFormat
from callguard.storage.schema import recordings, tenant_keys
from callguard.tenants.store import NewTenant
from callguard.tenants.tenant import TenantSettings
from tests.recording.conftest import CALL_ID, MASTER, House, own_key
from tests.recording.reading import plain_of, sealed_row
from tests.recording.sealing import X25519

AUDIO = bytes(range(250)) * 1_500  # 375 KB: more than is read at once


async def seal(house: House, tenant: str = "acme", audio: bytes = AUDIO) -> str:
    opened = await house.recorded(audio, tenant)
    await house.sealer._close(opened)
    return opened.id


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer, "SETTLE_S", 0)


def found(house: House, recording_id: str) -> RecordingRow:
    with house.database.reading() as connection:
        return sealed_row(connection, recording_id, house.clock.now())


def plain(house: House, row: RecordingRow, master: MasterKey = MASTER) -> bytes:
    with house.database.reading() as connection:
        return plain_of(connection, row, house.store, master)


async def test_a_sealed_recording_is_read_whole(house: House) -> None:
    row = found(house, await seal(house))
    assert plain(house, row) == WavFormat().header() + AUDIO


async def test_outside_keys_open_the_sealed_file_and_callguard_does_not(house: House) -> None:
    recipient = str(X25519.recipient)
    house.add(NewTenant("out", "Out", TenantSettings(), None, [recipient]))
    row = found(house, await seal(house, "out"))
    with pytest.raises(RecordingError, match="only the tenant holds the key"):
        plain(house, row)
    data = b"".join(sealed_file(row, house.store))
    header = age.read_header(data)
    file_key = age.unwrap(header, [X25519])
    assert b"".join(open_stream([data[header.size :]], file_key)).endswith(AUDIO)


async def test_another_master_key_opens_nothing(house: House) -> None:
    row = found(house, await seal(house))
    with pytest.raises(KeyStoreError, match="wrapped by master key"):
        plain(house, row, MasterKey(bytes(32)))


async def test_a_payload_that_is_gone_or_short_is_said(house: House) -> None:
    row = found(house, await seal(house))
    (path,) = (p for p in (house.store.objects_folder).rglob(row.id))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(age.PayloadError, match="ends at"):
        list(sealed_file(row, house.store))
    house.store.delete([row.id])
    with pytest.raises(ObjectMissing):
        list(sealed_file(row, house.store))


async def test_a_recording_in_progress_is_listed_and_not_readable(house: House) -> None:
    opened = await house.recorded(AUDIO)
    with house.database.reading() as connection:
        assert [row.id for row in listed(connection, now=house.clock.now())] == [opened.id]
    with pytest.raises(RecordingError, match="is still in progress"):
        found(house, opened.id)


async def test_a_recording_nobody_made_is_not_found(house: House) -> None:
    with pytest.raises(RecordingError, match="there is no recording nothing"):
        found(house, "nothing")


async def test_an_expired_one_is_as_if_it_never_was(house: House) -> None:
    name = await seal(house)
    house.clock.advance(days=365)
    with pytest.raises(RecordingError, match=f"there is no recording {name}"):
        found(house, name)
    with house.database.reading() as connection:
        assert listed(connection, now=house.clock.now()) == []


async def test_one_that_is_being_erased_is_not_readable(house: House) -> None:
    name = await seal(house)
    with house.database.writing() as connection:
        connection.execute(recordings.update().values(state="erasing", header=None))
    with pytest.raises(RecordingError, match="has been erased"):
        found(house, name)


async def test_recordings_are_listed_newest_first_by_tenant_and_bounded(house: House) -> None:
    house.add(NewTenant("two", "Two", TenantSettings(), own_key("two")))
    names = []
    for tenant in ("acme", "two", "acme"):
        house.clock.advance(1)
        names.append(await seal(house, tenant, b"\x00\x00"))
    with house.database.reading() as connection:
        now = house.clock.now()
        assert [row.id for row in listed(connection, now=now)] == names[::-1]
        assert [row.id for row in listed(connection, now=now, tenant="two")] == [names[1]]
        assert [row.id for row in listed(connection, now=now, limit=1)] == [names[2]]
        assert listed(connection, now=now, tenant="nobody") == []


async def test_a_page_goes_on_after_the_last_of_the_one_before(house: House) -> None:
    names = []
    for _ in range(5):
        house.clock.advance(1)
        names.append(await seal(house, audio=b"\x00\x00"))
    with house.database.reading() as connection:
        now, seen = house.clock.now(), list[str]()
        while page := listed(connection, now=now, limit=2, before=seen[-1] if seen else None):
            seen += [row.id for row in page]
        assert seen == names[::-1]
        assert len(listed(connection, now=now, call=CALL_ID)) == 5
        assert listed(connection, now=now, call="another") == []


async def test_the_identity_that_sealed_it_is_found_among_all_versions(house: House) -> None:
    row = found(house, await seal(house))
    others = [own_key("acme", version=version) for version in (2, 3)]
    with house.database.writing() as connection:
        for version, key in enumerate(others, start=2):
            values = {"tenant_id": "acme", "version": version, "kind": "x25519"}
            connection.execute(
                insert(tenant_keys).values(
                    **values,
                    recipient=key.recipient,
                    wrapped_identity=key.wrapped_identity,
                    created_at=house.clock.now(),
                )
            )
    assert plain(house, row) == WavFormat().header() + AUDIO
    with house.database.writing() as connection:
        destroyed = tenant_keys.c.version == 1
        connection.execute(tenant_keys.update().where(destroyed).values(wrapped_identity=None))
    with pytest.raises(age.NoMatchingIdentity):
        plain(house, row)
    with house.database.writing() as connection:
        connection.execute(tenant_keys.update().values(wrapped_identity=None))
    with pytest.raises(RecordingError, match="only the tenant holds the key"):
        plain(house, row)
