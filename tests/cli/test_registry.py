"""``callguard registry``."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.cli import registry as command
from callguard.optout.registry.lock import only_one
from callguard.storage.database import Database
from callguard.storage.schema import audit, registry_imports
from tests.cli.conftest import CommandLine
from tests.clock import HandClock

NUMBERS = range(442071230000, 442071230200)
DAY = "2026-11-15"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    clock = HandClock()
    monkeypatch.setattr(command, "SystemClock", lambda: clock)
    return clock


def tps(callguard: CommandLine, numbers: Iterable[int], name: str = "tps.txt") -> str:
    path = callguard.folder / name
    path.write_bytes(b"".join(b"0%d \r\n" % (n - 440000000000) for n in numbers))
    return str(path)


def present(callguard: CommandLine) -> CommandLine:
    """With a list in use."""
    said = callguard("registry", "import", "gb-tps", tps(callguard, NUMBERS), "--date", DAY)
    assert (said.code, said.err) == (0, "")
    return callguard


def states(callguard: CommandLine) -> list[str]:
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    with database.reading() as connection:
        rows = connection.execute(select(registry_imports.c.state)).scalars().all()
        acts = connection.execute(
            select(audit.c.action).where(audit.c.action.like("registry.%"))
        ).all()
    database.close()
    assert len(rows) == len(acts)
    return list(rows)


def in_use(callguard: CommandLine, name: str = "gb-tps") -> str:
    return (callguard.data / "registries" / name / "current").read_text().strip()


def test_a_list_is_taken_into_use_in_words(callguard: CommandLine) -> None:
    said = callguard("registry", "import", "gb-tps", tps(callguard, NUMBERS), "--date", DAY)
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"gb-tps: the list of {DAY} is in use: 200 numbers, covering +44 ({in_use(callguard)})\n"
    )


def test_a_list_is_taken_into_use_in_json(callguard: CommandLine) -> None:
    file = tps(callguard, NUMBERS)
    value = callguard("registry", "import", "gb-tps", file, "--date", DAY, "--json").json()
    assert isinstance(value, dict)
    assert (value["state"], value["reason"], value["list_date"]) == ("taken", None, DAY)
    assert (value["digest"], value["counts"]) == (in_use(callguard), {"+44": 200})
    assert value["files"][0]["name"] == "tps.txt"


def test_all_of_it_is_for_its_owner_alone(callguard: CommandLine) -> None:
    present(callguard)
    folder = callguard.data / "registries"
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_the_same_list_again_is_nothing_new(callguard: CommandLine) -> None:
    before = in_use(present(callguard))
    said = callguard("registry", "import", "gb-tps", tps(callguard, NUMBERS), "--date", DAY)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"gb-tps: nothing new, the list of {DAY} is in use\n"
    assert (in_use(callguard), states(callguard)) == (before, ["taken"])


def test_a_refused_list_is_one_line_and_entered(callguard: CommandLine) -> None:
    before = in_use(present(callguard))
    file = tps(callguard, NUMBERS[:100])
    callguard("registry", "import", "gb-tps", file, "--date", DAY).refused(
        "gb-tps: refused: the list has 100 numbers, the present one 200 (50.0% fewer)"
    )
    assert (in_use(callguard), states(callguard)) == (before, ["taken", "refused"])
    said = callguard("registry", "import", "gb-tps", file, "--date", DAY, "--json")
    assert said.code == 1
    value = json.loads(said.out)
    assert (value["state"], value["digest"]) == ("refused", None)
    assert value["reason"] in said.err
    assert said.err.count("\n") == 1


def test_bad_lines_are_shown_masked_before_the_reason(callguard: CommandLine) -> None:
    file = tps(callguard, NUMBERS)
    with Path(file).open("ab") as more:
        more.write(b"02079460x18 \r\n" * 150)
    said = callguard("registry", "import", "gb-tps", file, "--date", DAY)
    lines = said.err.splitlines()
    assert (said.code, said.out, len(lines)) == (1, "", 102)
    assert lines[0].startswith("tps.txt: line 201: ")
    assert "0207" not in said.err
    assert lines[100] == "and 50 more bad lines"
    assert lines[101].startswith("callguard: gb-tps: refused: tps.txt: 150 of 350 lines")


def test_a_smaller_list_needs_a_reason(callguard: CommandLine) -> None:
    present(callguard)
    given = ["registry", "import", "gb-tps", tps(callguard, NUMBERS[:9]), "--date", DAY]
    said = callguard(*given, "--smaller", "cleaned by the authority")
    assert said.code == 0
    assert said.err.startswith("taken although it is smaller: the list has 9 numbers")
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    with database.reading() as connection:
        details = connection.execute(select(audit.c.details)).scalars().all()[-1]
    database.close()
    assert json.loads(details)["reason"] == "cleaned by the authority"


def test_changes_are_applied(callguard: CommandLine) -> None:
    present(callguard)
    file = callguard.folder / "שינויים.csv"
    file.write_text(f"+{NUMBERS[0]},D\n+442079999999,A\n")
    said = callguard("registry", "apply", "gb-tps", str(file), "--date", "2026-11-16")
    assert (said.code, said.err) == (0, "")
    assert "the list of 2026-11-16 is in use: 200 numbers (1 added, 1 removed)" in said.out
    again = callguard("registry", "apply", "gb-tps", str(file), "--date", "2026-11-16")
    assert "nothing new" in again.out
    value = callguard("registry", "list", "--json").json()
    assert isinstance(value, list)
    assert value[0]["list_date"] == "2026-11-16"


def test_a_hebrew_file_is_read_by_its_column(callguard: CommandLine) -> None:
    file = callguard.folder / "רשימת חסימה.csv"
    file.write_text("שם,טלפון\nא,03-1234567\nב,02-7654321\n", encoding="utf-8")
    given = ["registry", "import", "il-dnc", str(file), "--date", DAY, "--covers", "+972"]
    value = callguard(*given, "--format", "csv", "--column", "טלפון", "--json").json()
    assert isinstance(value, dict)
    assert (value["state"], value["counts"]) == ("taken", {"+972": 2})
    assert value["files"][0]["name"] == "רשימת חסימה.csv"


def test_a_name_that_is_not_utf_8_is_told(callguard: CommandLine) -> None:
    path = callguard.folder / b"list-\xff.txt".decode("utf-8", "surrogateescape")
    path.write_bytes(b"nothing\n")
    said = callguard("registry", "import", "gb-tps", str(path), "--date", DAY)
    assert said.code == 1
    assert "Traceback" not in said.err
    assert states(callguard) == ["refused"]


def test_what_the_settings_say_of_a_list_counts(callguard: CommandLine) -> None:
    with callguard.config.open("a") as config:
        config.write('\n[registries.lists.us-fl-dnc]\nformat = "csv"\ncovers = ["+1305"]\n')
    file = callguard.folder / "fl.csv"
    file.write_text("305-555-0100\n305-555-0101\n")
    said = callguard("registry", "import", "us-fl-dnc", str(file), "--date", DAY)
    assert (said.code, said.err) == (0, "")
    assert "covering +1305" in said.out


def test_a_list_of_unknown_format_is_asked_for(callguard: CommandLine) -> None:
    file = tps(callguard, NUMBERS)
    callguard("registry", "import", "us-fl-dnc", file, "--date", DAY).refused("--format")


def test_a_registry_that_no_rule_asks_is_told(callguard: CommandLine) -> None:
    file = tps(callguard, NUMBERS)
    said = callguard("registry", "import", "gb-tsp", file, "--date", DAY, "--format", "uk-tps")
    assert (said.code, said.err) == (0, "no rule asks a registry gb-tsp\n")


def test_files_are_held_against_their_checksums(callguard: CommandLine) -> None:
    file = tps(callguard, NUMBERS)
    sums = callguard.folder / "sums"
    given = ["registry", "import", "gb-tps", file, "--date", DAY, "--sha256", str(sums)]
    callguard(*given).refused("No such file")
    sums.write_text("nonsense\n")
    callguard(*given).refused("line 1 is no checksum")
    sums.write_text(f"{'0' * 64}  tps.txt\n")
    callguard(*given).refused("the checksums say 000")
    sums.write_text(f"{hashlib.sha256(Path(file).read_bytes()).hexdigest()}  tps.txt\n")
    assert callguard(*given).code == 0


def test_two_imports_do_not_meet(callguard: CommandLine) -> None:
    present(callguard)
    with only_one(callguard.data / "registries" / "gb-tps"):
        given = ["registry", "import", "gb-tps", tps(callguard, NUMBERS[:199]), "--date", DAY]
        callguard(*given).refused("another import of gb-tps is running")


def test_without_a_database_nothing_is_begun(callguard: CommandLine) -> None:
    (callguard.data / "callguard.db").unlink()
    file = tps(callguard, NUMBERS)
    callguard("registry", "import", "gb-tps", file, "--date", DAY).refused("")
    assert not (callguard.data / "registries").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["import", "gb-tps"],
        ["import", "GB TPS", "x"],
        ["import", "../x", "x"],
        ["import", "gb-tps", "x", "--date", "tomorrow"],
        ["import", "gb-tps", "x", "--covers", "44"],
        ["import", "gb-tps", "x", "--region", "Mars"],
        ["import", "gb-tps", "x", "--format", "pdf"],
        ["import", "gb-tps", "x", "--smaller", " "],
        ["apply", "gb-tps", "x", "--covers", "+44"],
        ["verify", "../x"],
        ["list", "gb-tps"],
        ["take"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart(callguard: CommandLine, wrong: list[str]) -> None:
    said = callguard("registry", *wrong)
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


def test_registries_are_listed(callguard: CommandLine, clock: HandClock) -> None:
    assert callguard("registry", "list", "--json").json() == []
    assert callguard("registry", "list").out == "there is no registry\n"
    present(callguard)
    callguard("registry", "import", "us-dnc", tps(callguard, NUMBERS), "--date", DAY)
    clock.advance(days=1)
    callguard("registry", "import", "gb-tps", tps(callguard, NUMBERS[:9]), "--date", DAY)
    rows = callguard("registry", "list", "--json").json()
    assert isinstance(rows, list)
    british, american = rows
    refused = british.pop("refused")
    assert british == {
        "registry": "gb-tps",
        "list_date": DAY,
        "age_days": 6,
        "count": 200,
        "coverage": ["+44"],
        "digest": in_use(callguard),
        "in_use_since": datetime(2026, 11, 20, 12, 0, tzinfo=UTC).isoformat(),
        "stale_on": "2026-12-14",
        "stale": False,
        "fault": None,
    }
    assert refused["at"] == "2026-11-21T12:00:00+00:00"
    assert refused["reason"].startswith("the list has 9 numbers")
    assert american["registry"] == "us-dnc"
    assert (american["digest"], american["fault"]) == (None, "it is not imported")
    clock.advance(days=60)
    assert callguard("registry", "list").out.splitlines() == [
        "gb-tps: 200 numbers, covering +44",
        "  list of 2026-11-15, 66 days old, stale since 2026-12-14",
        f"  in use since 2026-11-20T12:00:00+00:00, digest {in_use(callguard)}",
        f"  last refused at {refused['at']}: {refused['reason']}",
        "us-dnc: it is not imported",
        f"  last refused at 2026-11-20T12:00:00+00:00: {american['refused']['reason']}",
    ]


def test_a_list_that_is_whole_is_verified(callguard: CommandLine) -> None:
    assert callguard("registry", "verify").out == "there is no registry\n"
    present(callguard)
    said = callguard("registry", "verify", "gb-tps")
    assert said.out == f"gb-tps: 200 numbers, whole ({in_use(callguard)})\n"
    assert callguard("registry", "verify", "--json").json() == [
        {"registry": "gb-tps", "digest": in_use(callguard), "count": 200}
    ]
    callguard("registry", "verify", "us-dnc").refused("there is no registry us-dnc")


@pytest.mark.parametrize("file", ["44.bits", "manifest.json"])
def test_damage_is_found_and_told_in_one_line(callguard: CommandLine, file: str) -> None:
    present(callguard)
    path = callguard.data / "registries" / "gb-tps" / in_use(callguard) / file
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    callguard("registry", "verify").refused("gb-tps: the list in use is damaged")
    rows = callguard("registry", "list", "--json").json()
    assert isinstance(rows, list)
    assert (rows[0]["fault"] is None) == (file == "44.bits")  # only its structure is looked at


def test_the_list_of_another_registry_is_not_whole(callguard: CommandLine) -> None:
    folder = present(callguard).data / "registries"
    (folder / "gb-tps").rename(folder / "gb-ctps")
    callguard("registry", "verify").refused("is a snapshot of gb-tps")
    rows = callguard("registry", "list", "--json").json()
    assert isinstance(rows, list)
    assert "is a snapshot of gb-tps" in rows[0]["fault"]


def test_the_purge_drops_what_nothing_refers_to(callguard: CommandLine) -> None:
    before = in_use(present(callguard))
    callguard("registry", "import", "gb-tps", tps(callguard, NUMBERS[:199]), "--date", DAY)
    folder = callguard.data / "registries" / "gb-tps"
    assert (folder / before).is_dir()
    assert callguard("purge").code == 0
    assert not (folder / before).exists()
    assert callguard("registry", "verify").code == 0
