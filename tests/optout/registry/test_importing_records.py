"""Snapshot, row, pointer: killed between any two of them, the next command or start goes on."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from callguard.optout.registry import importing
from callguard.optout.registry.lock import only_one
from callguard.optout.registry.outcome import Outcome
from callguard.optout.registry.records import Records, settle
from callguard.storage.database import Database
from callguard.storage.schema import registry_imports
from tests.clock import HandClock
from tests.optout.registry.desk import DAY, Desk

BASE = range(442071230000, 442071230500)


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def desk(tmp_path: Path, database: Database, clock: HandClock) -> Desk:
    """With a list in use."""
    made = Desk(tmp_path, database, clock)
    assert made.imports(made.listed(BASE, "base.txt")).state == "taken"
    clock.advance(days=1)
    return made


def die(*_: object, **__: object) -> None:
    raise Killed


def killed(step: Callable[[pytest.MonkeyPatch], None], command: Callable[[], Outcome]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        step(patch)
        with pytest.raises(Killed):
            command()


def before_the_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Records, "taken", die)


def before_the_pointer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(importing, "make_current", die)


def before_the_tidying(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(importing, "_clear", die)


STEPS = [before_the_row, before_the_pointer, before_the_tidying]


def acts(desk: Desk) -> dict[str, Callable[[], Outcome]]:
    day = DAY + timedelta(days=1)
    whole = desk.listed(BASE[:490])
    changes = desk.changes((n, "D") for n in BASE[490:])
    return {
        "import": lambda: desk.imports(whole, day=day),
        "apply": lambda: desk.applies(changes, day=day),
    }


@pytest.mark.parametrize("act", ["import", "apply"])
@pytest.mark.parametrize("step", STEPS)
def test_the_same_command_ends_what_was_killed(
    desk: Desk, step: Callable[[pytest.MonkeyPatch], None], act: str
) -> None:
    command, before = acts(desk)[act], desk.in_use()
    killed(step, command)
    if step is not before_the_tidying:
        assert desk.in_use() == before
    assert desk.numbers() in (set(BASE), set(BASE[:490]))
    desk.clock.advance(60)
    outcome = command()
    assert outcome.state == ("taken" if step is before_the_row else "unchanged")
    assert outcome.resumed == (step is before_the_row or act == "import")
    assert desk.numbers() == set(BASE[:490])
    assert [row.state for row in desk.rows()] == ["taken", "taken"]
    assert desk.left_over() == {"current", "lock"}


def test_what_was_made_before_the_kill_is_what_is_taken(desk: Desk) -> None:
    command = acts(desk)["import"]
    killed(before_the_row, command)
    (made,) = {path.name for path in desk.registry.iterdir() if len(path.name) == 64} - {
        desk.in_use()
    }
    desk.clock.advance(days=1)
    assert command().digest == made


def test_the_service_puts_in_use_what_was_entered(desk: Desk) -> None:
    before = desk.in_use()
    killed(before_the_pointer, acts(desk)["import"])
    entered = desk.rows()[-1]
    desk.clock.advance(days=2)
    (told,) = _settled(desk)
    assert told == "gb-tps: the list of 2026-11-16 was entered and not in use; now it is"
    assert desk.in_use() == entered.digest
    assert desk.acts()[-1] == "registry.settle"
    # Until now calls were decided by the list before.
    old = desk.rows()[0]
    assert (old.digest, old.replaced_at) == (before, desk.clock.now())
    assert _settled(desk) == []


def test_a_pointer_that_was_lost_is_found_in_the_records(desk: Desk) -> None:
    digest = desk.in_use()
    for damage in (b"x", None):
        (desk.registry / "current").unlink()
        if damage:
            (desk.registry / "current").write_bytes(damage)
        assert len(_settled(desk)) == 1
        assert desk.in_use() == digest
        assert desk.rows()[0].replaced_at is None


def test_a_list_that_is_gone_is_told_and_stops_nothing(desk: Desk) -> None:
    shutil.rmtree(desk.registry)
    assert _settled(desk) == []
    desk.registry.mkdir()
    (told,) = _settled(desk)
    assert "ought to be in use and cannot be" in told
    assert desk.imports(desk.listed(BASE[:5])).state == "refused"  # the records know how many
    outcome = desk.imports(desk.listed(BASE[:490]))
    assert (outcome.state, outcome.notes) == ("taken", (told,))


def test_the_clock_may_go_back_between_two_lists(desk: Desk) -> None:
    desk.clock.advance(days=-1, seconds=-3600)
    digest = desk.imports(desk.listed(BASE[:490])).digest
    assert _settled(desk) == []
    assert desk.in_use() == digest
    killed(before_the_pointer, lambda: desk.imports(desk.listed(BASE[:480])))
    assert len(_settled(desk)) == 1
    assert len(desk.numbers()) == 480


def test_an_import_under_way_is_left_alone(desk: Desk) -> None:
    killed(before_the_pointer, acts(desk)["import"])
    before = desk.in_use()
    with only_one(desk.registry):
        assert _settled(desk) == []
    assert desk.in_use() == before


def test_a_list_that_the_database_does_not_know_stays_in_use(desk: Desk) -> None:
    other = desk.imports(desk.listed(BASE[:490])).digest
    with desk.database.writing() as connection:  # an older copy of the database
        table = registry_imports
        connection.execute(table.delete().where(table.c.digest == other))
        connection.execute(table.update().values(replaced_at=None))
    assert _settled(desk) == []
    assert desk.in_use() == other


def _settled(desk: Desk) -> list[str]:
    at: datetime = desk.clock.now()
    return list(settle(desk.database, desk.registry.parent, at=at, actor="callguard"))
