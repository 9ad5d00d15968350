"""An import that was killed goes on where it was, or begins anew and says why."""

import hashlib
import os
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callguard.config import Registries
from callguard.optout.registry import reading, sources
from callguard.optout.registry.progress import Progress, begins_with, job_of
from callguard.storage.database import Database
from tests.clock import HandClock
from tests.optout.registry.desk import DAY, UK, Desk
from tests.schema import upgrade

BASE = range(442071230000, 442071232000)


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def desk(tmp_path: Path, database: Database, clock: HandClock) -> Desk:
    return Desk(tmp_path, database, clock)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of about seventy numbers, a checkpoint behind every second of them."""
    opened = sources.open_sources
    monkeypatch.setattr(reading, "open_sources", partial(opened, block=1000))
    monkeypatch.setattr(reading, "CHECKPOINT_NUMBERS", 140)


class Deadline:
    """Kills the import behind so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, _step: str, _done: int, _whole: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def files(desk: Desk) -> list[Path]:
    return [desk.listed(BASE[:700], "a.txt"), desk.listed(BASE[700:], "b.txt")]


def test_killed_at_any_step_it_comes_to_the_same_snapshot(desk: Desk) -> None:
    lists = files(desk)
    whole = desk.at("undisturbed")
    wanted = whole.imports(*lists)
    assert wanted.manifest is not None
    steps, resumed = 0, 0
    while True:
        other = desk.at(f"killed-{steps}")
        try:
            other.imports(*lists, told=Deadline(steps))
            break
        except Killed:
            assert other.in_use() is None
        outcome = other.imports(*lists)
        assert outcome.state == "taken", outcome.reason
        assert outcome.manifest is not None
        assert outcome.manifest.files == wanted.manifest.files
        assert outcome.manifest.sources == wanted.manifest.sources
        resumed += outcome.resumed
        steps += 1
    assert steps > 25
    assert resumed > steps - 4


def test_killed_again_and_again_it_still_goes_on(desk: Desk) -> None:
    lists = files(desk)
    kills = 0
    while True:
        try:
            outcome = desk.imports(*lists, told=Deadline(3))
        except Killed:
            kills += 1
            continue
        break
    assert (outcome.state, outcome.resumed) == ("taken", True)
    assert desk.numbers() == set(BASE)
    assert kills > 5


def test_bad_lines_of_before_the_kill_are_counted_once(desk: Desk) -> None:
    desk.limits = Registries(max_bad_share=0.5)
    text = "".join(f"+{n}\n" + ("oops\n" if n % 100 == 0 else "") for n in BASE)
    path = desk.file("list.txt", text)
    with pytest.raises(Killed):
        desk.imports(path, told=Deadline(15))
    outcome = desk.imports(path)
    assert (outcome.state, outcome.resumed, outcome.bad_lines) == ("taken", True, 20)
    assert [bad.line for bad in outcome.bad] == [2 + 101 * n for n in range(20)]
    assert outcome.figures.read == len(BASE)


def test_checksums_given_the_second_time_are_of_what_was_read_before_too(desk: Desk) -> None:
    first, second = files(desk)
    with pytest.raises(Killed):
        desk.imports(first, second, told=Deadline(15))
    digest = hashlib.sha256(second.read_bytes()).hexdigest()
    sums = {first.name: "0" * 64, second.name: digest}
    outcome = desk.imports(first, second, sums=sums)
    assert (outcome.state, outcome.resumed) == ("refused", True)
    assert "a.txt: its SHA-256 is" in (outcome.reason or "")


def test_limits_that_were_made_stricter_meanwhile_count(desk: Desk) -> None:
    first, second = files(desk)
    first.write_text(first.read_text() + "oops\n" * 30)
    desk.limits = Registries(max_bad_share=0.5)
    with pytest.raises(Killed):
        desk.imports(first, second, told=Deadline(15))
    desk.limits = Registries()
    outcome = desk.imports(first, second)
    assert (outcome.state, outcome.resumed) == ("refused", True)
    assert "30 of 730 lines hold no number" in (outcome.reason or "")


def cut_off(desk: Desk) -> Path:
    path = desk.listed(BASE)
    with pytest.raises(Killed):
        desk.imports(path, told=Deadline(15))
    return path


def test_a_file_that_grew_is_begun_anew(desk: Desk) -> None:
    path = cut_off(desk)
    with path.open("a") as file:
        file.write("+442079999999\n")
    outcome = desk.imports(path)
    assert (outcome.state, outcome.resumed) == ("taken", False)
    assert outcome.notes == (
        "an import that was cut off is not gone on with: it was of other files or settings",
    )
    assert 442079999999 in desk.numbers()


def test_a_file_put_in_place_of_the_other_is_begun_anew(desk: Desk) -> None:
    path = cut_off(desk)
    other = desk.listed((n + 5000 for n in BASE), "other.txt")
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    outcome = desk.imports(path)
    assert (outcome.state, outcome.resumed) == ("taken", False)
    assert desk.numbers() == {n + 5000 for n in BASE}


def test_a_file_that_was_changed_where_it_was_read_is_begun_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "job_of", lambda what, files: {**what, "files": len(files)})
    path = cut_off(desk)
    text = path.read_text()
    path.write_text(text.replace("+442071230000", "+442071239999", 1))
    outcome = desk.imports(path)
    assert (outcome.state, outcome.resumed) == ("taken", False)
    assert outcome.notes == (
        "an import that was cut off is not gone on with: list.txt was changed",
    )
    assert 442071239999 in desk.numbers()
    assert 442071230000 not in desk.numbers()


def test_other_settings_begin_anew(desk: Desk) -> None:
    path = cut_off(desk)
    outcome = desk.imports(path, settings=UK.model_copy(update={"region": "GB"}))
    assert (outcome.state, outcome.resumed) == ("taken", False)


def test_a_state_that_cannot_be_read_begins_anew(desk: Desk) -> None:
    path = cut_off(desk)
    kept = desk.registry / "work" / "checkpoint.json"
    kept.write_bytes(kept.read_bytes().replace(b'"done"', b'"none"'))
    outcome = desk.imports(path)
    assert (outcome.state, outcome.resumed) == ("taken", False)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v), max_leaves=5))
def test_no_state_is_more_than_not_there(value: object) -> None:
    for name in ("begun", "done", "halfway"):
        state = {"version": 1, "job": {}, "begun": "", "done": [], "halfway": None, name: value}
        Progress.from_state(state, {})
    assert Progress.from_state({}, {}) is None


def test_a_job_is_the_same_only_with_the_same_files(tmp_path: Path) -> None:
    path = tmp_path / "רשימה"
    path.write_text("1")
    before = job_of({"act": "import"}, [path])
    assert job_of({"act": "import"}, [path]) == before
    assert job_of({"act": "apply"}, [path]) != before
    os.utime(path, ns=(0, 0))
    assert job_of({"act": "import"}, [path]) != before


def test_the_beginning_of_a_file_is_known_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"ab")
    empty, one = (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    )
    assert begins_with(path, 0, empty)
    assert begins_with(path, 1, one)
    assert not begins_with(path, 2, one)
    assert not begins_with(path, None, one)
    path.write_bytes(b"a")
    assert begins_with(path, None, one)
    assert not begins_with(path, 2, one)


CHANGES = st.lists(st.tuples(st.integers(442071230000, 442071230030), st.sampled_from("AD")))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=st.sets(st.integers(442071230000, 442071230030), min_size=1),
    lists=st.lists(CHANGES.filter(bool), max_size=4),
)
def test_a_list_and_its_changes_are_what_a_set_of_python_is(
    tmp_path_factory: pytest.TempPathFactory, base: set[int], lists: list[list[tuple[int, str]]]
) -> None:
    folder = tmp_path_factory.mktemp("changes")
    database = Database(f"sqlite:///{folder / 'callguard.db'}")
    upgrade(database)
    anything = Registries(max_fall_share=1)
    desk = Desk(folder, database, HandClock(), limits=anything)
    assert desk.imports(desk.listed(base)).state == "taken"
    wanted = set(base)
    for number, changes in enumerate(lists):
        desk.clock.advance(days=1)
        day = DAY + timedelta(days=number + 1)
        outcome = desk.applies(desk.changes(changes), day=day)
        assert outcome.state == "taken", outcome.reason
        before = set(wanted)
        for one, word in changes:
            (wanted.add if word == "A" else wanted.discard)(one)
        assert desk.numbers() == wanted
        assert outcome.figures.added == len(wanted - before)
        assert outcome.figures.removed == len(before - wanted)
    database.close()
