"""One payload that grows: opens to the audio, once, wherever its process was killed."""

import io
import os
import random
import tempfile
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callguard.recording import age
from callguard.recording.ending import ending_name
from callguard.recording.formats import FORMATS
from callguard.recording.growing import GrowingPayload, SpoolGrewError
from callguard.recording.part import PartMissing
from callguard.recording.payload import open_stream
from callguard.recording.spool import SpoolEntryMissing, SpoolError
from callguard.recording.store import folder as folder_store
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.wav import WavFormat
from tests.recording.watched import (
    Killed,
    NonceAudit,
    Watched,
    WatchedSpool,
    WatchedStore,
)

KEY = bytes(range(16))
IDENTITY = age.X25519Identity(bytes(range(1, 33)))
NAME = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
SPOOLED = "ab.sln"
CHUNK = age.CHUNK_SIZE
WAV = WavFormat()
HEADER = len(WAV.header())
RELEASED = ("release", "released")


class Call:
    """A call that is recorded, and the lives of the processes that seal it. ``plain`` is the
    length that is durable in the row."""

    def __init__(self, folder: Path, layout: WavFormat = WAV) -> None:
        self.watched = Watched()
        self.store = WatchedStore(folder / "objects", self.watched)
        self.spool = WatchedSpool(folder / "spool", floor=0)
        self.spool.watched, self.spool.header = self.watched, len(layout.header())
        self.spool.prepare()
        self.layout = layout
        self.audio = bytearray()
        self.plain: int | None = None
        self.live()

    def live(self) -> None:
        """The next process."""
        self.payload = GrowingPayload(NAME, SPOOLED, self.layout, self.spool, self.store)
        self.payload.give_key(KEY, closing=self.plain is not None)

    def speak(self, size: int) -> None:
        burst = random.Random(len(self.audio)).randbytes(size)
        self.audio += burst
        with self.spool.path(SPOOLED).open("ab") as file:
            file.write(burst)

    def pause(self, size: int) -> None:
        """What Asterisk writes while it is silent."""
        self.audio += bytes(size)
        with self.spool.path(SPOOLED).open("ab") as file:
            file.write(bytes(size))

    def close(self) -> bytes:
        """As the closer does; the payload."""
        first = self.plain is None
        if self.plain is None:
            if self.store.exists(NAME):
                self.plain = 0
            else:
                self.plain = self.payload.header_size + self.payload.catch_up()
        sealed = self.payload.finish(self.plain, first=first)
        payload = self.store.read(NAME)
        assert sealed.sealed_bytes == len(payload)
        assert sealed.plain_bytes == self.plain
        return payload

    def wipe_spool(self) -> None:
        self.spool.path(SPOOLED).unlink(missing_ok=True)

    @property
    def wanted(self) -> bytes:
        return self.layout.header() + bytes(self.audio)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    NonceAudit(monkeypatch)
    return Call(tmp_path)


def opened(payload: bytes) -> bytes:
    """With our reader and the independent one, which must agree."""
    ours = b"".join(open_stream([payload], KEY))
    out = io.BytesIO()
    file = age.build_header(KEY, [IDENTITY.recipient]) + payload
    pyrage.decrypt_io(io.BytesIO(file), out, [pyrage.x25519.Identity.from_str(IDENTITY.encode())])
    assert out.getvalue() == ours
    return ours


SIZES = st.one_of(
    st.integers(1, 2 * CHUNK),
    st.just(32 * 1024),
    st.builds(lambda n, d: n * CHUNK + d - HEADER, st.integers(1, 2), st.integers(-1, 1)),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    bursts=st.lists(SIZES, min_size=1, max_size=7),
    kills=st.lists(st.integers(0, 14), max_size=6),
    end_kills=st.lists(st.integers(0, 12), max_size=4),
)
@example(bursts=[CHUNK - HEADER], kills=[], end_kills=[1])
@example(bursts=[CHUNK - HEADER, 1], kills=[0, 1, 2, 3, 4], end_kills=[0, 1, 2, 3, 4])
def test_killed_anywhere_the_payload_opens_to_what_was_said_once(
    bursts: list[int], kills: list[int], end_kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_store, "sync_folder", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        NonceAudit(patch)
        call = Call(Path(folder))
        for size in bursts:
            call.speak(size)
            call.watched.kill_in = kills.pop() if kills else None
            try:
                call.payload.advance()
            except Killed:
                call.live()
            held = len(call.audio) - call.payload.chunks * CHUNK
            assert held <= CHUNK + sum(bursts)
        payload = None
        while payload is None:
            call.watched.kill_in = end_kills.pop() if end_kills else None
            try:
                payload = call.close()
            except Killed:
                call.live()
        assert opened(payload) == call.wanted
        assert call.store.parts() == []
        assert list(call.store.names()) == [NAME]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    bursts=st.lists(SIZES, min_size=1, max_size=6),
    kills=st.lists(st.integers(0, 14), max_size=3),
    cut_in=st.integers(0, 30),
    end_kills=st.lists(st.integers(0, 9), max_size=3),
    end_cuts=st.booleans(),
)
@example(bursts=[CHUNK, CHUNK], kills=[], cut_in=30, end_kills=[2, 1, 0], end_cuts=True)
def test_after_a_power_cut_what_was_released_opens_and_ends_as_it_should(
    bursts: list[int], kills: list[int], cut_in: int, end_kills: list[int], end_cuts: bool
) -> None:
    """The spool is gone, and of the part whatever was not durable."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_store, "sync_folder", lambda _: None)
        patch.setattr(os, "fdatasync", lambda _: None)
        NonceAudit(patch)
        call = Call(Path(folder))
        try:
            for size in bursts:
                call.speak(size)
                if kills:
                    call.watched.kill_in = kills.pop()
                    try:
                        call.payload.advance()
                    except Killed:
                        call.live()
                call.watched.kill_in = cut_in
                call.payload.advance()
                cut_in = call.watched.kill_in or 0
            payload: bytes | None = call.close()
        except Killed:
            payload = None
        if payload is None:
            steps = call.watched.steps
            durable = (max(call.watched.durable.values(), default=0)) // age.SEALED_CHUNK_SIZE
            call.wipe_spool()
            call.store.cut_power()
            call.watched.kill_in = None
            call.live()
            payload = salvaged(call, end_kills, cutting=end_cuts)
            if payload is None:
                assert durable == 0, steps
                return
            assert len(opened(payload)) >= durable * CHUNK
        plain = opened(payload)
        assert call.wanted.startswith(plain)
        assert call.store.parts() == []
        assert list(call.store.names()) == [NAME]


def salvaged(call: Call, kills: list[int], *, cutting: bool) -> bytes | None:
    """As the closer does where the spool is gone; None where there is nothing."""
    while True:
        call.watched.kill_in = kills.pop() if kills else None
        try:
            if call.plain is not None or call.store.exists(NAME):
                try:
                    call.payload.finish(call.plain or 0, first=False)
                    return call.store.read(NAME)
                except SpoolEntryMissing:
                    pass
            kept = call.payload.salvage()
            if not kept:
                return None
            call.plain = kept
            call.payload.finish(kept, first=False)
            return call.store.read(NAME)
        except Killed:
            if cutting:
                call.store.cut_power()
            call.live()


def test_audio_is_released_only_once_its_chunk_is_durable(call: Call) -> None:
    call.speak(3 * CHUNK)
    assert call.payload.advance() == 3
    order = [s for s in call.watched.steps if s in ("synced", "release")]
    assert order[-2:] == ["synced", "release"]
    with call.spool.open(SPOOLED) as entry:
        assert entry.read(0, 3 * CHUNK - HEADER) == bytes(3 * CHUNK - HEADER)
        assert entry.read(3 * CHUNK - HEADER, 99) == call.audio[3 * CHUNK - HEADER :][:99]
        assert entry.size() == 3 * CHUNK
    assert opened(call.close()) == call.wanted


def test_where_syncing_fails_nothing_is_released_and_it_is_sealed_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call.speak(2 * CHUNK)
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fdatasync", full)
        with pytest.raises(ObjectStoreError, match="No space"):
            call.payload.advance()
    assert "release" not in call.watched.steps
    assert call.payload.chunks == 0
    call.watched.steps.clear()
    call.payload.advance()
    # A second sync alone would say that all is well.
    assert call.watched.steps == ["truncated", "write", "written", "sync", "synced", *RELEASED]
    assert call.payload.chunks == 2
    assert opened(call.close()) == call.wanted


def test_where_syncing_goes_on_failing_what_was_written_is_never_taken_for_durable(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call.speak(2 * CHUNK)
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr(os, "fdatasync", full)
        for _ in range(3):
            with pytest.raises(ObjectStoreError):
                call.payload.advance()
    call.watched.steps.clear()
    call.payload.advance()
    assert call.watched.steps[:5] == ["truncated", "write", "written", "sync", "synced"]
    assert opened(call.close()) == call.wanted


def test_a_whole_payload_that_could_not_be_committed_is_written_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call.speak(CHUNK + 99)
    with monkeypatch.context() as patch:
        patch.setattr(folder_store.FolderWriter, "commit", failing_commit)
        with pytest.raises(ObjectStoreError, match="commit"):
            call.close()
    call.watched.steps.clear()
    assert opened(call.close()) == call.wanted
    assert call.watched.steps[:3] == ["truncated", "write", "written"]


def failing_commit(_: folder_store.FolderWriter) -> None:
    raise ObjectStoreError("cannot commit")


def test_what_could_not_be_released_is_later(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call.speak(2 * CHUNK)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr("callguard.recording.spool.punch_hole", fail)
        with pytest.raises(SpoolError):
            call.payload.advance()
    assert call.payload.is_due(2 * CHUNK)
    assert call.payload.advance() == 0
    assert not call.payload.is_due(2 * CHUNK)
    with call.spool.open(SPOOLED) as entry:
        assert entry.first_data() > CHUNK


def test_the_next_process_releases_what_a_killed_one_had_made_durable(call: Call) -> None:
    call.speak(CHUNK)
    call.watched.kill_in = call_steps_until(call, "release")
    with pytest.raises(Killed, match="release"):
        call.payload.advance()
    call.live()
    assert call.payload.is_due(CHUNK)
    assert call.payload.advance() == 0
    with call.spool.open(SPOOLED) as entry:
        assert entry.read(0, CHUNK - HEADER) == bytes(CHUNK - HEADER)


def call_steps_until(call: Call, name: str) -> int:
    """How many steps come before the first of that name, for one chunk of a new part."""
    return ["write", "written", "write", "written", "sync", "synced", "release"].index(name)


def test_growth_before_the_last_chunk_is_sealed_reopens_it(call: Call) -> None:
    call.speak(1000)
    size = call.payload.catch_up()
    call.speak(2 * CHUNK)
    with pytest.raises(SpoolGrewError, match="grew"):
        call.payload.finish(HEADER + size, first=True)
    assert call.payload.advance() == 0
    call.payload.reopen()
    assert call.payload.advance() == 2
    assert opened(call.close()) == call.wanted


def test_growth_after_a_last_chunk_may_have_been_sealed_is_named_and_not_sealed(
    call: Call,
) -> None:
    call.speak(1000)
    plain = HEADER + call.payload.catch_up()
    call.speak(3 * CHUNK)
    call.plain = plain
    call.live()
    assert call.payload.advance() == 0
    sealed = call.payload.finish(plain, first=False)
    assert sealed.late == 3 * CHUNK
    assert opened(call.store.read(NAME)) == call.wanted[:plain]


def test_a_committed_payload_is_looked_at_and_not_sealed_again(call: Call) -> None:
    call.speak(CHUNK + 5)
    payload = call.close()
    call.live()
    again = call.payload.finish(0, first=False)
    assert (again.plain_bytes, again.sealed_bytes) == (HEADER + CHUNK + 5, len(payload))
    path = next((call.store.root / "objects").rglob(NAME))
    path.chmod(0o600)
    path.write_bytes(payload[:-3])
    call.live()
    with pytest.raises(ObjectStoreError, match="not whole"):
        call.payload.finish(0, first=False)


def test_a_part_that_lacks_what_was_released_is_never_sealed_over(call: Call) -> None:
    """Zeros under a nonce that sealed sound would give the sound away."""
    call.speak(4 * CHUNK)
    assert call.payload.advance() == 4
    part = call.store.root / "parts" / NAME
    with part.open("r+b") as file:
        file.truncate(age.NONCE_SIZE + 2 * age.SEALED_CHUNK_SIZE)
    call.speak(CHUNK)
    with pytest.raises(ObjectStoreError, match="shorter than it was"):
        call.payload.advance()
    call.live()
    with pytest.raises(ObjectStoreError, match="was released"):
        call.payload.advance()


def test_a_part_that_is_gone_is_begun_anew_and_what_it_held_is_silence(call: Call) -> None:
    call.speak(2 * CHUNK)
    call.payload.advance()
    call.store.delete([NAME])
    call.watched.durable.clear()
    call.speak(CHUNK)
    with pytest.raises(PartMissing):
        call.payload.advance()
    call.payload.start_over()
    assert call.payload.advance() == 3
    gone = 2 * CHUNK - HEADER
    assert gone <= call.payload.silenced < gone + 4096
    plain = opened(call.close())
    assert plain == WAV.header() + bytes(gone) + bytes(call.audio[gone:])


def test_a_chunk_that_a_power_cut_left_unreadable_is_sealed_again_from_the_spool(
    call: Call,
) -> None:
    """Where the spool is on a disk and outlived it."""
    call.speak(2 * CHUNK)
    call.watched.kill_in = 6  # the nonce, two chunks; before they are synced
    with pytest.raises(Killed):
        call.payload.advance()
    part = call.store.root / "parts" / NAME
    with part.open("r+b") as file:
        file.seek(age.NONCE_SIZE + age.SEALED_CHUNK_SIZE)
        file.write(bytes(4096))
    call.live()
    call.payload.advance()
    assert opened(call.close()) == call.wanted


@pytest.mark.parametrize("paused_from", [1, 2])
def test_a_paused_stretch_that_a_power_cut_left_unreadable_is_sealed_again_too(
    call: Call, paused_from: int
) -> None:
    """Zeros in the spool are what was recorded; what is released is a hole, or zeros to the end."""
    call.speak(paused_from * CHUNK)
    if paused_from == 2:
        call.payload.advance()
    call.pause(2 * CHUNK)
    call.watched.kill_in = {1: 7, 2: 3}[paused_from]  # once the last chunk, all silence, is written
    with pytest.raises(Killed):
        call.payload.advance()
    part = call.store.root / "parts" / NAME
    last = (part.stat().st_size - age.NONCE_SIZE) // age.SEALED_CHUNK_SIZE - 1
    with part.open("r+b") as file:
        file.seek(age.NONCE_SIZE + last * age.SEALED_CHUNK_SIZE)
        file.write(bytes(4096))
    call.live()
    call.payload.advance()
    assert opened(call.close()) == call.wanted


def test_two_processes_never_seal_one_recording_at_once(call: Call) -> None:
    call.speak(2 * CHUNK)
    with call.store.inner.writer(NAME), pytest.raises(ObjectStoreError, match="being written"):
        call.payload.advance()


def test_two_processes_in_turn_seal_the_same(call: Call) -> None:
    other = GrowingPayload(NAME, SPOOLED, WAV, call.spool, call.store)
    other.give_key(KEY)
    for turn in range(6):
        call.speak(CHUNK)
        (other if turn % 2 else call.payload).advance()
    assert opened(call.close()) == call.wanted


def test_a_spool_entry_that_shrinks_closes_with_what_is_sealed(call: Call) -> None:
    call.speak(3 * CHUNK)
    call.payload.advance()
    os.truncate(call.spool.path(SPOOLED), 1000)
    with pytest.raises(SpoolEntryMissing, match="not what it was"):
        call.payload.catch_up()
    call.live()
    plain = HEADER + call.payload.catch_up()
    with pytest.raises(SpoolEntryMissing, match="shorter"):
        call.payload.finish(plain, first=True)
    kept = call.payload.salvage()
    assert kept == 3 * CHUNK
    call.payload.finish(kept, first=False)
    assert opened(call.store.read(NAME)) == call.wanted[: 3 * CHUNK]


def test_no_copy_of_a_last_chunk_is_left(call: Call) -> None:
    call.speak(2 * CHUNK)
    call.payload.advance()
    call.wipe_spool()
    call.live()
    kept = call.payload.salvage()
    call.payload.finish(kept, first=False)
    assert not call.store.exists(ending_name(NAME))
    assert opened(call.store.read(NAME)) == call.wanted[:kept]


@pytest.mark.parametrize("coding", FORMATS.values(), ids=FORMATS)
def test_every_format_is_sealed_behind_its_own_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coding: object
) -> None:
    NonceAudit(monkeypatch)
    call = Call(tmp_path, coding.wav)  # type: ignore[attr-defined]  # parametrized
    for _ in range(5):
        call.speak(32 * 1024)
        call.payload.advance()
    assert opened(call.close()) == call.wanted


def test_without_its_key_nothing_is_sealed(call: Call) -> None:
    call.speak(CHUNK)
    call.payload.forget_key()
    assert not call.payload.has_key
    with pytest.raises(ObjectStoreError, match="without its key"):
        call.payload.advance()
