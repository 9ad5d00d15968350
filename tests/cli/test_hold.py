"""``callguard hold``: placed, told, reviewed and let go."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from callguard.cli.hold import _moment
from callguard.config import Settings
from callguard.storage.database import Database
from callguard.storage.schema import audit
from tests.cli.conftest import CommandLine
from tests.retention.rows import put

NUMBER = "+442079460123"
REVIEW = ("--reason", "a claim", "--review", "2099-01-31")


@pytest.fixture
def database(acme: CommandLine) -> Database:
    return Database(Settings.load(acme.config).database_url)


def placed(acme: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    """The holds that were placed, as they are told."""
    found = acme("hold", "add", *arguments, "--json").json()
    assert isinstance(found, list)
    return found


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(days=90)


def past() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=1)


def logged(database: Database) -> list[tuple[str, str]]:
    wanted = select(audit.c.action, audit.c.details).where(audit.c.action.like("hold.%"))
    with database.reading() as connection:
        return [(row.action, row.details) for row in connection.execute(wanted)]


def test_a_case_is_held_listed_shown_and_released_as_one(
    acme: CommandLine, database: Database
) -> None:
    put(database, "call_record", 1, past())
    put(database, "verdict", 1, soon())
    asked = ("hold", "add", *REVIEW, "--case", "C-17", "--tenant", "acme")
    first, _ = placed(acme, *asked[2:], "--subject", NUMBER, "--subject", "dana@example.com")
    assert (first["case"], first["subject"], first["covers"]) == ("C-17", NUMBER, {})
    assert acme(*asked, "--from", "2026-01-01", "--to", "2099-01-01").code == 0
    again = acme(*asked, "--subject", NUMBER)
    assert (again.code, "stood already" in again.out) == (0, True)
    rows = acme("hold", "list", "--case", "C-17", "--json").json()
    assert isinstance(rows, list)
    assert [row["subject"] for row in rows] == ["+44********23", "d***@***com", None]
    shown = acme("hold", "show", rows[2]["hold"], "--json").json()
    assert isinstance(shown, dict)
    assert (shown["covers"], shown["overdue"]) == ({"call_record": 1, "verdict": 1}, False)
    told = acme("hold", "release", "--case", "C-17", "--json").json()
    assert isinstance(told, dict)
    assert (len(told["released"]), told["due"]) == (3, {"call_record": 1})
    acme("hold", "release", "--case", "C-17").refused("no hold of case C-17 stands")
    acme("hold", "release", rows[0]["hold"]).refused("was released already")
    assert acme("hold", "list", "--json").json() == []
    everything = acme("hold", "list", "--all", "--json").json()
    assert isinstance(everything, list)
    assert len(everything) == 3
    entries = logged(database)
    assert [action for action, _ in entries] == ["hold.add"] * 3 + ["hold.release"] * 3
    assert not any("7946" in details for _, details in entries)


def test_what_a_hold_kept_goes_with_the_purge_that_its_release_asks_for(
    acme: CommandLine, database: Database
) -> None:
    put(database, "call_record", 1, past())
    (held,) = placed(acme, *REVIEW, "--tenant", "acme")
    assert held["covers"] == {"call_record": 1}
    assert acme("purge").code == 0
    assert acme("hold", "show", held["hold"]).out.count("covers: call_record 1") == 1
    said = acme("hold", "release", held["hold"], "--purge-now")
    assert (said.code, "due now: call_record 1" in said.out, "purged 1 rows" in said.out) == (
        0,
        True,
        True,
    )


REFUSED: list[tuple[tuple[str, ...], str]] = [
    ((*REVIEW,), "ask for everything"),
    ((*REVIEW, "--case", "C-17"), "ask for everything"),
    ((*REVIEW, "--everything", "--tenant", "acme"), "names no tenant"),
    ((*REVIEW, "--tenant", "nobody"), "there is no tenant nobody"),
    ((*REVIEW, "--tenant", "acme", "--call", "x"), "there is no call x"),
    ((*REVIEW, "--subject", "twelve"), "is no telephone number"),
    ((*REVIEW, "--tenant", "acme", "--case", "a\nb"), "is no case"),
    ((*REVIEW, "--from", "2026-02-01", "--to", "2026-02-01"), "ends before it begins"),
    ((*REVIEW, "--from", "lately"), "is no time"),
    (("--reason", " ", *REVIEW[2:], "--tenant", "acme"), "needs a reason"),
    (("--reason", "x", "--review", "2020-01-01", "--tenant", "acme"), "lies in the future"),
]


def test_what_cannot_be_held_is_refused_in_one_line(acme: CommandLine, database: Database) -> None:
    for arguments, reason in REFUSED:
        acme("hold", "add", *arguments).refused(reason)
    assert (acme("hold", "list", "--json").json(), logged(database)) == ([], [])


def test_a_hold_of_everything_is_asked_for(acme: CommandLine, database: Database) -> None:
    (held,) = placed(acme, *REVIEW, "--everything")
    assert held["everything"]
    acme("hold", "release", "no-such").refused("there is no hold no-such")
    acme("hold", "release", held["hold"], "no-such").refused("there is no hold no-such")
    assert acme("hold", "list", "--tenant", "acme", "--json").json() != []  # all or none


def test_a_day_begins_where_the_tenant_is(acme: CommandLine) -> None:
    assert acme("tenant", "set", "acme", "time_zone=Asia/Jerusalem").code == 0
    (held,) = placed(acme, *REVIEW, "--tenant", "acme", "--from", "2026-07-01")
    assert held["from"] == "2026-06-30T21:00:00+00:00"


def test_a_period_that_ends_in_an_hour_that_comes_twice_has_all_of_it() -> None:
    zone, hour = ZoneInfo("Europe/Paris"), "2026-10-25T02:30"
    assert _moment(hour, zone) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert _moment(hour, zone, pick=max) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert _moment("2026-10-25", zone) == _moment("2026-10-25", zone, pick=max)
