"""Destroying a tenant's keys: nothing opens afterwards, and nothing is left of them."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from sqlalchemy import Connection, insert, select, update

from callguard.audit.log import Entry, digest, first_broken
from callguard.recording import age
from callguard.recording.erasure import erase_for_good, tidy
from callguard.recording.keyring import Keyring
from callguard.recording.keys import KeyStoreError, MasterKey
from callguard.recording.rekeying.destruction import Reach, destroy, survey
from callguard.recording.rekeying.rotation import rotate
from callguard.recording.tombstones import catch_up, key_id
from callguard.retention.erasures.ledger import TENANT_KEY, Erasure, ErasureLedger, LedgerError
from callguard.storage.database import Database
from callguard.storage.schema import audit, holds, recordings, tenant_keys
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import TenantError
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.recording.rekeying.keyed_rows import (
    KEYRING,
    add_keyed,
    keys_of,
    means,
    opened,
    put,
)
from tests.retention.rows import put as put_row

T = TypeVar("T")
OUTSIDE = age.generate_identity("x25519")
NOTHING = Reach(0, 0, 0, 0, 0, "")


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def ledger(tmp_path: Path) -> ErasureLedger:
    return ErasureLedger(tmp_path / "erasures.ledger")


async def looked(database: Database, clock: HandClock, keyring: Keyring = KEYRING) -> Reach:
    rooms = means(database, clock)
    return await survey(rooms.read, keyring, keys_of(database), lambda _: None)


async def destroyed(
    database: Database, clock: HandClock, ledger: ErasureLedger, reach: Reach = NOTHING
) -> Mapping[str, Any]:
    rooms = means(database, clock)
    at = clock.now()
    return await destroy(rooms.write, ledger, "acme", reach, at=at, actor="test", reason="the end")


async def test_nothing_opens_afterwards_and_the_tenant_has_no_key_of_its_own(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    add_keyed(database, clock)
    put(database, clock, 3)
    await rotate(means(database, clock), "acme", renew=True)
    await destroyed(database, clock, ledger)
    keys = keys_of(database)
    assert [keys.state(one) for one in keys.versions] == ["destroyed", "destroyed"]
    assert (keys.live, keys.present, keys.settings.own_key) == ((), (), False)
    assert opened(database, newest=False) == {}
    names = [key_id("acme", one.version, one.recipient) for one in keys_of(database).versions]
    assert len(names) == 2
    assert [line.erasure.object_id for line in ledger.lines()] == names


async def test_it_is_told_before_what_becomes_of_the_recordings(
    database: Database, clock: HandClock
) -> None:
    outside = str(OUTSIDE.recipient)
    own = add_keyed(database, clock).present
    for count, recipients, state in (
        (4, own, "sealed"),
        (3, [*own, outside], "sealed"),
        (2, [outside], "sealed"),
        (1, own, "recording"),
    ):
        clock.advance(1)
        names = put(database, clock, count, recipients, state=state)
    with database.writing() as connection:
        connection.execute(
            update(recordings).where(recordings.c.id.in_(names)).values(keyed_for=None)
        )
    reach = await looked(database, clock)
    assert (reach.unreadable, reach.open_to_others, reach.never_ours) == (5, 3, 2)
    assert (reach.unknown, reach.in_progress) == (0, 1)
    stranger = MasterKey(bytes(32))
    blind = await looked(database, clock, Keyring(stranger, stranger))
    assert (blind.unknown, blind.unreadable) == (10, 0), "a lost master key does not stop it"
    assert blind.sha256 == reach.sha256


async def test_a_kms_that_is_away_is_waited_for_and_not_certified(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    put(database, clock, 1)
    with (
        patch.object(MasterKey, "unwrap", side_effect=KeyStoreError("it is sealed")),
        pytest.raises(KeyStoreError, match="version 1 of acme: it is sealed"),
    ):
        await looked(database, clock)


async def test_the_certificate_is_tied_to_the_audit_log(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    recipient = add_keyed(database, clock).versions[0].recipient
    put(database, clock, 2)
    reach = await looked(database, clock)
    issued = await destroyed(database, clock, ledger, reach)
    assert issued["recordings"] == reach.as_json()
    assert [one["recipient"] for one in issued["keys"]] == [recipient]
    assert (issued["tenant"], issued["reason"]) == ("acme", "the end")
    with database.reading() as connection:
        assert first_broken(connection) is None
        row = connection.execute(
            select(audit).where(audit.c.seq == issued["audit"]["sequence"])
        ).one()
    details = json.loads(row.details)
    entry = Entry(
        datetime.fromisoformat(issued["destroyed_at"]),
        issued["actor"],
        "key.destroy",
        "acme",
        "acme",
        {
            "versions": [one["version"] for one in issued["keys"]],
            "fingerprints": [one["fingerprint"] for one in issued["keys"]],
            "recordings": issued["recordings"],
            "reason": issued["reason"],
        },
    )
    assert digest(row.previous, entry) == issued["audit"]["digest"]
    assert recipient not in row.details
    assert details["recordings"]["unreadable"] == 2


async def test_twice_gives_the_same_certificate_and_one_entry(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    add_keyed(database, clock)
    first = await destroyed(database, clock, ledger)
    clock.advance(60)
    assert await destroyed(database, clock, ledger) == first
    await rotate(means(database, clock), "acme", renew=True, own_key=True)
    second = await destroyed(database, clock, ledger)
    assert [one["version"] for one in second["keys"]] == [2]


async def test_a_held_tenant_keeps_its_keys(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    add_keyed(database, clock)
    hold = {"id": "h1", "reason": "case", "author": "test", "at": clock.now()}
    with database.writing() as connection:
        connection.execute(insert(holds).values(**hold, tenant_id="acme", call_id="c1"))
    with pytest.raises(TenantError, match="hold h1 keeps"):
        await destroyed(database, clock, ledger)
    assert keys_of(database).live
    assert list(ledger.lines()) == []
    with database.writing() as connection:
        connection.execute(update(holds).values(released_at=clock.now()))
    await destroyed(database, clock, ledger)
    assert not keys_of(database).live


@pytest.mark.parametrize(
    ("what", "keeps"),
    [
        ({"subject": "+44"}, False),
        ({"call_id": "of another"}, False),
        ({"tenant_id": "other"}, False),
        ({"subject": "2"}, True),
        ({"call_id": "c"}, True),
        ({"from_at": datetime(2020, 1, 1, tzinfo=UTC)}, True),
        ({}, True),
        ({"tenant_id": "acme", "subject": "+44"}, True),
    ],
)
async def test_a_hold_that_is_about_others_keeps_no_keys(
    database: Database,
    clock: HandClock,
    ledger: ErasureLedger,
    what: dict[str, object],
    keeps: bool,
) -> None:
    add_keyed(database, clock)
    add_tenant(database, clock, "other")
    put_row(database, "recording", 1, None, at=clock.now())
    put_row(database, "consent", 1, None, at=clock.now())  # of subject 2 in call c
    hold = {"id": "h1", "reason": "case", "author": "test", "at": clock.now()}
    with database.writing() as connection:
        connection.execute(insert(holds).values(**hold, **what))
    if keeps:
        with pytest.raises(TenantError, match="hold h1 keeps"):
            await destroyed(database, clock, ledger)
    else:
        await destroyed(database, clock, ledger)
    assert bool(keys_of(database).live) is keeps


async def test_a_ledger_that_cannot_be_written_keeps_the_keys(
    database: Database, clock: HandClock, tmp_path: Path
) -> None:
    add_keyed(database, clock)
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError):
        await destroyed(database, clock, ErasureLedger(tmp_path / "folder"))
    assert keys_of(database).live


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3])
async def test_a_destruction_killed_at_any_step_is_ended_by_the_next(
    database: Database, clock: HandClock, ledger: ErasureLedger, step: int, after: bool
) -> None:
    add_keyed(database, clock)
    left, rooms = step, means(database, clock)

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise Killed
        found = await rooms.write(work)
        if left == 0:
            raise Killed
        return found

    with pytest.raises(Killed):
        await destroy(
            write, ledger, "acme", NOTHING, at=clock.now(), actor="test", reason="the end"
        )
    issued = await destroyed(database, clock, ledger)
    assert [one["version"] for one in issued["keys"]] == [1]
    assert not keys_of(database).live
    assert not keys_of(database).settings.own_key


async def test_a_version_that_a_rotation_makes_meanwhile_is_destroyed_too(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    add_keyed(database, clock)
    put(database, clock, 5)
    rooms, writes = means(database, clock), 0

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal writes
        writes += 1
        found = await rooms.write(work)
        if writes == 1:
            await rotate(means(database, clock), "acme", renew=True)
        return found

    issued: Mapping[str, Any] = await destroy(
        write, ledger, "acme", NOTHING, at=clock.now(), actor="test", reason="the end"
    )
    assert [one["version"] for one in issued["keys"]] == [1, 2]
    assert opened(database, newest=False) == {}
    assert not keys_of(database).settings.own_key


async def test_a_running_service_sees_a_key_go_whoever_applied_the_ledger(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    [own] = add_keyed(database, clock).versions
    directory = TenantDirectory()
    name = key_id("acme", own.version, own.recipient)
    ledger.append([Erasure(TENANT_KEY, name, None, clock.now())], None)
    with database.writing() as connection:
        directory.refresh(connection)
        assert [one.recipients for one in directory.all()] == [(own.recipient,)]
        catch_up(connection, ledger)
        directory.refresh(connection)
    assert [one.recipients for one in directory.all()] == [()]


async def test_one_that_another_process_took_from_the_ledger_has_its_entry_too(
    database: Database, clock: HandClock, ledger: ErasureLedger
) -> None:
    add_keyed(database, clock)
    rooms = means(database, clock)
    [own] = keys_of(database).versions
    name = key_id("acme", own.version, own.recipient)
    gone = Erasure(TENANT_KEY, name, None, clock.now())
    await erase_for_good(rooms.write, ledger, lambda _: [gone])
    issued = await destroyed(database, clock, ledger)
    assert [one["version"] for one in issued["keys"]] == [1]


async def test_a_database_of_before_forgets_the_keys_again(
    database: Database, clock: HandClock, ledger: ErasureLedger, tmp_path: Path
) -> None:
    add_keyed(database, clock)
    put(database, clock, 2)
    database.checkpoint()
    backup = Path(str(database.url.database)).read_bytes()  # noqa: ASYNC240
    await rotate(means(database, clock), "acme", renew=True)
    await destroyed(database, clock, ledger)
    restored = tmp_path / "restored.db"
    restored.write_bytes(backup)
    other = Database(f"sqlite:///{restored}")
    assert len(opened(other)) == 2
    with other.writing() as connection:
        catch_up(connection, ledger)
    assert opened(other, newest=False) == {}
    assert keys_of(other).versions[0].wrapped is None
    other.close()


@pytest.mark.parametrize("kind", ["pq", "x25519"])
async def test_no_byte_of_the_wrapped_keys_is_left_in_the_files(
    database: Database, clock: HandClock, ledger: ErasureLedger, kind: age.KeyKind
) -> None:
    for n in range(20):  # so that pages split, and the rows have lain in several places
        add_keyed(database, clock, f"tenant-{n}", kind="pq" if n % 2 else "x25519")
    add_keyed(database, clock, kind=kind)
    put(database, clock, 20)
    for n in range(20):
        add_keyed(database, clock, f"later-{n}")
    await rotate(means(database, clock), "acme", renew=True)
    wrapped = [one.wrapped for one in keys_of(database).versions]
    assert all(traces(database, one) for one in wrapped), "the search finds what is there"
    database.checkpoint()
    with database.writing() as connection:
        connection.execute(update(tenant_keys).values(created_at=clock.now()))
    await destroyed(database, clock, ledger)
    assert all(traces(database, one) for one in wrapped), "the log still has the pages of before"
    assert tidy(database.tidy)
    assert [traces(database, one) for one in wrapped] == [0, 0]


def traces(database: Database, wrapped: bytes | None) -> int:
    """How many pieces of the wrapped key, of 16 bytes each, lie in the database's files."""
    assert wrapped is not None
    file = Path(str(database.url.database))
    files = [one.read_bytes() for one in file.parent.glob(f"{file.name}*")]
    assert files
    pieces = [wrapped[at : at + 16] for at in range(16, len(wrapped) - 16, 16)]
    return sum(piece in one for piece in pieces for one in files)
