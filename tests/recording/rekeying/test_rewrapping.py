"""Headers written anew, here and in a process of its own."""

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import pytest

from callguard.recording import age
from callguard.recording.rekeying.rewrap_workers import InProcesses, InThread, RewrapError
from callguard.recording.rekeying.rewrapping import Kept, Rewrapper, read_frame, serve, write_frame

OLD, NEW, STRANGER = (age.generate_identity("x25519") for _ in range(3))
HYBRID = age.generate_identity("pq")
KEY = bytes(range(16))


def header_for(*identities: age.Identity) -> bytes:
    return age.build_header(KEY, [one.recipient for one in identities])


def opens(result: object, identity: age.Identity) -> bool:
    assert isinstance(result, bytes)
    return age.unwrap(age.parse_header(result), [identity]) == KEY


def test_a_header_keeps_its_file_key_and_is_for_the_new_recipients_alone() -> None:
    result = Rewrapper([STRANGER, OLD], [NEW.recipient]).rewrap(header_for(OLD))
    assert opens(result, NEW)
    with pytest.raises(age.NoMatchingIdentity):
        opens(result, OLD)


def test_a_header_goes_from_x25519_to_post_quantum() -> None:
    assert opens(Rewrapper([OLD], [HYBRID.recipient]).rewrap(header_for(OLD)), HYBRID)


def test_a_header_that_is_not_ours_or_damaged_is_left() -> None:
    rewrapper = Rewrapper([OLD], [NEW.recipient])
    header = header_for(OLD)
    assert rewrapper.rewrap(header_for(STRANGER)) is Kept.NOT_OURS
    assert rewrapper.rewrap(b"") is Kept.DAMAGED
    assert rewrapper.rewrap(header[:-5] + b"AAAA\n") is Kept.DAMAGED, "its MAC"
    assert opens(rewrapper.rewrap(header), NEW), "and goes on"


def test_neither_holder_of_keys_shows_them() -> None:
    rewrapper = Rewrapper([OLD], [NEW.recipient])
    assert "SECRET" not in repr(rewrapper)
    assert OLD.secret.hex() not in repr(rewrapper)


def test_frames_are_read_as_they_were_written_and_a_torn_one_is_no_frame() -> None:
    file = io.BytesIO()
    write_frame(file, [b"", b"ab"])
    write_frame(file, [])
    whole = file.getvalue()
    file.seek(0)
    assert [read_frame(file), read_frame(file), read_frame(file)] == [[b"", b"ab"], [], None]
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(whole[:9]))
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(b"\0\0\0\1\xff\xff\xff\xff"))


def test_a_process_that_is_told_no_key_does_nothing() -> None:
    answers = io.BytesIO()
    serve(io.BytesIO(), answers)
    assert answers.getvalue() == b""


async def test_processes_answer_as_a_thread_does_and_end() -> None:
    headers = [header_for(OLD), b"?", header_for(STRANGER)]
    for rewraps in (
        InThread([OLD], [str(NEW.recipient)]),
        InProcesses([OLD], [str(NEW.recipient)], 2),
    ):
        started = list(getattr(rewraps, "_all", ()))
        secret = OLD.encode().encode()
        for process in started:
            for file in ("cmdline", "environ"):
                told = Path(f"/proc/{process.pid}/{file}").read_bytes()  # noqa: ASYNC240
                assert secret not in told
        found = await asyncio.gather(*(rewraps.rewrap(headers) for _ in range(3)))
        for changed, damaged, foreign in found:
            assert opens(changed, NEW)
            assert (damaged, foreign) == (Kept.DAMAGED, Kept.NOT_OURS)
        rewraps.close()
        assert all(process.poll() is not None for process in started)


async def test_a_process_that_dies_is_one_clear_error() -> None:
    rewraps = InProcesses([OLD], [str(NEW.recipient)], 1)
    try:
        [process] = rewraps._all
        process.kill()
        process.wait()
        with pytest.raises(RewrapError, match="failed"):
            await rewraps.rewrap([header_for(OLD)])
    finally:
        rewraps.close()


def test_a_process_ends_with_whoever_started_it() -> None:
    command = [sys.executable, "-m", "callguard.recording.rekeying.rewrapping"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    write_frame(child.stdin, [OLD.encode().encode()])
    write_frame(child.stdin, [str(NEW.recipient).encode()])
    child.stdin.close()
    assert child.wait(5) == 0
    assert child.stdout is not None
    child.stdout.close()


def test_recipients_that_do_not_go_together_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(age.RecipientsError):
        InThread([OLD], [str(NEW.recipient), str(HYBRID.recipient)])
