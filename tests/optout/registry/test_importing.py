"""A list is taken into use as a whole, or refused with nothing changed."""

import errno
import gzip
import hashlib
import os
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from callguard.config import Registries, RegistryList
from callguard.optout.registry import durable, importing
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.lock import Busy, only_one
from callguard.optout.registry.outcome import Outcome
from callguard.storage.database import Database
from tests.clock import HandClock
from tests.optout.registry.desk import DAY, Desk

BASE = range(442071230000, 442071232000)
MANCHESTER = range(441611230000, 441611230003)
US = RegistryList()


@pytest.fixture
def desk(tmp_path: Path, database: Database, clock: HandClock) -> Desk:
    return Desk(tmp_path, database, clock)


@pytest.fixture
def present(desk: Desk) -> Desk:
    """With a list in use."""
    assert desk.imports(desk.listed(BASE, "base.txt")).state == "taken"
    desk.clock.advance(days=1)
    return desk


def test_a_first_list_is_taken_into_use(desk: Desk) -> None:
    outcome = desk.imports(desk.listed(BASE))
    assert (outcome.state, outcome.reason, outcome.previous) == ("taken", None, None)
    assert desk.numbers() == set(BASE)
    (row,) = desk.rows()
    assert (row.state, row.digest) == ("taken", desk.in_use())
    assert (row.list_date, row.count) == (DAY, 2000)
    assert (row.at, row.actor, row.replaced_at) == (desk.clock.now(), "cli:ann", None)
    assert row.details["counts"] == {"+44": 2000}
    (file,) = row.details["files"]
    assert file == {
        "name": "list.txt",
        "sha256": hashlib.sha256((desk.folder / "list.txt").read_bytes()).hexdigest(),
        "lines": 2000,
        "bad_lines": 0,
    }
    assert desk.acts() == ["registry.import"]
    assert desk.left_over() == {"current", "lock"}


def test_a_newer_list_replaces_the_present_one(present: Desk) -> None:
    before = present.in_use()
    outcome = present.imports(present.listed(BASE[:1900]), day=DAY + timedelta(days=1))
    assert (outcome.state, outcome.previous) == ("taken", before)
    assert present.numbers() == set(BASE[:1900])
    old, new = present.rows()
    assert (old.digest, old.replaced_at) == (before, present.clock.now())
    assert (new.digest, new.replaced_at) == (present.in_use(), None)


def test_only_its_owner_can_look_into_the_folder(desk: Desk) -> None:
    desk.imports(desk.listed(BASE))
    assert desk.registry.stat().st_mode & 0o777 == 0o700


def us_file(desk: Desk, code: int, name: str | None = None) -> Path:
    name = name or f"2026-11-15_{code}_0f1e.txt"
    return desk.file(name, "".join(f"{code},{n}\n" for n in range(5550100, 5550200)))


def test_area_codes_cover_what_they_are_about(desk: Desk) -> None:
    files = [us_file(desk, 201), us_file(desk, 202)]
    outcome = desk.imports(*files, list_format="us-dnc", settings=US, day=None)
    assert outcome.state == "taken"
    assert outcome.manifest is not None
    assert outcome.manifest.coverage.prefixes == ("+1201", "+1202")
    assert outcome.manifest.counts == {"+1201": 100, "+1202": 100}
    assert outcome.list_date == DAY
    assert {12015550100, 12025550199} <= desk.numbers()


def test_a_list_of_the_tps_is_read_and_covers_the_kingdom(desk: Desk) -> None:
    text = "".join(f"02071{n:06} \r\n" for n in range(230000, 230100))
    path = desk.file("tps.txt", text)
    outcome = desk.imports(path, list_format="uk-tps", settings=RegistryList())
    assert outcome.state == "taken", outcome.reason
    assert outcome.manifest is not None
    assert outcome.manifest.coverage.prefixes == ("+44",)
    assert desk.numbers() == set(range(442071230000, 442071230100))


def test_a_table_is_read_by_its_column_and_region(desk: Desk) -> None:
    path = desk.file("list.csv", "name;phone\nגד;03-1234567\nב;02-7654321\n")
    settings = RegistryList(number="phone", region="IL", covers=("+972",), delimiter=";")
    outcome = desk.imports(path, list_format="csv", settings=settings)
    assert outcome.state == "taken", outcome.reason
    assert desk.numbers() == {97231234567, 97227654321}


def test_archives_are_read_as_they_come(desk: Desk) -> None:
    with zipfile.ZipFile(desk.folder / "רשימה.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in (0, 1):
            numbers = BASE[part * 1000 : (part + 1) * 1000]
            archive.writestr(f"חלק {part}.txt", "".join(f"+{n}\n" for n in numbers))
    outcome = desk.imports(desk.folder / "רשימה.zip")
    assert outcome.state == "taken", outcome.reason
    assert [file.name for file in outcome.files] == ["רשימה.zip:חלק 0.txt", "רשימה.zip:חלק 1.txt"]
    assert desk.numbers() == set(BASE)
    packed = desk.file("l.gz", gzip.compress(b"".join(b"+%d\n" % n for n in BASE)))
    assert desk.at("gb-ctps").imports(packed).state == "taken"


def test_a_few_bad_lines_are_counted_and_shown_masked(desk: Desk) -> None:
    desk.limits = Registries(max_bad_share=0.01)
    path = desk.file("list.txt", "".join(f"+{n}\n" for n in BASE) + "+44 oops 123\n")
    outcome = desk.imports(path)
    assert (outcome.state, outcome.bad_lines) == ("taken", 1)
    (bad,) = desk.rows()[0].details["bad"]
    assert (bad["file"], bad["line"]) == ("list.txt", 2001)
    assert "123" not in bad["text"]


def _lines(desk: Desk, *more: str) -> Path:
    return desk.file("list.txt", "".join(f"+{n}\n" for n in BASE) + "".join(more))


def _other_sum(desk: Desk) -> Outcome:
    return desk.imports(desk.listed(BASE), sums={"list.txt": "0" * 64})


def _two_dates(desk: Desk) -> Outcome:
    files = [us_file(desk, 201), us_file(desk, 202, "2026-11-14_202_0f.txt")]
    return desk.imports(*files, list_format="us-dnc", settings=US, day=None)


FAULTS: dict[str, tuple[Callable[[Desk], Outcome], str]] = {
    "of the future": (
        lambda d: d.imports(d.listed(BASE), day=date(2026, 11, 23)),
        "dated 2026-11-23, which is in the future",
    ),
    "older than the present one": (
        lambda d: d.imports(d.listed(BASE), day=DAY - timedelta(days=1)),
        "dated 2026-11-14, the present one 2026-11-15",
    ),
    "without a date": (lambda d: d.imports(d.listed(BASE), day=None), "date of the list"),
    "of another date than its name": (
        lambda d: d.imports(d.listed(BASE, "2026-11-14_list.txt")),
        "2026-11-14_list.txt is of 2026-11-14, the date given is of 2026-11-15",
    ),
    "of two dates": (_two_dates, "is of 2026-11-14"),
    "much shorter": (
        lambda d: d.imports(d.listed(BASE[:1799])),
        "the list has 1799 numbers, the present one 2000 (10.1% fewer)",
    ),
    "of a smaller place": (
        lambda d: d.imports(d.listed(BASE), settings=RegistryList(covers=("+4420",))),
        "+44 is no longer covered",
    ),
    "doubled": (
        lambda d: d.imports(d.listed([*BASE, *BASE])),
        "2000 of 4000 numbers stand there more than once",
    ),
    "with too many bad lines": (
        lambda d: d.imports(_lines(d, "x\n", "y\n", "z\n")),
        "list.txt: 3 of 2003 lines hold no number (0.15%)",
    ),
    "of another checksum": (_other_sum, "the checksums say 000"),
    "not among the checksums": (
        lambda d: d.imports(d.listed(BASE), sums={"other.txt": "0" * 64}),
        "list.txt: the checksums do not name it",
    ),
    "of unknown coverage": (
        lambda d: d.imports(d.listed(BASE), settings=RegistryList()),
        "give them with --covers",
    ),
    "the wrong list": (
        lambda d: d.imports(d.listed([*BASE, 33123456789, 33123456780, 33123456781])),
        "3 of 2003 lines hold no number",
    ),
    "the wrong list of the format": (
        lambda d: d.imports(
            d.file("tps.txt", "".join(f"0{n - 440000000000} \r\n" for n in [*BASE, *MANCHESTER])),
            list_format="uk-tps",
            settings=RegistryList(covers=("+4420",)),
        ),
        "3 of 2003 numbers (0.15%) do not begin with +4420",
    ),
    "of another format": (
        lambda d: d.imports(d.listed(BASE), list_format="us-dnc"),
        "us-dnc",
    ),
    "empty": (lambda d: d.imports(d.file("list.txt", "")), "empty"),
    "cut off": (lambda d: d.imports(_lines(d, "+4420")), "cut off"),
    "not there": (lambda d: d.imports(d.folder / "אין.txt"), "No such file"),
    "a folder": (lambda d: d.imports(d.folder), "is no file"),
    "given twice": (
        lambda d: d.imports(d.listed(BASE), d.folder / "list.txt"),
        "given twice",
    ),
    "given twice in a copy": (
        lambda d: d.imports(d.listed(BASE), d.listed(BASE, "copy.txt")),
        "same file",
    ),
    "a damaged archive": (
        lambda d: d.imports(d.file("l.gz", gzip.compress(b"+442071230000\n" * 9)[:-9])),
        "damaged or cut off",
    ),
    "changes that do not fit": (
        lambda d: d.applies(d.changes((n, "A") for n in range(BASE[0], BASE[0] + 10))),
        "10 of 10 changes (100.00%) were so before",
    ),
    "changes of another place": (
        lambda d: d.applies(d.changes([(33123456789, "A")]), settings=RegistryList()),
        "1 of 1 numbers (100.00%) do not begin with +44",
    ),
    "changes that leave little": (
        lambda d: d.applies(d.changes((n, "D") for n in BASE[:300])),
        "the list has 1700 numbers, the present one 2000",
    ),
    "changes of before": (
        lambda d: d.applies(d.changes([(1, "A")]), day=DAY - timedelta(days=1)),
        "the present one 2026-11-15",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_refused_changes_nothing_and_is_entered(present: Desk, fault: str) -> None:
    act, reason = FAULTS[fault]
    before = present.in_use()
    outcome = act(present)
    assert outcome.state == "refused"
    assert reason in (outcome.reason or "")
    assert "\n" not in (outcome.reason or "")
    assert present.in_use() == before
    assert present.numbers() == set(BASE)
    row = present.rows()[-1]
    assert (row.state, row.reason) == ("refused", outcome.reason)
    assert row.digest is None
    assert row.details["previous"] == before
    assert present.rows()[0].replaced_at is None
    assert present.acts() == ["registry.import", "registry.refuse"]
    assert present.left_over() == {"current", "lock"}


def test_there_is_nothing_to_change_without_a_list(desk: Desk) -> None:
    outcome = desk.applies(desk.changes([(442071230000, "A")]))
    assert (outcome.state, desk.in_use()) == ("refused", None)
    assert "import a whole one first" in (outcome.reason or "")


def test_a_prefix_that_falls_is_seen_behind_one_that_grows(desk: Desk) -> None:
    def files(first: int, second: int) -> list[Path]:
        return [
            desk.file(f"a_{code}.txt", "".join(f"{code},{n}\n" for n in range(5550000, end)))
            for code, end in ((201, 5550000 + first), (202, 5550000 + second))
        ]

    def taken(first: int, second: int) -> Outcome:
        return desk.imports(*files(first, second), list_format="us-dnc", settings=US)

    assert taken(100, 1000).state == "taken"
    outcome = taken(89, 1100)
    assert outcome.state == "refused"
    assert outcome.reason is not None
    assert outcome.reason.startswith("+1201 has 89 numbers, the present one 100 (11.0% fewer)")
    assert taken(90, 1100).state == "taken"


def test_an_area_code_that_was_forgotten_is_missed(desk: Desk) -> None:
    both = [us_file(desk, 201), us_file(desk, 202)]
    assert desk.imports(*both, list_format="us-dnc", settings=US, day=None).state == "taken"
    alone = desk.imports(both[0], list_format="us-dnc", settings=US, day=None)
    assert (alone.state, alone.smaller) == ("refused", "+1202 is no longer covered")


def test_a_smaller_list_is_taken_once_with_a_reason(present: Desk) -> None:
    file = present.listed(BASE[:10])
    outcome = present.imports(file, smaller="the authority cleaned up")
    assert (outcome.state, outcome.accepted) == ("taken", "the authority cleaned up")
    assert present.numbers() == set(BASE[:10])
    details = present.rows()[-1].details
    assert details["accepted"] == "the authority cleaned up"
    assert details["smaller"].startswith("the list has 10 numbers")
    assert present.imports(present.listed(BASE[:5])).state == "refused"


def test_a_reason_that_was_not_needed_is_not_kept(present: Desk) -> None:
    outcome = present.imports(present.listed(BASE[:1999]), smaller="just in case")
    assert (outcome.state, outcome.accepted) == ("taken", None)


@pytest.mark.parametrize("again", ["the same file", "in another order"])
def test_the_same_list_is_nothing_new(present: Desk, again: str) -> None:
    before = present.in_use()
    file = present.listed(BASE if again == "the same file" else reversed(BASE))
    outcome = present.imports(file)
    assert (outcome.state, outcome.digest) == ("unchanged", before)
    assert (present.in_use(), len(present.rows())) == (before, 1)
    assert present.left_over() == {"current", "lock"}


def test_the_same_numbers_of_a_newer_date_are_new(present: Desk) -> None:
    outcome = present.imports(present.listed(BASE), day=DAY + timedelta(days=1))
    assert outcome.state == "taken"


def test_changes_make_a_list_of_their_date_and_of_the_same_coverage(present: Desk) -> None:
    before, day = present.in_use(), DAY + timedelta(days=2)
    changes = [(442079999999, "A"), (BASE[0], "D"), (BASE[1], "D"), (BASE[1], "A")]
    outcome = present.applies(present.changes(changes), day=day)
    assert outcome.state == "refused"  # every second one was so before
    outcome = present.applies(present.changes([*changes, *((n, "D") for n in BASE[2:22])]), day=day)
    assert outcome.state == "taken", outcome.reason
    assert present.numbers() == {442079999999, BASE[1], *BASE[22:]}
    assert outcome.manifest is not None
    assert (outcome.manifest.base, outcome.manifest.list_date) == (before, day)
    assert outcome.manifest.coverage.prefixes == ("+44",)
    assert (outcome.figures.added, outcome.figures.removed) == (1, 21)
    assert outcome.notes == ("1 of 23 changes were so before",)
    assert present.acts()[-1] == "registry.apply"


def test_changes_are_not_blamed_for_what_lay_outside_before(desk: Desk) -> None:
    numbers = [*BASE, MANCHESTER[0]]
    file = desk.file("tps.txt", "".join(f"0{n - 440000000000} \r\n" for n in numbers))
    london = RegistryList(covers=("+4420",))
    whole = desk.imports(file, list_format="uk-tps", settings=london)
    assert (whole.state, whole.figures.outside) == ("taken", 1)
    outcome = desk.applies(desk.changes([(BASE[0], "D")]), settings=london)
    assert (outcome.state, outcome.figures.outside) == ("taken", 0), outcome.reason


def test_changes_that_were_applied_are_nothing_new(present: Desk) -> None:
    file = present.changes([(BASE[0], "D")])
    assert present.applies(file).state == "taken"
    assert present.applies(file).state == "unchanged"
    assert present.numbers() == set(BASE[1:])


def test_changes_in_another_order_are_other_changes(present: Desk) -> None:
    more = range(442079460000, 442079460100)
    first = present.changes([*((n, "A") for n in more), (BASE[0], "D")], "first.csv")
    second = present.changes([*((n + 200, "A") for n in more), (BASE[0], "A")], "second.csv")
    assert present.applies(second, first).state == "taken"
    assert BASE[0] not in present.numbers()
    assert present.applies(second).state == "unchanged"
    assert present.applies(second, first).state == "unchanged"
    outcome = present.applies(first, second)
    assert outcome.state == "refused"
    assert "the change list is not of the present list" in (outcome.reason or "")


def test_changes_are_not_put_on_a_damaged_list(present: Desk) -> None:
    digest = present.in_use()
    assert digest is not None
    bits = present.registry / digest / "44.bits"
    bits.chmod(0o600)
    data = bytearray(bits.read_bytes())
    data[1000] ^= 1
    bits.write_bytes(data)
    outcome = present.applies(present.changes([(BASE[0], "D")]))
    assert outcome.state == "refused"
    assert "damaged" in (outcome.reason or "")


@pytest.mark.parametrize("damaged", ["manifest.json", "44.bits"])
def test_a_whole_list_replaces_a_damaged_one(present: Desk, damaged: str) -> None:
    digest = present.in_use()
    assert digest is not None
    (present.registry / digest / damaged).write_bytes(b"x")
    cut = present.imports(present.listed(BASE[:1700]), day=DAY + timedelta(days=1))
    assert cut.state == "refused"
    assert "the list has 1700 numbers, the present one 2000" in (cut.reason or "")
    old = present.imports(present.listed(BASE), day=DAY - timedelta(days=1))
    assert old.state == "refused"
    outcome = present.imports(present.listed(BASE[:1990]), day=DAY + timedelta(days=1))
    assert outcome.state == "taken", outcome.reason
    assert outcome.notes[0].startswith("the present list is damaged")
    assert present.numbers() == set(BASE[:1990])


def flipped(present: Desk) -> None:
    """A bit of the list in use is another; its structure is as it was."""
    bits = present.registry / (present.in_use() or "") / "44.bits"
    data = bytearray(bits.read_bytes())
    data[1000] ^= 1
    bits.write_bytes(data)


def test_the_same_list_again_replaces_a_damaged_one(present: Desk) -> None:
    before = present.in_use()
    flipped(present)
    outcome = present.imports(present.listed(BASE))
    assert (outcome.state, outcome.previous) == ("taken", before)
    assert outcome.notes[0].startswith("the present list is damaged")
    assert present.in_use() != before
    assert present.numbers() == set(BASE)


def test_the_list_of_another_registry_is_no_base_for_changes(present: Desk) -> None:
    other = present.at("gb-ctps")
    present.registry.rename(other.registry)
    outcome = other.applies(other.changes([(BASE[0], "D")]))
    assert outcome.state == "refused"
    assert "is a snapshot of gb-tps" in (outcome.reason or "")


@pytest.mark.parametrize("looks", [1, 2])
def test_a_list_that_turns_out_too_large_leaves_room_for_the_calls(
    present: Desk, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    looked: list[object] = []

    def filling(path: object) -> SimpleNamespace:
        looked.append(path)
        return SimpleNamespace(f_bavail=10**9 if len(looked) <= looks else 5_000, f_frsize=4096)

    monkeypatch.setattr(os, "statvfs", filling)
    before = present.in_use()
    outcome = present.imports(present.listed(BASE[:1990]), day=DAY + timedelta(days=1))
    assert outcome.state == "refused"
    assert "the disk is nearly full, 19 MiB are free" in (outcome.reason or "")
    assert present.in_use() == before
    assert present.left_over() == {"current", "lock"}


def test_two_imports_of_one_registry_do_not_meet(present: Desk) -> None:
    with only_one(present.registry):
        with pytest.raises(Busy, match="another import of gb-tps is running"):
            present.imports(present.listed(BASE[:1990]))
        other = present.at("gb-ctps")
        assert other.imports(other.listed(BASE)).state == "taken"
    assert present.imports(present.listed(BASE[:1990])).state == "taken"


def test_a_list_for_which_there_is_no_room_is_refused_before_it_is_read(
    present: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "RESERVE", 1 << 60)
    read: list[int] = []
    outcome = present.imports(
        present.listed(BASE[:1990]), told=lambda _step, done, _whole: read.append(done)
    )
    assert (outcome.state, read) == ("refused", [])
    assert "MiB are free there" in (outcome.reason or "")


def test_a_disk_that_is_full_at_any_write_refuses_and_leaves_nothing(
    present: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write, writes = present.in_use(), durable.write_all, 0
    file = present.listed(BASE[:1990])
    room = 0

    def full(descriptor: int, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor, data)

    monkeypatch.setattr(durable, "write_all", full)
    while True:
        writes = 0
        try:
            outcome = present.imports(file)
        except RegistryError:  # entered, and not made current: see the test of the steps
            assert present.in_use() == before
            break
        assert outcome.state == "refused"
        assert "No space left" in (outcome.reason or "")
        assert present.in_use() == before
        assert present.left_over() == {"current", "lock"}
        room += 1
    assert room > 5
    monkeypatch.undo()
    assert present.imports(file).state == "unchanged"
    assert present.numbers() == set(BASE[:1990])


def test_numbers_are_only_told_masked(present: Desk) -> None:
    desk = present
    desk.imports(desk.listed([*BASE, 33123456789, 33123456780, 33123456781]))
    desk.imports(desk.file("list.txt", "+442071230000x\n+442071230001y\n+442071230002\n"))
    for row in desk.rows():
        assert "4420712" not in f"{row.reason} {row.details}"
        assert "33123" not in f"{row.reason} {row.details}"


def test_the_step_is_told_while_it_goes_on(desk: Desk) -> None:
    steps: list[tuple[str, int, int]] = []
    desk.imports(desk.listed(BASE), told=lambda *step: steps.append(step))
    assert {step for step, _, _ in steps} == {"reading", "building"}
    assert all(0 <= done <= whole for _, done, whole in steps)
    assert steps[-1][1] == steps[-1][2]
