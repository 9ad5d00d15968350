"""``callguard recording erase``: gone for good, in every copy, and after every restore."""

import random
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from callguard.config import Settings
from callguard.recording import age
from callguard.recording.keyring import open_keyring
from callguard.recording.keys import open_tenant_identity
from callguard.recording.payload import open_stream
from callguard.storage.schema import holds, recordings, tenant_keys
from tests.cli.conftest import CommandLine
from tests.cli.recorded import kept, log_of, record, store_of
from tests.recording.playback.vault import AUDIO, CALL, hold

ERASE = ("--reason", "בקשה 12", "--yes")


def backup(callguard: CommandLine, name: str) -> Path:
    """A copy of the data folder while nothing runs."""
    with kept(callguard) as database:
        database.checkpoint()
    return Path(shutil.copytree(callguard.data, callguard.folder / name))


def restore(callguard: CommandLine, copy: Path, *names: str) -> None:
    """Puts folders and files of a copy over what is there."""
    for name in names:
        if (copy / name).is_dir():
            shutil.copytree(copy / name, callguard.data / name, dirs_exist_ok=True)
        else:
            for there in callguard.data.glob(f"{name}*"):
                there.unlink()
            shutil.copy2(copy / name, callguard.data / name)


def headers(callguard: CommandLine) -> dict[str, bytes | None]:
    with kept(callguard) as database, database.reading() as connection:
        return {row.id: row.header for row in connection.execute(select(recordings))}


def opens(callguard: CommandLine, payload: bytes, tried: Iterable[bytes | None]) -> bool:
    """Whether any header with any identity in the database opens the payload."""
    settings = Settings.load(callguard.config)
    wrapper = open_keyring(settings).identities
    with kept(callguard) as database, database.reading() as connection:
        keys = connection.execute(select(tenant_keys)).all()
    identities = [
        open_tenant_identity(wrapper, key.wrapped_identity, key.tenant_id, key.version)
        for key in keys
    ]
    assert identities
    for header in filter(None, tried):
        file_key = age.unwrap(age.parse_header(header), identities)
        try:
            for _ in open_stream([payload], file_key):
                pass
        except age.PayloadError:
            continue
        return True
    return False


def plays(callguard: CommandLine, name: str) -> bool:
    out = callguard.folder / f"{name}.wav"
    said = callguard("recording", "export", name, str(out), "--reason", "test", "--wav")
    if said.code:
        return False
    audio = out.read_bytes()[44:]
    out.unlink()
    return audio == AUDIO


def test_an_erased_recording_stays_erased_whatever_is_restored(acme: CommandLine) -> None:
    gone, stays = record(acme), record(acme)
    copy = backup(acme, "backup")
    payload, before = store_of(acme).read(gone), headers(acme)
    assert opens(acme, payload, [before[gone]])
    assert acme("recording", "erase", gone, *ERASE).code == 0
    assert list(store_of(acme).names()) == [stays]

    restore(acme, copy, "objects")
    assert store_of(acme).read(gone) == payload
    assert not opens(acme, payload, headers(acme).values())
    assert (plays(acme, gone), plays(acme, stays)) == (False, True)

    restore(acme, copy, "objects", "callguard.db")
    assert headers(acme)[gone] == before[gone]  # as the backup has it, before anybody came
    assert acme("recording", "list").code == 0
    assert headers(acme) == {gone: None, stays: before[stays]}
    assert not opens(acme, payload, headers(acme).values())
    assert (plays(acme, gone), plays(acme, stays)) == (False, True)
    assert acme("purge").code == 0
    assert list(store_of(acme).names()) == [stays]
    assert "is gone already" in acme("recording", "erase", gone, *ERASE).out
    assert plays(acme, stays)


def test_the_first_command_after_a_restore_reads_nothing_that_was_erased(
    acme: CommandLine,
) -> None:
    gone = record(acme)
    copy = backup(acme, "backup")
    acme("recording", "erase", gone, *ERASE)
    restore(acme, copy, "objects", "callguard.db")
    assert not plays(acme, gone)
    assert [action for action, _ in log_of(acme)].count("recording.export") == 0


def test_an_older_ledger_beside_a_newer_database_is_made_whole(acme: CommandLine) -> None:
    first, second, stays = record(acme), record(acme), record(acme)
    acme("recording", "erase", first, *ERASE)
    copy = backup(acme, "backup")
    acme("recording", "erase", second, *ERASE)
    newest = backup(acme, "newest")
    restore(acme, copy, "erasures.ledger")
    said = acme("recording", "ledger")
    assert (said.code, "forgotten_again" in said.err) == (0, True)
    assert acme("recording", "ledger", "--json").json() == {
        "lines": 2,
        "applied": 0,
        "appended": 0,
        "kept": None,
    }
    restore(acme, copy, "objects", "callguard.db")
    assert (plays(acme, second), plays(acme, stays)) == (False, True)
    restore(acme, newest, "erasures.ledger")
    assert "2 lines, and the database agrees" in acme("recording", "ledger").out


@pytest.mark.parametrize("kind", ["x25519", "pq"])
def test_nothing_of_an_erased_header_is_left_in_the_database(
    callguard: CommandLine, kind: str
) -> None:
    """Rows before and after it come and go, so that pages are split and put together; a service
    that is connected keeps the log from going with the command."""
    acme, chance = callguard, random.Random(6)
    assert acme("tenant", "add", "acme", "--key", kind).code == 0
    names = [record(acme, audio=b"") for _ in range(24)]
    found = headers(acme)

    def has(header: bytes) -> bool:
        # Piece by piece: a long one is spread over pages.
        pieces = [header[at : at + 24] for at in range(40, len(header) - 24, 24)]
        files = [path.read_bytes() for path in acme.data.glob("callguard.db*")]
        return any(piece in data for data in files for piece in pieces)

    chance.shuffle(names)
    with kept(acme) as service:
        with service.reading() as connection:
            connection.execute(select(recordings.c.id)).all()
        for name in names[:6]:
            header = found[name]
            assert header is not None
            assert has(header)
            assert acme("recording", "erase", name, *ERASE).code == 0
            assert not has(header)
            record(acme, audio=b"")


def test_a_call_is_erased_with_all_its_recordings(acme: CommandLine) -> None:
    names = [record(acme), record(acme)]
    said = acme("recording", "erase", "--call", CALL, *ERASE, "--json").json()
    assert isinstance(said, list)
    assert [one["recording"] for one in said] == names
    assert all(one["done_at"] and one["sha256"] for one in said)
    assert headers(acme) == {}
    acme("recording", "erase", "--call", CALL, *ERASE).refused("there is no recording of call")


def test_a_certificate_is_told_and_the_reason_is_in_the_audit_log(acme: CommandLine) -> None:
    name = record(acme)
    said = acme("recording", "erase", name, *ERASE)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"erased {name} at ")
    (details,) = [details for action, details in log_of(acme) if action == "recording.erase"]
    assert "\\u05d1" in details
    again = acme("recording", "erase", name, *ERASE, "--json").json()
    assert isinstance(again, dict)
    assert (again["already"], again["done_at"] is not None) == (True, True)


def test_what_is_asked_wrongly_erases_nothing(acme: CommandLine) -> None:
    name = record(acme)
    with kept(acme) as database:
        held = hold(database, datetime.now(UTC), call_id=CALL)
    acme("recording", "erase", name, *ERASE).refused(f"hold {held} is on it")
    acme("recording", "erase", "--call", CALL, *ERASE).refused(f"hold {held} is on it")
    with kept(acme) as database, database.writing() as connection:
        connection.execute(update(holds).values(released_at=datetime.now(UTC)))
    acme("recording", "erase", "nothing", *ERASE).refused("there is no recording nothing")
    acme("recording", "erase", name, "--reason", " ", "--yes").refused("needs a reason")
    acme("recording", "erase", *ERASE).refused("name one recording, or a call")
    acme("recording", "erase", name, "--call", CALL, *ERASE).refused("name one recording")
    assert acme("recording", "erase", name, "--reason", "x").code == 1  # nobody said yes
    assert plays(acme, name)
    assert not (acme.data / "erasures.ledger").exists()


def test_without_its_ledger_nothing_is_read_until_it_is_rebuilt(acme: CommandLine) -> None:
    gone, stays = record(acme), record(acme)
    acme("recording", "erase", gone, *ERASE)
    (acme.data / "erasures.ledger").unlink()
    assert acme("recording", "list").code == 0
    out = acme.folder / "out.wav"
    acme("recording", "export", stays, str(out), "--reason", "x").refused("ledger")
    acme("recording", "verify", "--all").refused("it is not known what was erased")
    acme("recording", "erase", stays, *ERASE).refused("is missing")
    acme("recording", "ledger").refused("is missing")
    acme("recording", "ledger", "--rebuild").refused("needs a reason")
    assert acme("recording", "ledger", "--rebuild", "--reason", "a lost disk").code == 0
    assert (plays(acme, gone), plays(acme, stays)) == (False, True)
