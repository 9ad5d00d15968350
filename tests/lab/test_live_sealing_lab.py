"""A long call on a real Asterisk, and every byte that it and callguard write meanwhile: plaintext
is in the spool's memory alone, and never much of it.

The ten minutes are shortened in time, not in kind; with `CALLGUARD_LONG=1` they last ten minutes,
with `CALLGUARD_LONG=8` so many times less.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from callguard.recording import age
from tests.lab import audio, traced
from tests.lab.asterisk import MEMORY
from tests.lab.audio import Wav
from tests.lab.guarded import GuardedPbx, Row, eventually, new_number
from tests.lab.hurry import Hurry, speech
from tests.lab.plaintext import LOOK_S, STRETCH, Growth, Plaintext, SpoolWatch
from tests.lab.vault import AGENT, CHUNK, PARTY, Vault

pytestmark = pytest.mark.lab

LONG = float(os.environ.get("CALLGUARD_LONG", "0"))
SPEED = LONG or 8.0
SECONDS = 600.0 if LONG else 112.0
MOST = 128 * 1024
"""Bytes of a recording in progress that may lie in the clear at any moment."""


@dataclass(frozen=True, slots=True)
class Course:
    """What became of the call, and what was written meanwhile."""

    row: Row
    plain: bytes
    wav: Wav
    said: Plaintext
    growth: Growth
    entry: str
    vault: Vault
    callguard: list[traced.Call]
    asterisk: list[traced.Call]


def written(calls: list[traced.Call]) -> Mapping[str, bytes]:
    """All that went to each file, socket or pipe, in order."""
    found: dict[str, bytearray] = defaultdict(bytearray)
    for call in calls:
        found[call.path] += call.data
    return {path: bytes(data) for path, data in found.items()}


@pytest.fixture(scope="module")
def course(furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    if not traced.able():
        pytest.skip("no process can be traced here")
    vault = Vault(
        tmp_path_factory.mktemp("traced"),
        controlled=False,
        theirs=(*traced.WRITES, *traced.UNSEEN),
        ours=(*traced.WRITES, *traced.SENDS, *traced.SYNCS, *traced.UNSEEN, "fallocate"),
    )
    try:
        vault.open(furnished)
        yield call(vault)
    finally:
        vault.close()


def call(vault: Vault) -> Course:
    """The call, from the dialling until all is sealed and both have ended in order."""
    number = new_number()
    voices = speech(1, AGENT, SECONDS), speech(2, PARTY, SECONDS)
    ((agent, party),) = vault.connect((1, number))
    with SpoolWatch(vault.pbx.spool) as watch:
        with Hurry([(agent, voices[0]), (party, voices[1])], speed=SPEED) as talk:
            talk.until(SECONDS - 0.1, timeout=2 * SECONDS / SPEED + 10)
        vault.quiet()
        row = vault.closed(number)
    eventually(lambda: vault.callguard.spooled() == [])
    pids = vault.callguard.pid, vault.pbx.pid
    vault.callguard.stop()
    vault.pbx.stop()
    for file, pid in zip((vault.ours, vault.theirs), pids, strict=True):
        eventually(lambda file=file, pid=pid: traced.ended(file, pid))  # type: ignore[misc]
    plain = vault.guarded.plaintext(row)
    wav = audio.read_wav(plain)
    (samples,) = wav.samples
    texts = [samples.astype("<i2").tobytes(), audio.to_mulaw(samples)]
    for voice in voices:
        texts += [voice, audio.from_mulaw(voice).astype("<i2").tobytes()]
    (entry,) = watch.entries
    return Course(
        row,
        plain,
        wav,
        Plaintext(*texts),
        watch.entries[entry],
        str(vault.pbx.spool / entry),
        vault,
        list(traced.calls(vault.ours)),
        list(traced.calls(vault.theirs)),
    )


def test_the_whole_talk_is_sealed(course: Course) -> None:
    (samples,) = course.wav.samples

    assert (course.row["state"], course.row["missing_bytes"]) == ("sealed", None)
    assert course.wav.seconds > 0.98 * SECONDS, "and what was said before they made haste"
    for tone in (AGENT, PARTY):
        heard = sum(end - begun for begun, end in audio.heard(samples, audio.RATE, tone))
        assert heard > 0.95 * course.wav.seconds


def test_it_is_byte_for_byte_what_asterisk_wrote(course: Course) -> None:
    assert course.plain[audio.WAV_HEADER :] == course.vault.written(course.row)
    assert len(course.plain) == course.row["plain_bytes"] == audio.WAV_HEADER + course.growth.size


def test_little_of_it_ever_lies_in_the_clear(course: Course) -> None:
    """Looked at fifty times a second."""
    growth = course.growth
    print(f"{growth.size} B in {growth.looks} looks, at most {growth.most} B in the clear")

    assert growth.looks > 0.7 * SECONDS / SPEED / LOOK_S
    assert growth.size > 20 * CHUNK
    assert growth.most <= MOST


def test_the_search_finds_it_where_it_is(course: Course) -> None:
    (samples,) = course.wav.samples
    for text in (samples.astype("<i2").tobytes(), audio.to_mulaw(samples)):
        at = len(text) // 3
        for start in range(at, at + 7):
            assert course.said.is_in(b"\0" * start + text[start : start + STRETCH] + b"\0" * 9)
    assert not course.said.is_in(os.urandom(CHUNK))


def test_callguard_writes_none_of_it_anywhere(course: Course) -> None:
    """No file, socket or pipe is told any of it; deleted files and databases' journals count."""
    told = written(course.callguard)
    sealed = [data for path, data in told.items() if course.row["id"] in path]
    print(f"{len(course.callguard)} calls, {sum(map(len, told.values()))} B")

    assert sum(map(len, sealed)) >= course.row["sealed_bytes"], "the trace saw it being sealed"
    assert [path for path, data in told.items() if course.said.is_in(data)] == []
    assert not {call.name for call in course.callguard} & set(traced.UNSEEN)


def test_asterisk_writes_it_to_the_spool_alone(course: Course) -> None:
    told = written(course.asterisk)

    (holder,) = [path for path, data in told.items() if course.said.is_in(data)]
    assert holder.endswith(course.entry), "by its name in Asterisk's own surroundings"
    assert len(told[holder]) == course.growth.size
    assert not {call.name for call in course.asterisk} & set(traced.UNSEEN)


def test_no_file_on_a_disk_holds_any_of_it(course: Course) -> None:
    """None that is left, however it was written."""
    pbx = course.vault.pbx
    files = [
        path
        for folder in (pbx.folder, course.vault.callguard.folder)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(pbx.prompts)
    ]

    assert len(files) > 20
    assert course.said.holders(files) == []
    assert not any(path.is_relative_to(MEMORY) for path in files)


def test_plaintext_goes_only_once_it_is_sealed_and_durable(course: Course) -> None:
    """Each hole ends where a chunk does that was written and synced before."""
    wrote = durable = holes = 0
    for one in course.callguard:
        if course.row["id"] in one.path:
            wrote += len(one.data)
            durable = wrote if one.name in traced.SYNCS else durable
        elif one.name == "fallocate" and one.path == course.entry:
            (start, length) = map(int, re.findall(r"\d+", one.words.split("PUNCH_HOLE")[1])[:2])
            chunks = -(-(start + length + audio.WAV_HEADER) // CHUNK)
            assert durable >= age.NONCE_SIZE + chunks * age.SEALED_CHUNK_SIZE
            holes += 1
    assert holes >= course.growth.size // CHUNK - 1
