"""Rotating keys: a new version, headers anew, payloads untouched, nothing lost on the way."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlalchemy import Connection, delete, select, update

from callguard.audit.log import first_broken
from callguard.recording import age
from callguard.recording.keyring import Followed, Keyring
from callguard.recording.keys import KeyStoreError, MasterKey
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying import rewrap
from callguard.recording.rekeying.keyed import counts
from callguard.recording.rekeying.rotation import open_identities, rotate
from callguard.storage.database import Database
from callguard.storage.schema import audit, recordings, tenant_keys
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keys import add_recipient, remove_recipient
from callguard.tenants.store import change_settings
from callguard.tenants.tenant import TenantError
from tests.clock import HandClock
from tests.recording.rekeying.keyed_rows import (
    KEYRING,
    MASTER,
    add_keyed,
    age_of_retired,
    keys_of,
    means,
    opened,
    put,
)

T = TypeVar("T")
OUTSIDE = age.generate_identity("x25519")


class Killed(BaseException):
    """The process ended here."""


def headers(database: Database) -> dict[str, bytes]:
    with database.reading() as connection:
        rows = connection.execute(select(recordings.c.id, recordings.c.header)).all()
    return {row.id: row.header for row in rows}


def states(database: Database) -> list[str]:
    keys = keys_of(database)
    return [keys.state(one) for one in keys.versions]


def acts(database: Database) -> list[str]:
    with database.reading() as connection:
        assert first_broken(connection) is None
        return list(connection.execute(select(audit.c.action).order_by(audit.c.seq)).scalars())


@pytest.mark.parametrize("known", [True, False], ids=["known", "before this release"])
async def test_every_header_is_for_the_new_version_and_the_former_is_retired(
    database: Database, clock: HandClock, known: bool
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 10, known=known)
    seen: list[tuple[int, int]] = []
    told = means(database, clock, told=lambda done, whole: seen.append((done, whole)))
    done = await rotate(told, "acme", renew=True)
    assert (done.version, done.renewed, done.rewritten, done.retired) == (2, True, 10, (1,))
    assert opened(database) == before
    assert states(database) == ["retired", "active"]
    assert seen[-1] == (10, 10)
    assert acts(database)[-2:] == ["key.rotate", "key.rewrap"]


async def test_a_running_service_seals_for_the_new_version_at_once(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    directory = TenantDirectory()
    with database.reading() as connection:
        directory.refresh(connection)
    await rotate(means(database, clock), "acme", renew=True)
    with database.reading() as connection:
        directory.refresh(connection)
    tenant = directory.get("acme")
    assert tenant is not None
    assert tenant.recipients == keys_of(database).present
    assert len(keys_of(database).versions) == 2


async def test_the_kind_of_the_new_key_is_the_tenants_choice(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 2)
    with database.writing() as connection:
        change_settings(connection, "acme", {"key_kind": "pq"}, at=clock.now(), actor="test")
    await rotate(means(database, clock), "acme", renew=True)
    assert opened(database) == before
    assert all(b"mlkem768x25519" in header for header in headers(database).values())


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_rotation_killed_at_any_step_goes_on_with_the_next(
    database: Database, clock: HandClock, after: bool
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 7)
    step, killed = 0, True
    while killed:
        step, left, killed = step + 1, step + 1, False
        alive = means(database, clock)

        async def write(work: Callable[[Connection], T], /) -> T:
            nonlocal left, killed
            left -= 1
            if left == 0 and not after:
                killed = True
                raise Killed
            with database.writing() as connection:
                found = work(connection)
            if left == 0 and after:
                killed = True
                raise Killed
            return found

        try:
            await rotate(replace(alive, write=write), "acme", renew=True)
        except Killed:
            assert opened(database, newest=False) == before
            unfinished = states(database).count("replaced")
            done = await rotate(alive, "acme", renew=True)
            assert (done.continued, done.renewed) == (bool(unfinished), not unfinished)
        assert len(keys_of(database).versions) <= step + step + 1
        assert states(database)[-2:] == ["retired", "active"]
        assert opened(database) == before
    assert step == 6, "a version, three batches, the end, and one that nothing killed"


async def test_what_is_erased_meanwhile_stays_erased(database: Database, clock: HandClock) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 7)
    gone, hidden, *_ = before
    alive, turns = means(database, clock), 0

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal turns
        turns += 1
        if turns == 2:  # they are read and not written yet
            with database.writing() as connection:
                connection.execute(delete(recordings).where(recordings.c.id == gone))
                erased = update(recordings).where(recordings.c.id == hidden)
                connection.execute(erased.values(header=None))
        return await alive.write(work)

    done = await rotate(replace(alive, write=write), "acme", renew=True)
    assert done.rewritten == 5
    found = headers(database)
    assert gone not in found
    assert found.pop(hidden) is None
    assert len(found) == 5


async def test_recordings_that_begin_meanwhile_are_taken_along(
    database: Database, clock: HandClock
) -> None:
    old = add_keyed(database, clock).present
    before = put(database, clock, 7)
    alive, late = means(database, clock), dict[str, bytes]()

    async def write(work: Callable[[Connection], T], /) -> T:
        found = await alive.write(work)
        if len(late) < 4:
            clock.advance(1)
            late.update(put(database, clock, 2, old, state="recording"))
        return found

    done = await rotate(replace(alive, write=write), "acme", renew=True)
    assert done.rewritten == 11
    assert opened(database) == {**before, **late}


async def test_headers_of_outside_recipients_alone_are_counted_and_left(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    theirs = put(database, clock, 4, [str(OUTSIDE.recipient)])
    clock.advance(10)
    ours = put(database, clock, 4)
    found = headers(database)
    done = await rotate(means(database, clock), "acme", renew=True)
    assert (done.rewritten, done.not_ours, done.damaged) == (4, 4, 0)
    assert opened(database) == ours
    assert all(headers(database)[name] == found[name] for name in theirs)


async def test_a_recording_in_progress_is_rewritten_by_its_own_file_key(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, own=False, outside=[str(OUTSIDE.recipient)])
    before = put(database, clock, 2, state="recording")
    other = age.generate_identity("x25519")
    with database.writing() as connection:
        add_recipient(connection, "acme", "two", str(other.recipient), at=clock.now(), actor="test")
    done = await rotate(means(database, clock), "acme", renew=False)
    assert (done.rewritten, done.not_ours, done.version) == (2, 0, None)
    for name, header in headers(database).items():
        assert age.unwrap(age.parse_header(header), [other]) == before[name]


async def test_a_damaged_header_is_named_and_keeps_nobody(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    names = list(put(database, clock, 5))
    with database.writing() as connection:
        connection.execute(
            update(recordings).where(recordings.c.id == names[2]).values(header=b"age?")
        )
    done = await rotate(means(database, clock), "acme", renew=True)
    assert (done.rewritten, done.damaged, done.named) == (4, 1, (names[2],))
    assert states(database) == ["retired", "active"]
    age_of_retired(database, clock, 2)
    again = await rotate(means(database, clock), "acme", renew=False, drop=True)
    assert again.dropped == ()
    assert again.kept is not None
    assert "damaged" in again.kept


async def test_a_change_of_the_keys_stops_what_is_wrapped_for_others(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 9)
    alive, turns = means(database, clock), 0

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal turns
        turns += 1
        if turns == 3:
            with database.writing() as connection:
                recipient = str(OUTSIDE.recipient)
                at = clock.now()
                add_recipient(connection, "acme", "one", recipient, at=at, actor="test")
        return await alive.write(work)

    with pytest.raises(TenantError, match="changed meanwhile"):
        await rotate(replace(alive, write=write), "acme", renew=True)
    with database.reading() as connection:
        newest = keys_of(database).versions[-1].recipient
        assert counts(connection, "acme")[digest_of([newest])] == 3, "one batch, before the change"
    done = await rotate(alive, "acme", renew=True)
    assert done.continued
    assert done.rewritten == 9
    assert opened(database) == before


async def test_two_rotations_at_once_make_one_version(database: Database, clock: HandClock) -> None:
    add_keyed(database, clock)
    alive = means(database, clock)

    async def write(work: Callable[[Connection], T], /) -> T:
        if len(keys_of(database).versions) == 1:
            await rotate(alive, "acme", renew=True)
        return await alive.write(work)

    with pytest.raises(TenantError, match="changed meanwhile"):
        await rotate(replace(alive, write=write), "acme", renew=True)
    assert states(database) == ["retired", "active"]


async def test_a_key_that_does_not_open_stops_it_before_anything_is_made(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    other = MasterKey(bytes(32))
    broken = means(database, clock, keyring=Keyring(other, other))
    with pytest.raises(KeyStoreError, match="version 1 of acme"):
        await rotate(broken, "acme", renew=True)
    assert states(database) == ["active"]


async def test_a_mix_of_kinds_is_refused_before_anything_is_made(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, outside=[str(OUTSIDE.recipient)])
    with database.writing() as connection:
        change_settings(connection, "acme", {"key_kind": "pq"}, at=clock.now(), actor="test")
    with pytest.raises(TenantError, match="age forbids"):
        await rotate(means(database, clock), "acme", renew=True)
    assert states(database) == ["active"]


async def test_a_rotation_leaves_nothing_that_a_former_master_key_wrapped(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    put(database, clock, 2)
    rooms = means(database, clock)
    await rotate(rooms, "acme", renew=True)
    new = MasterKey(bytes(32))
    both = Followed(new, MASTER)
    moving = replace(rooms, keyring=Keyring(both, both))
    assert (await rotate(moving, "acme", renew=False)).rewritten == 0
    keys = keys_of(database)
    assert len(open_identities(Keyring(new, new), keys)) == len(keys.live) == 2
    with database.reading() as connection:
        wanted = select(audit.c.details).where(audit.c.action == "key.move")
        assert connection.execute(wanted).scalars().all() == ['{"versions":[1,2]}']
    assert (await rotate(moving, "acme", renew=False)).retired == ()
    assert keys_of(database) == keys


async def test_a_tenant_without_a_key_of_its_own_is_given_one_only_when_asked(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, own=False, outside=[str(OUTSIDE.recipient)])
    with pytest.raises(TenantError, match="no key of its own"):
        await rotate(means(database, clock), "acme", renew=True)
    done = await rotate(means(database, clock), "acme", renew=True, own_key=True)
    assert done.version == 1
    assert len(keys_of(database).present) == 2


async def test_handed_over_recordings_open_for_the_outside_recipient_alone(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, outside=[str(OUTSIDE.recipient)])
    before = put(database, clock, 4)
    with database.writing() as connection:
        change_settings(connection, "acme", {"own_key": False}, at=clock.now(), actor="test")
    await rotate(means(database, clock), "acme", renew=False)
    assert opened(database, newest=False) == {}
    for name, header in headers(database).items():
        assert age.unwrap(age.parse_header(header), [OUTSIDE]) == before[name]


async def test_a_removed_recipient_is_taken_out_of_the_headers(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, outside=[str(OUTSIDE.recipient)])
    before = put(database, clock, 4)
    with database.writing() as connection:
        remove_recipient(connection, "acme", str(OUTSIDE.recipient), at=clock.now(), actor="test")
    await rotate(means(database, clock), "acme", renew=False)
    assert opened(database) == before
    for header in headers(database).values():
        with pytest.raises(age.NoMatchingIdentity):
            age.unwrap(age.parse_header(header), [OUTSIDE])


async def test_former_private_keys_are_kept_unless_told_otherwise_and_for_an_hour_even_then(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 4)
    rooms = means(database, clock)
    done = await rotate(rooms, "acme", renew=True, drop=True)
    assert done.dropped == ()
    clock.advance(3601)
    assert (await rotate(rooms, "acme", renew=False)).dropped == ()
    done = await rotate(rooms, "acme", renew=False, drop=True)
    assert (done.dropped, done.kept) == ((1,), None)
    assert states(database) == ["destroyed", "active"]
    with database.reading() as connection:
        wrapped = select(tenant_keys.c.wrapped_identity).order_by(tenant_keys.c.version)
        assert [bool(one) for one in connection.execute(wrapped).scalars()] == [False, True]
    assert opened(database) == before
    assert acts(database)[-1] == "key.drop"


async def test_a_former_key_that_a_late_recording_needs_is_kept(
    database: Database, clock: HandClock
) -> None:
    old = add_keyed(database, clock).present
    put(database, clock, 2)
    alive = means(database, clock)
    await rotate(alive, "acme", renew=True)
    clock.advance(7200)
    late = dict[str, bytes]()

    async def write(work: Callable[[Connection], T], /) -> T:
        if not late:  # just before the only transaction: that in which they would be wiped
            late.update(put(database, clock, 1, old))
        return await alive.write(work)

    done = await rotate(replace(alive, write=write), "acme", renew=False, drop=True)
    assert done.dropped == ()
    assert done.kept == "a recording began for a former key meanwhile"
    assert len(opened(database, newest=False)) == 3


async def test_many_headers_go_through_processes(
    database: Database, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrap, "MANY", 1)
    add_keyed(database, clock)
    before = put(database, clock, 20)
    done = await rotate(means(database, clock, processes=2), "acme", renew=True)
    assert done.rewritten == 20
    assert opened(database) == before


def test_no_private_key_is_shown(database: Database, clock: HandClock) -> None:
    keys = add_keyed(database, clock)
    assert keys.versions[0].wrapped is not None
    assert repr(keys.versions[0].wrapped)[2:20] not in repr(keys)
    assert "secret" not in repr(KEYRING).lower()
