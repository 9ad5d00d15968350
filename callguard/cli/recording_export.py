"""``callguard recording export``: a recording as a file, sealed or plain."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from callguard.cli.recording_verify import RoleOption
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.recording.age import AgeError, NoMatchingIdentity
from callguard.recording.keyring import open_keyring
from callguard.recording.playback.access import GROUNDS, Asked, Refusal, read_ground, read_role
from callguard.recording.playback.admission import (
    Admitted,
    admit,
    admitted,
    consider,
    note_damage,
    note_refusal,
)
from callguard.recording.playback.ranges import PlainRecording, Ranges
from callguard.recording.playback.reading import file_key_of, payload_of, sealed_recording
from callguard.recording.store.objects import ObjectStore
from callguard.recording.store.opening import open_store
from callguard.storage.database import Database

ASKED_EVERY_S: Final = 1.0
"""How long a reading may go on without being asked for again."""

_OWN_FILES: Final = Path("/proc/self/fd")


def export(
    recording: str,
    out: Annotated[Path, typer.Argument(help="The file to write, or - for standard output.")],
    reason: Annotated[str, typer.Option(help="Why it is read; kept in the audit log.")],
    wav: Annotated[bool, typer.Option(help="Decrypted, with the tenant's own key.")] = False,
    ground: Annotated[
        str,
        typer.Option(help=f"Where processing is restricted: {', '.join(GROUNDS)}."),
    ] = "",
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write a recording as an ordinary age file, or as a plain WAV; logged before it is read."""
    reader = read_role(actor(), role)
    asked = Asked(reader, "wav" if wav else "age", reason, read_ground(ground))
    with opened(config) as (settings, database):
        store = open_store(settings)
        if str(out) != "-" and os.path.lexists(out):
            raise CommandError(f"{out} exists already")
        with database.writing() as connection:
            found = admit(connection, asked, recording, SystemClock().now())
        one = admitted(found)
        try:
            pieces = _pieces(one, wav, settings, store)
            size = _write(out, _while_admitted(pieces, lambda: _ask(database, asked, recording)))
        except NoMatchingIdentity:
            raise CommandError(
                "no key that is here opens it; export the sealed file instead"
            ) from None
        except AgeError as error:
            with database.writing() as connection:
                note_damage(connection, asked, one.row, SystemClock().now(), str(error))
            raise
    if str(out) != "-":
        say(as_json, {"recording": recording, "bytes": size}, f"wrote {out}: {size} bytes")


def _pieces(one: Admitted, wav: bool, settings: Settings, store: ObjectStore) -> Iterator[bytes]:
    if wav:
        wrapper = open_keyring(settings).identities
        file_key = file_key_of(one.row, one.identities, wrapper)
        source: Ranges = PlainRecording(payload_of(one.row, store), file_key)
    else:
        source = sealed_recording(one.row, store)
    return source.pieces(0, source.size)


def _while_admitted(pieces: Iterator[bytes], ask: Callable[[], None]) -> Iterator[bytes]:
    """The pieces; ``ask`` is asked now and then, and once all are read, whether it may go on. What
    was erased meanwhile is not left behind in a file."""
    asked_at = time.monotonic()
    for piece in pieces:
        if time.monotonic() - asked_at >= ASKED_EVERY_S:
            ask()
            asked_at = time.monotonic()
        yield piece
    ask()


def _ask(database: Database, asked: Asked, recording: str) -> None:
    """Raises RefusedError."""
    now = SystemClock().now()
    with database.reading() as connection:
        found = consider(connection, asked, recording, now)
    if isinstance(found, Refusal):
        with database.writing() as connection:
            note_refusal(connection, asked, recording, now, found)
    admitted(found)


def _write(out: Path, pieces: Iterator[bytes]) -> int:
    """Writes a file that only its owner reads. It has a name only once it is whole, so nothing is
    left of one that fails or is killed; returns its size."""
    if str(out) == "-":
        return sum(map(sys.stdout.buffer.write, pieces))
    descriptor = _nameless(out.parent)
    if descriptor is None:
        return _write_part(out, pieces)
    with os.fdopen(descriptor, "wb") as file:
        size = _fill(file, pieces)
        folder = os.open(out.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # With a folder given: only then is what lies behind the link linked, not the link.
            written = _OWN_FILES / str(file.fileno())
            os.link(written, out.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
        except FileExistsError as error:
            raise CommandError(f"{out} exists already") from error
        finally:
            os.close(folder)
    return size


def _nameless(folder: Path) -> int | None:
    """A file without a name; None where the file system has none. Raises OSError."""
    if not _OWN_FILES.is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def _write_part(out: Path, pieces: Iterator[bytes]) -> int:
    """As ``_write``, under the name with ``.part`` behind it; that one is left if it is killed."""
    part = out.with_name(f"{out.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{part} exists already") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = _fill(file, pieces)
        if os.path.lexists(out):
            raise CommandError(f"{out} exists already")
        part.rename(out)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def _fill(file: BinaryIO, pieces: Iterator[bytes]) -> int:
    """Writes and syncs; returns the size."""
    size = sum(map(file.write, pieces))
    file.flush()
    os.fsync(file.fileno())
    return size
