"""``callguard optout import`` and ``export``: nothing is lost and nothing entered twice."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from callguard.audit.log import first_broken
from callguard.storage.database import Database
from callguard.storage.schema import audit, opt_outs
from tests.cli.conftest import CommandLine, Said

HEBREW = "\u200f020-7946-0001\u200f"


def base(callguard: CommandLine) -> Database:
    return Database(f"sqlite:///{callguard.data / 'callguard.db'}")


def kept(callguard: CommandLine) -> list[Any]:
    database = base(callguard)
    with database.reading() as connection:
        assert first_broken(connection) is None
        found = connection.execute(select(opt_outs).order_by(opt_outs.c.seq)).all()
    database.close()
    return list(found)


def standing(callguard: CommandLine) -> set[tuple[str, str, str, str]]:
    rows = callguard("optout", "list", "--json").json()
    assert isinstance(rows, list)
    return {(r["subject"], r["tenant"], r["purposes"], r["channels"]) for r in rows}


def report(said: Said) -> dict[str, Any]:
    value = json.loads(said.out)
    assert isinstance(value, dict)
    assert said.code == int(bool(value["bad"] or value["undated"]))
    return value


@pytest.fixture
def put(acme: CommandLine, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Imports such a file for acme."""

    def put(
        content: str | bytes, *arguments: str, whom: tuple[str, ...] = ("--tenant", "acme")
    ) -> dict[str, Any]:
        file = tmp_path / "רשימה.csv"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return report(acme("optout", "import", str(file), *whom, *arguments, "--json"))

    return put


Put = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "content",
    [
        "020 7946 0001\n+442079460002\n",
        "020 7946 0001\r\n+442079460002",
        "020 7946 0001\r+442079460002\r",
        "\ufeff020 7946 0001\n\n+442079460002\n",
        "phone\n020 7946 0001\n+442079460002\n",
        f"שם;טלפון\nרות;{HEBREW}\n;0044 20 7946 0002\n",
        'name\tMobile number\n"Ann\tB"\t"020 7946 0001"\nBob\t+442079460002\n',
        'id,phone,note\n1,02079460001,"two\nlines, "" quoted"\n2,+442079460002,x\n',
        'id,phone,note\n1,02079460001,"never closed\n2,+442079460002,x\n',
        'id,phone,note\n1,02079460001,6" pipe\n2,+442079460002,6" pipe\n',
        'id,phone,note\n1,02079460001,"opened\n2,+442079460002,"closed"\n',
        "Ann|020 7946 0001\nBob|+442079460002\n",
        '"=""+442079460001"""\n\'+442079460002\n',
        "tel:+442079460001\nsip:+442079460002@example.org;user=phone\n",
        "442079460001.0\n442079460002.0\n",
    ],
)
def test_any_list_is_read_as_it_is_meant(put: Put, acme: CommandLine, content: str) -> None:
    value = put(content)
    assert (value["new"], value["bad"], value["undated"]) == (2, 0, 0)
    assert standing(acme) == {(f"+44207946000{n}", "acme", "all", "all") for n in (1, 2)}
    again = put(content)
    assert (again["new"], again["there"], again["read"]) == (0, 2, 2)


def test_names_in_another_encoding_spoil_no_number(put: Put, acme: CommandLine) -> None:
    put("שם,טלפון\n".encode() + "רות,02079460001\n".encode("cp1255"))
    assert len(standing(acme)) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("phone\n02079460001\n".encode("utf-16"), "UTF-16"),
        ("02079460001\n".encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04xl/workbook", "a workbook or an archive"),
        (b"", "it is empty"),
        (b"\n  \n", "it is empty"),
        (b"phone,mobile\n02079460001,02079460002\n", "say so with --column"),
        (b"02079460001,02079460002\n", "say so with --column"),
        (b"a,b\nx,y\n", "say so with --column"),
    ],
)
def test_what_cannot_be_told_for_certain_is_refused_in_a_line(
    acme: CommandLine, tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    acme("optout", "import", str(file), "--tenant", "acme").refused(told)
    assert kept(acme) == []


def test_whose_calls_are_not_wanted_is_said_once(acme: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("02079460001\n")
    acme("optout", "import", str(file)).refused("--tenant, or --all-tenants")
    acme("optout", "import", str(file), "--tenant", "acme", "--all-tenants").refused("say one of")
    acme("optout", "import", str(file), "--tenant", "nobody").refused("there is no tenant nobody")
    acme("optout", "import", str(tmp_path), "--tenant", "acme").refused("there is no file")
    assert kept(acme) == []


def test_columns_are_named_or_counted(put: Put, acme: CommandLine) -> None:
    content = "phone,mobile\n02079460001,02079460002\n"
    put(content, "--column", "Mobile")
    put(content, "--column", "1")
    assert {row[0] for row in standing(acme)} == {"+442079460001", "+442079460002"}


def test_a_column_that_is_not_there_is_refused(acme: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("phone,x\n02079460001,y\n")
    for column, told in (("fax", "does not name a column 'fax'"), ("3", "no column 3")):
        acme("optout", "import", str(file), "--tenant", "acme", "--column", column).refused(told)


def test_purposes_channels_and_dates_are_honoured_where_they_are_named(
    put: Put, acme: CommandLine
) -> None:
    value = put(
        "phone;why;by;since\n"
        "02079460001;marketing, survey;SMS;2024-02-29\n"
        "02079460002;;;2025-01-01T10:00+02:00\n"
        "02079460003;fun;;2025-01-01\n"
        "02079460004;;;31/12/2020\n"
        "02079460005;;;2999-01-01\n",
        *("--purpose-column", "why", "--channel-column", "by", "--date-column", "4"),
        *("--purpose", "service"),
    )
    assert (value["new"], value["bad"], value["undated"]) == (4, 1, 2)
    assert standing(acme) == {
        ("+442079460001", "acme", "marketing, survey", "sms"),
        *((f"+44207946000{n}", "acme", "service", "all") for n in (2, 4, 5)),
    }
    rows = kept(acme)
    assert rows[0].at.isoformat() == "2024-02-29T00:00:00+00:00"
    assert rows[1].at.isoformat() == "2025-01-01T08:00:00+00:00"
    assert [fault["line"] for fault in value["faults"]] == [4, 5, 6]


def test_good_lines_are_entered_whatever_the_others_are_and_bad_ones_shown_veiled(
    put: Put, acme: CommandLine
) -> None:
    lines = [f"020794{n:05d}" if n % 2 else f"Ruth 0{n:05d}\x1b[2J" for n in range(400)]
    value = put("phone\n" + "\n".join(lines))
    assert (value["new"], value["bad"]) == (200, 200)
    assert len(value["faults"]) == 100
    assert value["faults"][0]["line"] == 2
    assert "Ruth" not in str(value)
    assert "\\x1b" not in repr(value["faults"][0]["fault"])
    assert len(standing(acme)) == 200


def test_where_each_came_from_is_kept(put: Put, acme: CommandLine) -> None:
    value = put("phone\n02079460001\n", "--reason", "ביקשו במכתב")
    (row,) = kept(acme)
    assert (row.way, row.reason) == ("import", "ביקשו במכתב")
    assert row.evidence == f"רשימה.csv sha256:{value['sha256']} line 2"
    database = base(acme)
    with database.reading() as connection:
        entries = connection.execute(select(audit).where(audit.c.action.like("optout.%"))).all()
    database.close()
    assert [entry.action for entry in entries] == ["optout.import", "optout.imported"]
    assert value["sha256"] in entries[0].details
    assert json.loads(entries[1].details)["new"] == 1
    assert "2079460001" not in str(entries)


def test_a_dry_run_counts_the_same_and_enters_nothing(put: Put, acme: CommandLine) -> None:
    content = "02079460001\n" * 3 + "02079460002\nx\n"
    dry = put(content, "--dry-run")
    assert kept(acme) == []
    assert {**put(content), "dry_run": True} == dry
    assert dry["new"] == 2
    wider = put(content, "--dry-run", whom=("--all-tenants",))
    assert (wider["new"], wider["there"]) == (2, 2)


def test_what_says_more_widens_and_what_says_less_is_there(put: Put, acme: CommandLine) -> None:
    put("02079460001\n", "--purpose", "marketing")
    assert put("02079460001\n", "--channel", "sms")["widened"] == 1
    assert put("02079460001\n", "--channel", "sms", "--purpose", "survey")["there"] == 1
    assert standing(acme) == {
        ("+442079460001", "acme", "marketing", "all"),
        ("+442079460001", "acme", "collection, service, survey, transactional", "sms"),
    }


def test_an_old_wish_does_not_undo_a_later_re_consent(put: Put, acme: CommandLine) -> None:
    dated = ("phone,since\n02079460001,2020-01-01\n", "--date-column", "since")
    put(*dated)
    lift = ("--reason", "asked", "--evidence", "letter", "--channel", "sms")
    acme("optout", "remove", "02079460001", "--tenant", "acme", *lift)
    value = put(*dated)
    assert (value["lifted"], value["new"], value["widened"]) == (1, 0, 0)
    assert put("02079460001\n")["widened"] == 1  # a wish of no date is one of now


def test_what_is_exported_is_there_when_it_is_imported(
    put: Put, acme: CommandLine, tmp_path: Path
) -> None:
    acme("tenant", "add", "two", "--region", "IL", "--key", "x25519")
    put("02079460001\n02079460002\n", "--purpose", "marketing", "--channel", "sms")
    put("03-1234567\nann@example.org\n", whom=("--tenant", "two"))
    acme("optout", "add", "+442079460001", "--reason", '=cmd|"x"\n;ביקשה', "--purpose", "service")
    acme("optout", "add", "+442079460003")
    lift = ("--reason", "asked", "--evidence", "letter", "--channel", "sms", "--purpose", "survey")
    acme("optout", "remove", "+442079460003", *lift)
    before = standing(acme)
    file = tmp_path / "יצוא.csv"
    said = acme("optout", "export", str(file))
    assert said.out == f"7 opt-outs written to {file}\n"
    assert file.stat().st_mode & 0o077 == 0
    acme("optout", "export", str(file)).refused("File exists")
    value = report(acme("optout", "import", str(file), "--json"))
    assert (value["there"], value["read"], value["bad"]) == (7, 7, 0)
    assert standing(acme) == before
    streamed = acme("optout", "export")
    assert streamed.out == file.read_text()
    cells = [cell for row in csv.reader(streamed.out.splitlines()) for cell in row]
    assert not any(cell.startswith("=") for cell in cells)


def test_an_export_makes_the_same_wishes_elsewhere(
    put: Put, acme: CommandLine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    put("02079460001\n", "--purpose", "marketing")
    put("02079460002\n", whom=("--all-tenants",))
    before = standing(acme)
    file = tmp_path / "out.csv"
    acme("optout", "export", str(file))
    (acme.data / "callguard.db").rename(tmp_path / "old.db")
    for suffix in ("-wal", "-shm"):
        (acme.data / f"callguard.db{suffix}").unlink(missing_ok=True)
    acme.config.unlink()
    for left in ("master.key", "api.token"):
        (acme.data / left).unlink()
    acme.init()
    acme("tenant", "add", "acme", "--key", "x25519")
    assert report(acme("optout", "import", str(file), "--json"))["new"] == 2
    assert standing(acme) == before


def test_an_export_is_of_what_binds_a_tenant_and_is_json_when_asked(
    put: Put, acme: CommandLine
) -> None:
    acme("tenant", "add", "two", "--key", "x25519")
    put("02079460001\n")
    put("02079460002\n", whom=("--tenant", "two"))
    put("02079460003\n", whom=("--all-tenants",))
    lines = acme("optout", "export", "--tenant", "acme", "--format", "json").out.splitlines()
    assert [json.loads(line)["tenant"] for line in lines] == ["acme", "*"]
    acme("optout", "export", "--format", "xml").refused("'xml' is no format")


def test_a_row_of_a_tenant_nobody_added_is_bad(put: Put, acme: CommandLine) -> None:
    content = "phone,whose\n02079460001,acme\n02079460002,*\n02079460003,x\n02079460004,\n"
    value = put(content, "--tenant-column", "whose", whom=())
    assert (value["new"], value["bad"]) == (2, 2)
    assert {row[1] for row in standing(acme)} == {"acme", "all"}


def started(acme: CommandLine, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "callguard", "optout", "import", str(file), "--tenant", "acme"]
    environment = {**os.environ, "CALLGUARD_CONFIG": str(acme.config), "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [*command, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def count(acme: CommandLine) -> tuple[int, int]:
    """Rows, and subjects."""
    database = base(acme)
    with database.reading() as connection:
        each = func.count(opt_outs.c.subject.distinct())
        found = connection.execute(select(func.count(), each).select_from(opt_outs)).one()
    database.close()
    return found[0], found[1]


def a_list(file: Path, lines: int) -> Path:
    file.write_text("".join(f"020 7{n * 37:07d}\n" for n in range(lines)))
    return file


def test_killed_in_the_middle_and_run_again_every_opt_out_is_there_once(
    acme: CommandLine, tmp_path: Path
) -> None:
    lines = 30_000
    file = a_list(tmp_path / "long", lines)
    running = started(acme, file)
    deadline = time.monotonic() + 60
    while count(acme)[0] < 2_000:
        assert time.monotonic() < deadline
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.communicate()
    left = count(acme)[0]
    assert 2_000 <= left < lines
    value = report(acme("optout", "import", str(file), "--tenant", "acme", "--json"))
    assert (value["new"], value["there"]) == (lines - left, left)
    assert count(acme) == (lines, lines)
    assert acme("audit", "verify").code == 0


def test_two_imports_at_once_enter_each_opt_out_once(acme: CommandLine, tmp_path: Path) -> None:
    file = a_list(tmp_path / "long", 6_000)
    both = [started(acme, file) for _ in range(2)]
    values = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum(value["new"] for value in values) == 6_000
    assert all(value["new"] + value["there"] == 6_000 for value in values)
    assert count(acme) == (6_000, 6_000)
    assert acme("audit", "verify").code == 0
