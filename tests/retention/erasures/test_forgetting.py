"""Database and ledger agree before any door opens, from whatever days they were restored."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from callguard.recording.erasure import erase_for_good, of_recordings
from callguard.recording.store.folder import FolderStore
from callguard.recording.tombstones import key_id, mark_and_fault, not_remembering
from callguard.retention.erasures import forgetting
from callguard.retention.erasures.forgetting import Forgotten, forget_again, rebuild, verify
from callguard.retention.erasures.ledger import (
    DELIVERED,
    RECORDING,
    TENANT_KEY,
    Erasure,
    ErasureLedger,
    LedgerError,
)
from callguard.retention.purging.purge import purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import (
    audit,
    erasure_mark,
    erasures,
    purges,
    recordings,
    tenant_keys,
)
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import put_recording

T = TypeVar("T")


class Vault:
    """A database with its ledger, of which copies are taken and put back."""

    def __init__(self, database: Database, clock: HandClock, folder: Path) -> None:
        self.database, self.clock = database, clock
        self.ledger = ledger_of(database)
        self.store = FolderStore(folder / "objects")
        self.folder = folder
        self.count = 0

    def add(self) -> str:
        self.count += 1
        self.clock.advance(1)
        return put_recording(self.database, self.store, self.count, self.clock.now())

    async def write(self, work: Callable[[Connection], T], /) -> T:
        with self.database.writing() as connection:
            return work(connection)

    async def erase(self, *ids: str) -> None:
        at = self.clock.now()
        await erase_for_good(self.write, self.ledger, lambda c: of_recordings(c, ids, at))

    def key(self, at: datetime) -> Erasure:
        """The destruction of the tenant's key."""
        with self.database.reading() as connection:
            row = connection.execute(select(tenant_keys)).one()
        return Erasure(TENANT_KEY, key_id(row.tenant_id, row.version, row.recipient), None, at)

    def remember(self) -> Forgotten:
        return forget_again(self.database, self.ledger, self.clock, actor="test")

    def copy(self, name: str) -> None:
        self.database.checkpoint()
        for path in (Path(str(self.database.url.database)), self.ledger.path):
            if path.exists():
                shutil.copy2(path, self.folder / f"{path.name}.{name}")

    def restore(self, name: str, *, database: bool = False, ledger: bool = False) -> None:
        path = Path(str(self.database.url.database))
        if database:
            self.database.engine.dispose()
            for there in path.parent.glob(f"{path.name}-*"):
                there.unlink()
            shutil.copy2(self.folder / f"{path.name}.{name}", path)
        if ledger:
            shutil.copy2(self.folder / f"{self.ledger.path.name}.{name}", self.ledger.path)

    def states(self) -> dict[str, str]:
        with self.database.reading() as connection:
            rows = connection.execute(select(recordings)).all()
        assert all((row.header is None) == (row.state != "sealed") for row in rows)
        return {row.id: row.state for row in rows}

    def tombs(self) -> set[str]:
        with self.database.reading() as connection:
            return set(connection.execute(select(erasures.c.object_id)).scalars())

    def lines(self) -> list[str]:
        return [line.erasure.object_id for line in self.ledger.lines()]

    def fault(self) -> str | None:
        with self.database.reading() as connection:
            return not_remembering(connection)

    def agree(self) -> bool:
        with self.database.reading() as connection:
            mark, fault = mark_and_fault(connection)
        return fault is None and mark == self.ledger.end() and set(self.lines()) == self.tombs()


@pytest.fixture
def vault(database: Database, clock: HandClock, tmp_path: Path, tenant: str) -> Vault:
    return Vault(database, clock, tmp_path)


def certificates(vault: Vault) -> list[Any]:
    with vault.database.reading() as connection:
        return list(connection.execute(select(purges.c.certificate)).scalars())


async def test_an_ordinary_start_writes_nothing_and_reads_only_the_ends(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vault.remember() == Forgotten()
    assert not vault.ledger.path.exists()
    await vault.erase(vault.add(), vault.add())

    def read(*_: object) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(ErasureLedger, "lines", read)
        patch.setattr(ErasureLedger, "after", read)
        patch.setattr(vault.database, "writing", read)
        assert vault.remember() == Forgotten()
    assert vault.agree()


async def test_a_restored_database_forgets_again(vault: Vault) -> None:
    kept, first, later = vault.add(), vault.add(), vault.add()
    await vault.erase(first)
    vault.copy("old")
    await vault.erase(later)
    vault.restore("old", database=True)
    assert vault.states() == {kept: "sealed", first: "erasing", later: "sealed"}
    assert vault.remember() == Forgotten(applied=1)
    assert vault.states() == {kept: "sealed", first: "erasing", later: "erasing"}
    assert vault.agree()
    assert certificates(vault)[-1]["counts"] == {"recording": 1}
    assert vault.remember() == Forgotten()
    assert len(certificates(vault)) == 1


async def test_what_the_backup_had_no_row_of_loses_its_payload_too(
    vault: Vault, journal: Journal
) -> None:
    vault.copy("empty")
    name = vault.add()
    await vault.erase(name)
    vault.restore("empty", database=True)
    assert vault.remember() == Forgotten(applied=1)
    assert list(vault.store.names()) == [name]
    await purge(journal.write, vault.store, vault.ledger, vault.clock, actor="test")
    assert list(vault.store.names()) == []


async def test_a_database_from_before_there_was_a_ledger_begins_one(vault: Vault) -> None:
    name = vault.add()
    with vault.database.writing() as connection:
        erased = {"data_class": RECORDING, "object_id": name, "payload": name}
        connection.execute(insert(erasures).values(at=vault.clock.now(), **erased))
    assert vault.remember() == Forgotten(appended=1)
    assert vault.lines() == [name]
    assert vault.agree()


async def test_an_older_ledger_is_told_what_the_database_knows(vault: Vault) -> None:
    first, second = vault.add(), vault.add()
    await vault.erase(first)
    vault.copy("old")
    await vault.erase(second)
    vault.restore("old", ledger=True)
    assert vault.remember() == Forgotten(appended=1)
    assert vault.lines() == [first, second]
    assert vault.agree()


async def test_two_that_went_different_ways_forget_what_either_knew(vault: Vault) -> None:
    """The ledger of one history beside the database of another."""
    common, ours, theirs = vault.add(), vault.add(), vault.add()
    await vault.erase(common)
    vault.copy("fork")
    await vault.erase(ours)
    vault.copy("ours")
    vault.restore("fork", database=True, ledger=True)
    await vault.erase(theirs)
    vault.restore("ours", database=True)
    assert vault.states()[theirs] == "sealed"
    assert vault.remember() == Forgotten(applied=1, appended=1)
    assert set(vault.states().values()) == {"erasing"}
    assert vault.lines() == [common, theirs, ours]
    assert vault.agree()


@pytest.mark.parametrize("at_once", [1, 2, 1000])
async def test_many_lines_are_applied_in_small_transactions(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", at_once)
    names = [vault.add() for _ in range(5)]
    vault.copy("old")
    await vault.erase(*names)
    vault.restore("old", database=True)
    assert vault.remember() == Forgotten(applied=5)
    assert vault.agree()
    vault.ledger.path.unlink()
    with vault.database.writing() as connection:
        connection.execute(delete(erasure_mark))
    assert vault.remember() == Forgotten(appended=5)
    assert vault.agree()


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"recording-2", b"recording-3"))


def unknown(path: Path) -> None:
    """A class of a later version."""
    ErasureLedger(path).append(
        [Erasure("subject", "x", None, HandClock().now())], ErasureLedger(path).end()
    )


@pytest.mark.parametrize("damage", [missing, empty, unknown])
async def test_with_a_ledger_that_is_not_trusted_nothing_is_read_or_erased_until_it_is_rebuilt(
    vault: Vault, damage: Callable[[Path], None]
) -> None:
    first, second = vault.add(), vault.add()
    await vault.erase(first)
    damage(vault.ledger.path)
    for _ in range(2):
        with pytest.raises(LedgerError):
            vault.remember()
        assert "it is not known what was erased" in str(vault.fault())
        with pytest.raises(LedgerError):
            await vault.erase(second)
    assert vault.states()[second] == "sealed"
    if damage is unknown:
        return  # what cannot be applied is not thrown away either
    kept = rebuild(vault.database, vault.ledger, vault.clock, actor="test", reason="lost")
    assert (kept is None) == (damage is missing)
    assert (vault.fault(), vault.lines()) == (None, [first])
    assert vault.agree()
    await vault.erase(second)
    assert vault.lines() == [first, second]


async def test_damage_in_the_middle_is_found_by_verifying_and_stands_until_it_is_mended(
    vault: Vault,
) -> None:
    names = [vault.add() for _ in range(4)]
    for name in names:
        await vault.erase(name)
    whole = vault.ledger.path.read_bytes()
    edited(vault.ledger.path)
    assert vault.remember() == Forgotten()
    with pytest.raises(LedgerError, match="damaged at line 3"):
        verify(vault.database, vault.ledger)
    with pytest.raises(LedgerError, match="damaged at line 3"):
        vault.remember()
    assert vault.fault() is not None
    vault.ledger.path.write_bytes(whole)
    vault.remember()
    assert vault.fault() is None
    assert verify(vault.database, vault.ledger) == 4


async def test_a_rebuild_loses_no_line_that_can_still_be_read(vault: Vault) -> None:
    names = [vault.add() for _ in range(4)]
    vault.copy("old")
    for name in names:
        await vault.erase(name)
    edited(vault.ledger.path)
    vault.restore("old", database=True)
    with pytest.raises(LedgerError):
        vault.remember()
    kept = rebuild(vault.database, vault.ledger, vault.clock, actor="test", reason="edited")
    assert kept is not None
    assert kept.exists()
    states = vault.states()
    assert [states[name] for name in (names[0], names[2], names[3])] == ["erasing"] * 3
    with vault.database.reading() as connection:
        actions = list(connection.execute(select(audit.c.action)).scalars())
    assert "erasures.rebuild" in actions
    assert vault.agree()


async def test_a_line_whose_database_failed_is_applied_by_the_next_who_erases(
    vault: Vault,
) -> None:
    first, second = vault.add(), vault.add()
    calls = 0

    async def failing(work: Callable[[Connection], T], /) -> T:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            raise TimeoutError
        return await vault.write(work)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await erase_for_good(
                failing, vault.ledger, lambda c: of_recordings(c, [first], vault.clock.now())
            )
    assert (vault.lines(), vault.states()[first]) == ([first], "sealed")
    await vault.erase(second)
    assert set(vault.states().values()) == {"erasing"}
    assert vault.agree()


async def test_a_ledger_that_is_exchanged_between_line_and_row_acknowledges_nothing(
    vault: Vault,
) -> None:
    first, second = vault.add(), vault.add()
    await vault.erase(first)
    vault.copy("old")
    steps = 0

    async def exchanging(work: Callable[[Connection], T], /) -> T:
        nonlocal steps
        steps += 1
        if steps == 2:
            vault.restore("old", ledger=True)
        return await vault.write(work)

    with pytest.raises(LedgerError, match="was replaced meanwhile"):
        await erase_for_good(
            exchanging, vault.ledger, lambda c: of_recordings(c, [second], vault.clock.now())
        )
    assert vault.states()[second] == "sealed"


async def test_a_delivered_recording_keeps_its_row_until_it_expires(
    vault: Vault, journal: Journal
) -> None:
    name, at = vault.add(), vault.clock.now()
    with vault.database.writing() as connection:
        connection.execute(update(recordings).values(expires_at=None))
    await erase_for_good(vault.write, vault.ledger, lambda _: [Erasure(DELIVERED, name, name, at)])
    assert vault.states() == {name: "delivered"}
    await purge(journal.write, vault.store, vault.ledger, vault.clock, actor="test")
    assert (vault.states(), list(vault.store.names())) == ({name: "delivered"}, [])
    with vault.database.writing() as connection:
        connection.execute(update(recordings).values(expires_at=at))
    await purge(journal.write, vault.store, vault.ledger, vault.clock, actor="test")
    assert vault.states() == {}
    assert vault.agree()


async def test_a_tenants_key_stays_destroyed(vault: Vault) -> None:
    vault.copy("old")
    at = vault.clock.now()
    await erase_for_good(vault.write, vault.ledger, lambda _: [vault.key(at)])
    vault.restore("old", database=True)
    vault.remember()
    with vault.database.reading() as connection:
        row = connection.execute(select(tenant_keys)).one()
    assert (row.wrapped_identity, row.destroyed_at) == (None, at)
    assert vault.agree()


async def test_another_key_under_a_number_that_was_destroyed_stays(vault: Vault) -> None:
    """A database from before a version was made gives its number out again; so does another
    installation with a tenant of that name."""
    at = vault.clock.now()
    await erase_for_good(vault.write, vault.ledger, lambda _: [vault.key(at)])
    with vault.database.writing() as connection:
        connection.execute(
            update(tenant_keys).values(
                recipient="age1pq1another", wrapped_identity=b"another", destroyed_at=None
            )
        )
    rebuild(vault.database, vault.ledger, vault.clock, actor="test", reason="a test")
    with vault.database.reading() as connection:
        row = connection.execute(select(tenant_keys)).one()
    assert (row.wrapped_identity, row.destroyed_at) == (b"another", None)
    assert vault.agree()
