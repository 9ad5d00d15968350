"""``callguard recording``: lists and exports, each logged before it is read."""

import io
import sqlite3
import sys
import wave
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import insert

from callguard.cli import recording_export
from callguard.recording import age
from callguard.recording.store.folder import FolderStore
from callguard.recording.wav import WavFormat
from callguard.storage.schema import recording_events, recordings
from tests.cli.conftest import CommandLine
from tests.cli.recorded import change, exports, kept, log_of, record
from tests.recording.playback.vault import AUDIO, CALL
from tests.recording.sealing import X25519, open_file


def export(callguard: CommandLine, name: str, out: Path, *more: str) -> tuple[int, str]:
    said = callguard("recording", "export", name, str(out), "--reason", "תלונה 7", *more)
    return said.code, said.err


def test_a_recording_is_listed(acme: CommandLine) -> None:
    name = record(acme)
    rows = acme("recording", "list", "--json").json()
    assert isinstance(rows, list)
    (row,) = rows
    assert (row["recording"], row["call"], row["tenant"]) == (name, CALL, "acme")
    assert row["state"] == "sealed"
    assert datetime.fromisoformat(row["expires"]) > datetime.now(UTC)
    assert acme("recording", "list", "--tenant", "acme", "--json").json() == rows
    assert "acme" in acme("recording", "list").out.replace("\n", "")
    acme("recording", "list", "--tenant", "nobody").refused("there is no tenant nobody")
    acme("tenant", "add", "two", "--key", "x25519")
    assert acme("recording", "list", "--tenant", "two", "--json").json() == []


def test_an_export_is_an_age_file_or_a_wav_that_only_its_owner_reads(acme: CommandLine) -> None:
    name = record(acme)
    sealed, plain = acme.folder / "הקלטה.age", acme.folder / "out.wav"
    assert export(acme, name, sealed) == (0, "")
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n")
    answer = acme(
        *("recording", "export", name, str(plain), "--reason", "x", "--wav", "--json")
    ).json()
    assert answer == {"recording": name, "bytes": len(AUDIO) + 44}
    assert plain.read_bytes()[44:] == AUDIO
    with wave.open(str(plain)) as opened:
        assert opened.getnframes() == len(AUDIO) // 2
    assert [path.stat().st_mode & 0o777 for path in (sealed, plain)] == [0o600, 0o600]
    logged = exports(acme)
    assert '"form":"age"' in logged[0]
    assert "\\u05ea" in logged[0]
    assert '"form":"wav"' in logged[1]


def test_a_file_that_is_there_is_not_touched(acme: CommandLine) -> None:
    out = acme.folder / "out.age"
    out.write_bytes(b"dear")
    assert export(acme, record(acme), out) == (1, f"callguard: {out} exists already\n")
    assert out.read_bytes() == b"dear"


def test_a_place_that_is_not_there_is_one_line(acme: CommandLine) -> None:
    code, err = export(acme, record(acme), acme.folder / "absent" / "out.age")
    assert (code, err.count("\n")) == (1, 1)
    assert "No such file or directory" in err


def test_what_cannot_be_read_leaves_no_file(acme: CommandLine) -> None:
    name, out = record(acme), acme.folder / "out"

    def refused(reason: str, *more: str, recording: str = name) -> None:
        code, err = export(acme, recording, out, *more)
        assert (code, err.count("\n")) == (1, 1)
        assert reason in err
        assert not out.exists()

    refused("there is no recording nothing", recording="nothing")
    refused(f"there is no recording {'x' * 80}\n", recording="x" * 500)
    assert exports(acme) == []
    FolderStore(acme.data / "objects").delete([name])
    refused("there is none")
    (acme.data / "master.key").chmod(0o644)
    refused("has mode 0644", "--wav")
    change(acme, state="empty")
    refused("is empty: nothing was said")
    change(acme, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    refused(f"there is no recording {name}")


def test_a_purged_recording_is_as_if_it_never_was(acme: CommandLine) -> None:
    name = record(acme)
    change(acme, expires_at=datetime.now(UTC))
    rows = acme("purge", "--dry-run", "--json").json()
    assert isinstance(rows, list)
    assert [(row["class"], row["tenant"], row["count"]) for row in rows] == [
        ("recording", "acme", 1)
    ]
    certificate = acme("purge", "--json").json()
    assert isinstance(certificate, dict)
    assert certificate["counts"]["recording"] == 1
    assert export(acme, name, acme.folder / "out")[0] == 1
    assert acme("recording", "list", "--json").json() == []
    assert list(FolderStore(acme.data / "objects").names()) == []
    with sqlite3.connect(acme.data / "callguard.db") as other:
        assert other.execute("SELECT count(*) FROM erasures").fetchone() == (1,)
    other.close()


def test_a_reason_is_needed(acme: CommandLine) -> None:
    name = record(acme)
    for reason in ("", " ", "\u2026", "two\nlines", "x" * 501):
        acme("recording", "export", name, "y", "--reason", reason).refused("reason")
    assert exports(acme) == []


def test_only_the_tenant_opens_what_is_sealed_for_outside_keys(callguard: CommandLine) -> None:
    recipient = str(X25519.recipient)
    callguard("tenant", "add", "out", "--key", "none", "--recipient", recipient)
    name, out = record(callguard, "out"), callguard.folder / "out"
    code, err = export(callguard, name, out, "--wav")
    assert (code, err.count("\n")) == (1, 1)
    assert "only the tenant holds the key" in err
    assert not out.exists()
    assert export(callguard, name, out) == (0, "")
    assert open_file(out.read_bytes(), [X25519]) == WavFormat().header() + AUDIO


def test_a_key_that_does_not_match_is_one_line(acme: CommandLine) -> None:
    name, out = record(acme), acme.folder / "out"
    change(acme, header=age.build_header(age.new_file_key(), [X25519.recipient]))
    code, err = export(acme, name, out, "--wav")
    said = "callguard: no key that is here opens it; export the sealed file instead\n"
    assert (code, err) == (1, said)
    assert not out.exists()
    assert [action for action, _ in log_of(acme)] == ["recording.export"]  # it is not damaged


def test_a_dash_is_standard_output_and_nothing_else_goes_there(acme: CommandLine) -> None:
    name, out = record(acme), io.BytesIO()
    acme.patch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
    code, err = export(acme, name, Path("-"), "--wav", "--json")
    assert (code, err, out.getvalue()[:4], out.getvalue()[44:]) == (0, "", b"RIFF", AUDIO)


def there(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("nameless", [True, False])
def test_an_export_has_its_name_only_once_it_is_whole(acme: CommandLine, nameless: bool) -> None:
    if not nameless:
        acme.patch.setattr(recording_export, "_OWN_FILES", acme.folder / "absent")
    name, folder = record(acme), acme.folder / "exports"
    folder.mkdir()
    out, seen = folder / "a.wav", list[list[str]]()
    fill = recording_export._fill

    def watched(file: BinaryIO, pieces: Iterator[bytes]) -> int:
        size = fill(file, pieces)
        seen.append(there(folder))
        return size

    acme.patch.setattr(recording_export, "_fill", watched)
    assert export(acme, name, out, "--wav") == (0, "")
    assert seen == [[] if nameless else ["a.wav.part"]]
    assert (there(folder), out.read_bytes()[44:]) == (["a.wav"], AUDIO)
    assert out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("nameless", [True, False])
def test_what_took_the_name_meanwhile_is_not_touched(acme: CommandLine, nameless: bool) -> None:
    if not nameless:
        acme.patch.setattr(recording_export, "_OWN_FILES", acme.folder / "absent")
    name, folder = record(acme), acme.folder / "exports"
    folder.mkdir()
    out, fill = folder / "a.wav", recording_export._fill

    def overtaken(file: BinaryIO, pieces: Iterator[bytes]) -> int:
        out.symlink_to("nowhere")
        return fill(file, pieces)

    acme.patch.setattr(recording_export, "_fill", overtaken)
    assert export(acme, name, out) == (1, f"callguard: {out} exists already\n")
    assert (there(folder), out.is_symlink()) == (["a.wav"], True)


def test_what_is_erased_while_it_is_exported_is_not_left_behind(acme: CommandLine) -> None:
    name, out = record(acme), acme.folder / "out"
    read = FolderStore.read

    def erased(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        change(acme, state="erasing", header=None)
        return read(self, name, offset, size)

    acme.patch.setattr(FolderStore, "read", erased)
    code, err = export(acme, name, out)
    assert (code, out.exists()) == (1, False)
    assert "has been erased" in err
    assert [action for action, _ in log_of(acme)] == ["recording.export", "recording.refused"]


def test_what_happened_to_a_recording_is_shown_also_once_it_is_gone(acme: CommandLine) -> None:
    name = record(acme)
    happened: list[tuple[str, str, str | None]] = [("started", "callguard", None)]
    happened += [("paused", "agent", None)]
    happened += [("silenced", "callguard", "paused"), ("erased", "subject", "\u202eבקשה")]
    with kept(acme) as database, database.writing() as connection:
        for second, (kind, by, reason) in enumerate(happened):
            at = datetime(2026, 11, 20, 12, 0, second, 5000, tzinfo=UTC)
            ours = {"id": f"e{second}", "recording_id": name, "call_id": CALL, "tenant_id": "acme"}
            what = {"kind": kind, "by": by, "reason": reason, "at": at}
            connection.execute(insert(recording_events).values(**ours, **what))
    said = acme("recording", "show", name, "--json").json()
    assert isinstance(said, dict)
    assert (said["state"], said["call"], said["channel"]) == ("sealed", CALL, "east 1.1")
    assert [(one["event"], one["by"], one["reason"]) for one in said["events"]] == happened
    assert said["events"][1]["at"] == "2026-11-20T12:00:01.005+00:00"
    text = acme("recording", "show", name)
    assert f"sha256: {said['sha256']}" in text.out
    assert "בקשה" in text.out
    assert "\u202e" not in text.out
    with kept(acme) as database, database.writing() as connection:
        connection.execute(recordings.delete())
    said = acme("recording", "show", name, "--json").json()
    assert isinstance(said, dict)
    assert (said["state"], said["call"], len(said["events"])) == ("gone", CALL, 4)
    acme("recording", "show", "nothing").refused("there is no recording nothing")
