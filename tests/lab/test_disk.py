"""The disk of callguard's database is full, really: a small one of its own is filled up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.guarded import GuardedPbx, eventually, new_number
from tests.lab.sipp import Talk

pytestmark = pytest.mark.lab

SIZE = "8m"
# $0: the folder to put on a disk of its own, $1: its size. What lies there goes along.
_ON_A_SMALL_DISK = r"""
set -e
mount --make-rprivate /
aside=$(mktemp -d)
cp -a "$0/." "$aside"
mount -t tmpfs -o "size=$1,mode=700" none "$0"
cp -a "$aside/." "$0"
rm -rf "$aside"
shift
exec "$@"
"""


@pytest.fixture(scope="module")
def cramped(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    """callguard whose data lie on a small disk that only it sees."""
    folder = tmp_path_factory.mktemp("cramped")
    unshare = ["unshare", "--mount"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    data = folder / "callguard" / "data"
    within = [*unshare, "sh", "-c", _ON_A_SMALL_DISK, str(data), SIZE]
    beside = GuardedPbx(pbx, folder, within=within)
    try:
        yield beside.open(furnished)
    finally:
        beside.close()


@contextlib.contextmanager
def full(cramped: GuardedPbx) -> Iterator[None]:
    """No byte is free on that disk."""
    disk = Path(f"/proc/{cramped.callguard.pid}/root") / cramped.callguard.data.relative_to("/")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(disk).f_bavail == 0
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_blocks_outbound_and_connects_the_rest(cramped: GuardedPbx) -> None:
    ready = cramped.callguard.get("/readyz")[0]
    with full(cramped):
        outbound = cramped.outbound(new_number())
        not_ready = cramped.callguard.get("/readyz")
        emergency = cramped.outbound("911")
        inbound = cramped.inbound(new_number(), steps=(Talk(300),))

    assert ready == 200
    assert (outbound.code, outbound.dialled) == (503, 0)
    assert not_ready[0] == 503
    assert "verdicts cannot be kept" in not_ready[1]
    assert (emergency.code, emergency.dialled) == (200, 1)
    assert inbound.party.connected
    assert cramped.callguard.spooled() == []


def test_with_room_again_calls_are_judged_and_recorded(cramped: GuardedPbx) -> None:
    with full(cramped):
        assert cramped.outbound(new_number()).code == 503
    placed = cramped.outbound(new_number())

    assert (placed.code, placed.dialled) == (200, 1)
    eventually(lambda: cramped.metric("callguard_recordings_sealed_total") == 1)
    eventually(lambda: cramped.callguard.get("/readyz")[0] == 200)
    assert cramped.callguard.spooled() == []
