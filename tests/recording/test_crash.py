"""The sealing process is killed for real, again and again: the audio is whole, once, and no two
plaintexts were sealed under one nonce. ``CALLGUARD_KILLS`` says how often at random moments."""

import asyncio
import io
import itertools
import multiprocessing
import os
import random
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from sqlalchemy import func, select

from callguard.recording import age
from callguard.recording.keys import identity_context
from callguard.recording.payload import open_stream
from callguard.recording.playback.reading import sealed_file
from callguard.recording.recorder import OpenRecording
from callguard.recording.wav import WavFormat
from callguard.storage.schema import audit, recordings, tenant_keys
from tests.recording.conftest import MASTER, House
from tests.recording.reading import sealed_row
from tests.recording.sealing_child import STEPS, Death, seal

KILLS = int(os.environ.get("CALLGUARD_KILLS", "12"))
KILLS_A_CALL = 4
BURST = 32 * 1024
BURSTS_A_LIFE = 8
BURSTS = KILLS_A_CALL * BURSTS_A_LIFE


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.recording.sealing_child"])
    return context


class Mixing:
    """Asterisk's MixMonitor: bursts into a file that it holds open until it lets go."""

    def __init__(self, house: House, recording: OpenRecording, seed: int) -> None:
        random_bytes = random.Random(seed)
        self.bursts = [random_bytes.randbytes(BURST) for _ in range(BURSTS)]
        self.bursts.append(random_bytes.randbytes(random_bytes.randrange(1, BURST)))
        self.file = house.spool.path(recording.spool_name).open("ab", buffering=0)
        self.said = b""

    def speak(self) -> bool:
        """Whether there is more to say."""
        if not self.bursts:
            return False
        burst = self.bursts.pop(0)
        self.file.write(burst)
        self.said += burst
        return True

    def stop(self) -> None:
        while self.speak():
            pass
        self.file.close()


class Sealing:
    """The lives of a sealing process."""

    def __init__(self, context: ForkServerContext, root: Path) -> None:
        self.context, self.root = context, root

    def run(self, death: Death | None = None) -> bool:
        """One life; whether it ended as it should."""
        process = self.context.Process(target=seal, args=(self.root, death))
        process.start()
        process.join(20)
        alive = process.is_alive()
        if alive:
            process.kill()
            process.join(5)
        assert not alive, "it did not finish"
        code = process.exitcode
        process.close()
        assert code in (0, -9), code
        return code == 0


def check(house: House, recording: OpenRecording, audio: bytes, root: Path) -> None:
    with house.database.reading() as connection:
        row = sealed_row(connection, recording.id, house.clock.now())
        wrapped = connection.execute(select(tenant_keys.c.wrapped_identity)).scalar_one()
        sealed = b"".join(sealed_file(row, house.store))
        seals = select(func.count()).where(audit.c.target == f"recording:{recording.id}")
        assert connection.execute(seals).scalar_one() == 1
    text = MASTER.unwrap(wrapped, identity_context("acme", 1)).decode()
    out = io.BytesIO()
    pyrage.decrypt_io(io.BytesIO(sealed), out, [pyrage.x25519.Identity.from_str(text)])
    assert out.getvalue() == WavFormat().header() + audio
    assert (row.missing_bytes, row.wrapped_file_key) == (None, None)
    assert row.plain_bytes == len(out.getvalue())
    assert house.plaintext() == []
    assert house.store.parts() == []
    assert list(house.store.names()) == [recording.id]
    check_nonces(root)


def check_nonces(root: Path) -> None:
    known: dict[tuple[str, ...], str] = {}
    for line in (root / "nonces").read_text().splitlines():
        *nonce, digest = line.split()
        assert known.setdefault(tuple(nonce), digest) == digest, f"two plaintexts: {nonce}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("call", range(-(-KILLS // KILLS_A_CALL)))
async def test_killed_at_any_moment_the_next_process_goes_on(
    house: House, processes: ForkServerContext, root: Path, call: int
) -> None:
    recording = await house.recorded(None)
    mixing, sealing = Mixing(house, recording, call), Sealing(processes, root)
    seeded = random.Random(call)
    for kill in range(KILLS_A_CALL):
        if kill == KILLS_A_CALL - 1 and call % 2:
            mixing.stop()
            (root / "ended").touch()
        process = processes.Process(target=seal, args=(root, None))
        process.start()
        pause = seeded.uniform(0.01, 0.1) / BURSTS_A_LIFE
        for _ in range(BURSTS_A_LIFE):
            await asyncio.sleep(pause)
            if not mixing.file.closed:
                mixing.speak()
        process.kill()
        process.join(5)
        process.close()
    mixing.stop()
    (root / "ended").touch()
    assert sealing.run()
    check(house, recording, mixing.said, root)


DEATHS = [
    *(Death("write", when, time) for when in ("halfway", "after") for time in (1, 2, 4)),
    *(Death("sync", when, time) for when in ("before", "after") for time in (1, 2)),
    *(Death("release", when) for when in ("before", "after")),
    *(Death("commit", when) for when in ("before", "after")),
    *(Death("row", when, time) for when in ("before", "after") for time in (1, 2)),
    *(Death("remove", when) for when in ("before", "after")),
]


@pytest.mark.parametrize("group", range(3))
async def test_killed_at_each_step_the_next_process_goes_on(
    house: House, processes: ForkServerContext, root: Path, group: int
) -> None:
    """All deaths in turn, each in a recording of its own."""
    assert {death.step for death in DEATHS} == set(STEPS)
    for seed, death in enumerate(itertools.islice(DEATHS, group, None, 3)):
        (root / "ended").unlink(missing_ok=True)
        (root / "nonces").unlink(missing_ok=True)
        recording = await house.recorded(None)
        mixing, sealing = Mixing(house, recording, seed), Sealing(processes, root)
        mixing.stop()
        (root / "ended").touch()
        finished = sealing.run(death)
        assert not finished, f"{death} was never reached"
        if not house_is_done(house, recording):
            sealing.run()
        for name in house.plaintext():  # removed by the next process that starts
            house.restart()
            assert name not in house.plaintext()
        check(house, recording, mixing.said, root)
        house.store.delete([recording.id])
        house.recorder.done(recording.id)


def house_is_done(house: House, recording: OpenRecording) -> bool:
    with house.database.reading() as connection:
        state = select(recordings.c.state).where(recordings.c.id == recording.id)
        return bool(connection.execute(state).scalar_one() == "sealed")


async def test_with_the_spool_wiped_between_two_lives_what_was_released_opens(
    house: House, processes: ForkServerContext, root: Path
) -> None:
    recording = await house.recorded(None)
    mixing, sealing = Mixing(house, recording, 99), Sealing(processes, root)
    mixing.stop()
    sealing.run(Death("release", "after"))
    house.spool.remove(recording.spool_name)
    (root / "ended").touch()
    assert sealing.run()
    check_nonces(root)
    with house.database.reading() as connection:
        row = sealed_row(connection, recording.id, house.clock.now())
        sealed = b"".join(sealed_file(row, house.store))
    assert row.plain_bytes % age.CHUNK_SIZE == 0
    assert row.missing_bytes is not None
    with house.database.reading() as connection:
        wrapped = connection.execute(select(tenant_keys.c.wrapped_identity)).scalar_one()
        identity = age.parse_identity(MASTER.unwrap(wrapped, identity_context("acme", 1)).decode())
        header = age.read_header(sealed)
        file_key = age.unwrap(header, [identity])
    plain = b"".join(open_stream([sealed[header.size :]], file_key))
    assert (WavFormat().header() + mixing.said).startswith(plain)
