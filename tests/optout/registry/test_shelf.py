"""The shelf: what it answers, and that it follows what lies in its folder."""

import asyncio
import shutil
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from callguard.optout.registry.contract import Manifest
from callguard.optout.registry.shelf import CHANGED, DAMAGED, OUTSIDE, UNREADABLE, Shelf
from callguard.optout.registry.snapshot import Snapshot
from callguard.policy.facts import RegistryAnswer
from callguard.policy.numbers import Number, parse_address, parse_number
from tests.harness.virtual import virtual_time
from tests.optout.registry.shelves import OF, put, snapshot_of

LISTED, CLEAR, ELSEWHERE = "+12025550101", "+12025550102", "+14155550101"
LATER = date(2026, 3, 15)


def numbered(e164: str) -> Number:
    return parse_number(e164, "GB")


def of(shelf: Shelf, e164: str) -> RegistryAnswer:
    """What the only registry says of a number."""
    (answer,) = shelf.answers(numbered(e164))
    return answer


async def followed(shelf: Shelf) -> None:
    """Looks, and looks again until nothing is under way."""
    for _ in range(4):
        shelf.follow()
        under_way = [t for t in (shelf._opening, shelf._verifying) if t is not None]
        await asyncio.gather(*under_way)


def bits_of(folder: Path, manifest: Manifest) -> Path:
    return folder / manifest.registry / manifest.digest / "1.bits"


def spoil(file: Path) -> None:
    """Changes one bit of the numbers, in place, as a disk might."""
    data = bytearray(file.read_bytes())
    data[20] ^= 64
    file.write_bytes(data)


def mapped() -> str:
    """The files that this process has mapped."""
    return Path("/proc/self/maps").read_text()


def aged(file: Path) -> None:
    """Gives a file another time, without touching what is in it."""
    file.touch()


def test_a_folder_that_is_not_there_is_an_empty_shelf(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none")
    assert shelf.answers(numbered(LISTED)) == ()
    assert (shelf.status(), shelf.alarms, dict(shelf.snapshots())) == ((), (), {})


def test_who_is_listed_is_told_with_the_date_and_the_digest(tmp_path: Path) -> None:
    digest = put(tmp_path, "us-dnc", [LISTED]).digest
    shelf = Shelf(tmp_path)
    assert of(shelf, LISTED) == RegistryAnswer("us-dnc", True, OF, digest)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", False, OF, digest)


def test_a_number_outside_the_coverage_is_never_clear(tmp_path: Path) -> None:
    digest = put(tmp_path, "us-dnc", [LISTED]).digest
    assert of(Shelf(tmp_path), ELSEWHERE) == RegistryAnswer("us-dnc", None, OF, digest, OUTSIDE)


def test_who_is_listed_outside_the_coverage_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [ELSEWHERE])
    assert of(Shelf(tmp_path), ELSEWHERE).listed is True


@pytest.mark.parametrize(
    "subject", [parse_address("ann@example.org"), parse_number("112", "GB"), Number("", "")]
)
def test_nothing_is_told_of_what_is_no_number_of_the_world(tmp_path: Path, subject: Number) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    assert Shelf(tmp_path).answers(subject) == ()


def test_every_registry_answers_for_itself(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    put(tmp_path, "us-fl", ["+13055550101"], ("+1305",))
    put(tmp_path, "gb-tps", ["+442079460001"], ("+44",))
    put(tmp_path, "it-rpo", ["+390612345678"], ("+39",))
    shelf = Shelf(tmp_path)
    told = {a.registry: a.listed for a in shelf.answers(numbered(LISTED))}
    assert told == {"gb-tps": None, "it-rpo": None, "us-dnc": True, "us-fl": None}
    told = {a.registry: a.listed for a in shelf.answers(numbered("+390612345678"))}
    assert told == {"gb-tps": None, "it-rpo": True, "us-dnc": None, "us-fl": None}


def test_what_is_no_registry_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    for name in ("Upper", "-dash", ".hidden", "with space", "מאגר"):
        shutil.copytree(tmp_path / "us-dnc", tmp_path / name)
    (tmp_path / "a-file").write_text("x")
    (tmp_path / "being-imported" / "work").mkdir(parents=True)
    assert [registry.name for registry in Shelf(tmp_path).status()] == ["us-dnc"]


def test_the_status_says_what_lies_there(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED, CLEAR])
    (status,) = Shelf(tmp_path).status()
    assert (status.name, status.list_date, status.count) == ("us-dnc", OF, 2)
    assert status.coverage == ("+1202", "+1305")
    assert (status.digest, status.imported_at) == (manifest.digest, "2026-03-02T08:00:00Z")
    assert (status.verified, status.fault, status.trouble) == (False, "", "")


@virtual_time
async def test_a_new_snapshot_is_taken_up_in_place_of_the_old(tmp_path: Path) -> None:
    old = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", False, OF, old.digest)
    new = put(tmp_path, "us-dnc", [CLEAR], of=LATER)
    assert of(shelf, CLEAR).digest == old.digest
    await followed(shelf)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", True, LATER, new.digest)
    assert of(shelf, LISTED).listed is False
    assert shelf.status()[0].verified


@virtual_time
async def test_a_snapshot_that_is_not_current_is_not_taken_up(tmp_path: Path) -> None:
    old = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    snapshot_of(tmp_path, "us-dnc", [CLEAR], of=LATER)
    await followed(shelf)
    assert of(shelf, CLEAR).digest == old.digest


@virtual_time
async def test_a_registry_that_comes_later_is_taken_up(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "registries")
    await followed(shelf)
    put(tmp_path / "registries", "us-dnc", [LISTED])
    await followed(shelf)
    assert of(shelf, LISTED).listed is True
    assert shelf.alarms == ()


@virtual_time
async def test_the_old_snapshot_stays_open_for_who_holds_it_and_no_longer(tmp_path: Path) -> None:
    old = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    borrowed = shelf.snapshots()["us-dnc"]
    put(tmp_path, "us-dnc", [CLEAR], of=LATER)
    await followed(shelf)
    assert borrowed.holds(int(LISTED[1:]))
    assert old.digest in mapped()
    del borrowed
    assert old.digest not in mapped()


@virtual_time
async def test_closing_lets_every_file_go(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    shelf.follow()
    await shelf.close()
    assert str(tmp_path) not in mapped()
    assert shelf.answers(numbered(LISTED)) == ()


@virtual_time
async def test_while_nothing_changes_nothing_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    monkeypatch.setattr(Snapshot, "open", None)
    monkeypatch.setattr(Snapshot, "verify", None)
    opening, verifying = shelf._opening, shelf._verifying
    await followed(shelf)
    assert (shelf._opening, shelf._verifying) == (opening, verifying)


@virtual_time
async def test_a_new_snapshot_that_cannot_be_opened_leaves_the_old_in_use(tmp_path: Path) -> None:
    old = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    new = put(tmp_path, "us-dnc", [CLEAR], of=LATER)
    manifest = tmp_path / "us-dnc" / new.digest / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-9])
    await followed(shelf)
    assert of(shelf, LISTED) == RegistryAnswer("us-dnc", True, OF, old.digest)
    (alarm,) = shelf.alarms
    assert alarm.startswith("registry us-dnc stays as it is, a newer snapshot cannot be used: ")
    assert shelf.status()[0].trouble
    manifest.write_bytes(whole)
    await followed(shelf)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", True, LATER, new.digest)
    assert shelf.alarms == ()


@virtual_time
async def test_going_back_to_the_old_snapshot_ends_the_trouble(tmp_path: Path) -> None:
    old = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    current = tmp_path / "us-dnc" / "current"
    current.write_text("a" * 64 + "\n")
    await followed(shelf)
    assert "newer snapshot" in shelf.alarms[0]
    current.write_text(old.digest + "\n")
    shelf.follow()
    assert shelf._opening is not None
    await shelf._opening
    assert of(shelf, LISTED).listed is True
    await followed(shelf)
    assert (of(shelf, LISTED).listed, shelf.alarms) == (True, ())


@pytest.mark.parametrize("text", ["", "nonsense\n", "../../../etc\n", "a" * 64, "\udcff" * 9])
@virtual_time
async def test_a_pointer_that_names_no_snapshot_changes_nothing(tmp_path: Path, text: str) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    data = text.encode(errors="surrogateescape")
    (tmp_path / "us-dnc" / "current").write_bytes(data)
    await followed(shelf)
    assert of(shelf, LISTED).listed is True
    assert len(shelf.alarms) == 1


def test_what_cannot_be_opened_at_the_start_can_tell_nothing(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    put(tmp_path, "us-fl", [LISTED])
    bits_of(tmp_path, manifest).unlink()
    shelf = Shelf(tmp_path)
    dnc, fl = shelf.answers(numbered(LISTED))
    assert dnc == RegistryAnswer("us-dnc", None, reason=UNREADABLE)
    assert fl.listed is True
    assert list(shelf.snapshots()) == ["us-fl"]
    assert "registry us-dnc can clear no number: the snapshot cannot be read" in shelf.alarms[0]


@virtual_time
async def test_what_could_not_be_opened_at_the_start_is_tried_again(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    bits = bits_of(tmp_path, manifest)
    bits.rename(bits.with_suffix(".away"))
    shelf = Shelf(tmp_path)
    await followed(shelf)
    assert of(shelf, CLEAR).listed is None
    bits.with_suffix(".away").rename(bits)
    await followed(shelf)
    assert (of(shelf, CLEAR).listed, shelf.alarms) == (False, ())


def test_a_snapshot_of_another_registry_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "us-fl", [LISTED])
    shutil.copytree(tmp_path / "us-fl", tmp_path / "us-dnc")
    dnc, fl = Shelf(tmp_path).answers(numbered(CLEAR))
    assert (dnc.listed, fl.listed) == (None, False)


@virtual_time
async def test_a_damaged_snapshot_is_found_and_can_tell_nothing(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    spoil(bits_of(tmp_path, manifest))
    shelf = Shelf(tmp_path)
    await followed(shelf)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", None, OF, manifest.digest, DAMAGED)
    assert of(shelf, LISTED).listed is None
    (alarm,) = shelf.alarms
    assert alarm.startswith("registry us-dnc can clear no number: the snapshot is damaged: ")
    assert dict(shelf.snapshots()) == {}
    await followed(shelf)
    assert of(shelf, CLEAR).reason == DAMAGED


@virtual_time
async def test_damage_is_found_in_a_snapshot_that_was_swapped_in(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    spoil(bits_of(tmp_path, put(tmp_path, "us-dnc", [CLEAR], of=LATER)))
    await followed(shelf)
    assert of(shelf, LISTED).reason == DAMAGED


@virtual_time
async def test_a_snapshot_that_takes_the_place_of_a_damaged_one_answers(tmp_path: Path) -> None:
    spoil(bits_of(tmp_path, put(tmp_path, "us-dnc", [LISTED])))
    shelf = Shelf(tmp_path)
    await followed(shelf)
    put(tmp_path, "us-dnc", [CLEAR], of=LATER)
    await followed(shelf)
    assert of(shelf, LISTED).listed is False
    assert shelf.alarms == ()


@virtual_time
async def test_a_file_that_is_cut_while_in_use_is_not_looked_into_any_more(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    with bits_of(tmp_path, manifest).open("r+b") as file:
        file.truncate(0)
    shelf.follow()
    assert of(shelf, LISTED).reason == CHANGED
    await followed(shelf)
    assert of(shelf, LISTED).reason == DAMAGED


@virtual_time
async def test_a_file_that_was_touched_is_trusted_again_once_it_is_verified(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    aged(bits_of(tmp_path, manifest))
    shelf.follow()
    assert of(shelf, CLEAR).reason == CHANGED
    await followed(shelf)
    assert (of(shelf, CLEAR).listed, shelf.alarms) == (False, ())


@virtual_time
async def test_a_file_that_was_changed_in_place_is_never_asked(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    spoil(bits_of(tmp_path, manifest))
    said = set()
    for _ in range(5):
        shelf.follow()
        said.add(of(shelf, CLEAR).reason)
        assert shelf._opening is not None
        assert shelf._verifying is not None
        await asyncio.gather(shelf._opening, shelf._verifying)
        said.add(of(shelf, CLEAR).reason)
    assert said == {CHANGED, DAMAGED}


@virtual_time
async def test_damage_that_is_found_while_a_newer_pointer_is_read_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    spoil(bits_of(tmp_path, manifest))
    shelf = Shelf(tmp_path)
    aged(tmp_path / "us-dnc" / "current")
    verified = threading.Event()

    def slow_open(*_: object) -> str:
        verified.wait(10)
        return manifest.digest

    monkeypatch.setattr("callguard.optout.registry.shelf.current", slow_open)
    shelf.follow()
    assert shelf._opening is not None
    assert shelf._verifying is not None
    await shelf._verifying
    verified.set()
    await shelf._opening
    assert of(shelf, CLEAR).reason == DAMAGED


@virtual_time
async def test_damage_of_a_snapshot_that_was_replaced_meanwhile_is_not_held_against_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = threading.Event()
    real = Snapshot.verify

    def slow(snapshot: Snapshot) -> None:
        replaced.wait(10)
        real(snapshot)

    spoil(bits_of(tmp_path, put(tmp_path, "us-dnc", [LISTED])))
    shelf = Shelf(tmp_path)
    monkeypatch.setattr(Snapshot, "verify", slow)
    new = put(tmp_path, "us-dnc", [CLEAR], of=LATER)
    shelf.follow()
    assert shelf._opening is not None
    assert shelf._verifying is not None
    await shelf._opening
    replaced.set()
    await shelf._verifying
    assert of(shelf, LISTED) == RegistryAnswer("us-dnc", False, LATER, new.digest)


@virtual_time
async def test_a_snapshot_that_fails_to_be_verified_in_any_way_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Snapshot) -> None:
        raise MemoryError

    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    monkeypatch.setattr(Snapshot, "verify", broken)
    await followed(shelf)
    assert of(shelf, CLEAR).reason == DAMAGED


@virtual_time
async def test_snapshots_are_verified_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most = [], []
    real = Snapshot.verify

    def counted(snapshot: Snapshot) -> None:
        at_once.append(1)
        most.append(len(at_once))
        real(snapshot)
        at_once.pop()

    monkeypatch.setattr(Snapshot, "verify", counted)
    for name in ("a", "b", "c"):
        put(tmp_path, name, [LISTED])
    shelf = Shelf(tmp_path)
    await followed(shelf)
    assert most == [1, 1, 1]
    assert all(registry.verified for registry in shelf.status())


@virtual_time
async def test_a_registry_that_is_taken_away_is_not_there_to_ask(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    put(tmp_path, "us-fl", [LISTED])
    shelf = Shelf(tmp_path)
    shutil.rmtree(tmp_path / "us-dnc")
    await followed(shelf)
    assert of(shelf, LISTED).registry == "us-fl"
    assert list(shelf.alarms) == ["registry us-dnc was taken away since the start"]
    put(tmp_path, "us-dnc", [LISTED])
    await followed(shelf)
    assert not shelf.alarms
    shutil.rmtree(tmp_path)
    await followed(shelf)
    assert shelf.answers(numbered(LISTED)) == ()
    assert len(shelf.alarms) == 2


@virtual_time
async def test_a_snapshot_whose_files_are_gone_vouches_for_nobody(tmp_path: Path) -> None:
    manifest = put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    shutil.rmtree(tmp_path / "us-dnc" / manifest.digest)
    await followed(shelf)
    assert of(shelf, CLEAR) == RegistryAnswer("us-dnc", None, OF, manifest.digest, DAMAGED)


@virtual_time
async def test_a_folder_that_cannot_be_looked_at_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", refused)
        await followed(shelf)
        assert of(shelf, LISTED).listed is True
        (alarm,) = shelf.alarms
        assert alarm == f"the registries cannot be looked at: {tmp_path}: Permission denied"
        assert Shelf(tmp_path).answers(numbered(LISTED)) == ()
    await followed(shelf)
    assert not shelf.alarms


def test_a_snapshot_that_was_closed_by_whoever_borrowed_it_clears_nobody(tmp_path: Path) -> None:
    put(tmp_path, "us-dnc", [LISTED])
    shelf = Shelf(tmp_path)
    shelf.snapshots()["us-dnc"].close()
    assert of(shelf, CLEAR).listed is None


def test_four_registries_answer_well_within_five_microseconds(tmp_path: Path) -> None:
    """The bound is for a busy machine; ``bench.registry`` has the figures."""
    areas = tuple(f"+1{area}" for area in range(201, 551))
    for name in ("us-dnc", "us-fl", "us-in", "gb-tps"):
        put(tmp_path, name, [LISTED], areas if name != "gb-tps" else ("+44",))
    shelf, subject = Shelf(tmp_path), numbered(CLEAR)
    best = min(_seconds(shelf, subject) for _ in range(50))
    assert best < 20e-6


def _seconds(shelf: Shelf, subject: Number) -> float:
    began = time.perf_counter()
    for _ in range(100):
        shelf.answers(subject)
    return (time.perf_counter() - began) / 100
