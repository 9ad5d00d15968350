"""``callguard contact``."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from callguard.cli.contact_file import MAX_LINE
from tests.cli.conftest import CommandLine, Said

ANN = "+442079460000"
ACME = ("--tenant", "acme")


def known(callguard: CommandLine, number: str = ANN) -> Mapping[str, object]:
    answer = callguard("contact", "show", number, *ACME, "--json").json()
    assert isinstance(answer, dict)
    found = answer["known"]
    assert isinstance(found, dict)
    return found


def logged(callguard: CommandLine) -> list[tuple[str, str, object]]:
    """The audit log's acts on contacts, after a look whether it is whole."""
    assert callguard("audit", "verify").code == 0
    connection = sqlite3.connect(callguard.data / "callguard.db")
    query = "SELECT action, target, details FROM audit WHERE action LIKE 'contact%' ORDER BY seq"
    rows = connection.execute(query).fetchall()
    connection.close()
    return [(action, target, json.loads(details)) for action, target, details in rows]


def test_what_is_set_is_shown(acme: CommandLine) -> None:
    said = acme(
        *("contact", "set", "+1-850-432-0000", *ACME),
        *("--region", "us", "--subdivision", "us-fl", "--zone", "America/Chicago"),
        *("--kind", "business"),
    )
    assert (said.code, said.err) == (0, "")
    assert known(acme, "+18504320000") == {
        "region": "US",
        "subdivision": "US-FL",
        "zone": "America/Chicago",
        "kind": "business",
    }
    text = acme("contact", "show", "+18504320000", *ACME).out
    assert text == "subject: +18504320000\nplace: US, US-FL, America/Chicago\nkind: business\n"


def test_what_happens_in_a_moment_ends_with_it_and_what_lasts_does_not(acme: CommandLine) -> None:
    said = acme(
        *("contact", "set", ANN, *ACME),
        *("--purchase", "2026-01-02", "--inquiry", "2026-01-03T10:00+02:00"),
        *("--callback", "2026-01-04", "--contract-since", "2026-01-05"),
        *("--transaction", "2026-01-06", "--transaction-until", "2026-02-06"),
    )
    assert said.code == 0
    day = "2026-01-0{}T00:00:00Z".format
    assert known(acme)["relationships"] == [
        {"kind": "purchase", "since": day(2), "until": day(2)},
        {"kind": "inquiry", "since": "2026-01-03T08:00:00Z", "until": "2026-01-03T08:00:00Z"},
        {"kind": "callback", "since": day(4), "until": day(4)},
        {"kind": "contract", "since": day(5)},
        {"kind": "transaction", "since": day(6), "until": "2026-02-06T00:00:00Z"},
    ]
    text = acme("contact", "show", ANN, *ACME).out
    assert "inquiry: 2026-01-03 08:00 UTC\n" in text
    assert "contract: since 2026-01-05\n" in text
    assert "transaction: since 2026-01-06 until 2026-02-06\n" in text


def test_a_callback_may_hold_for_longer(acme: CommandLine) -> None:
    days = ("--callback", "2026-01-04", "--callback-until", "2199-01-01")
    assert acme("contact", "set", ANN, *ACME, *days).code == 0
    tie = {"kind": "callback", "since": "2026-01-04T00:00:00Z", "until": "2199-01-01T00:00:00Z"}
    assert known(acme)["relationships"] == [tie]


def test_an_end_alone_ends_what_is_known(acme: CommandLine) -> None:
    end = ("contact", "set", ANN, *ACME, "--contract-until", "2026-05-01")
    acme(*end).refused("no contract is known that had not ended by then")
    acme("contact", "set", ANN, *ACME, "--contract-since", "2026-01-05")
    assert acme(*end).code == 0
    tie = {"kind": "contract", "since": "2026-01-05T00:00:00Z", "until": "2026-05-01T00:00:00Z"}
    assert known(acme)["relationships"] == [tie]
    acme(*end).refused("no contract is known that had not ended by then")


def test_what_is_set_twice_is_known_once(acme: CommandLine) -> None:
    for _ in range(2):
        days = ("--purchase", "2026-01-02", "--contract-since", "2026-01-05")
        assert acme("contact", "set", ANN, *ACME, *days).code == 0
    ties = known(acme)["relationships"]
    assert isinstance(ties, list)
    assert len(ties) == 2


def test_a_refusal_is_of_a_campaign_or_of_all(acme: CommandLine) -> None:
    acme("contact", "set", ANN, *ACME, "--refused", "2026-01-02", "--campaign", "סתיו")
    acme("contact", "set", ANN, *ACME, "--refused", "2026-01-03")
    assert known(acme)["refusals"] == [
        {"at": "2026-01-02T00:00:00Z", "campaign": "סתיו"},
        {"at": "2026-01-03T00:00:00Z"},
    ]
    assert "refused: 2026-01-02, campaign סתיו" in acme("contact", "show", ANN, *ACME).out


def test_a_restriction_stands_from_its_first_day_until_it_is_lifted(acme: CommandLine) -> None:
    lift = ("contact", "set", ANN, *ACME, "--unrestrict")
    acme(*lift).refused("processing is not restricted")
    acme("contact", "set", ANN, *ACME, "--restrict")
    since = known(acme)["restricted_since"]
    acme("contact", "set", ANN, *ACME, "--restrict", "--kind", "consumer")
    assert known(acme) == {"kind": "consumer", "restricted_since": since}
    assert acme(*lift).code == 0
    assert known(acme) == {"kind": "consumer"}


def test_the_gate_heeds_it_from_the_next_call_on(acme: CommandLine) -> None:
    def outcome() -> object:
        said = acme("explain", ANN, *ACME, "--purpose", "service", "--json").json()
        assert isinstance(said, dict)
        found = next(one for one in said["findings"] if one["rule"] == "base.restriction")
        return found["blocks"]

    assert outcome() is False
    acme("contact", "set", ANN, *ACME, "--restrict")
    assert outcome() is True


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say what is known"),
        (("--region", "XX"), "'XX' is not a region"),
        (("--region", ""), "is not a region"),
        (("--subdivision", "US-Florida"), "'US-FLORIDA' is no ISO 3166-2 code"),
        (("--subdivision", "US-ZZ"), "'US-ZZ' is no ISO 3166-2 code"),
        (("--subdivision", "FL"), "'FL' is no ISO 3166-2 code"),
        (("--region", "CA", "--subdivision", "US-CA"), "US-CA is not in CA"),
        (("--zone", "Europe/Londres"), "no time zone 'Europe/Londres'"),
        (("--zone", "../../etc/passwd"), "no time zone"),
        (("--kind", "firm"), "'firm' is no kind of subject; known: consumer, business, unknown"),
        (("--purchase", "2199-01-01"), "lies in the future"),
        (("--inquiry", "2199-01-01"), "lies in the future"),
        (("--callback", "2199-01-01"), "lies in the future"),
        (("--refused", "2199-01-01"), "lies in the future"),
        (("--purchase", "01.02.2026"), "'01.02.2026' is no time such as"),
        (("--purchase", "2026-02-30"), "'2026-02-30' is no time such as"),
        (("--purchase", "0026-02-20"), "is before 1900"),
        (("--contract-since", "2026-02-02", "--contract-until", "2026-02-01"), "ends before"),
        (("--callback", "2026-02-02", "--callback-until", "2026-02-01"), "ends before"),
        (("--campaign", "autumn"), "give --refused too"),
        (("--refused", "2026-01-02", "--campaign", "x" * 129), "at most 128 characters"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_refused_is_one_line_and_sets_nothing(
    acme: CommandLine, arguments: Sequence[str], reason: str
) -> None:
    acme("contact", "set", ANN, *ACME, "--kind", "business")
    # One good value beside the bad one is not set either.
    good = ("--inquiry", "2026-01-01") if arguments and "--inquiry" not in arguments else ()
    acme("contact", "set", ANN, *ACME, *arguments, *good).refused(reason)
    assert known(acme) == {"kind": "business"}
    assert len(logged(acme)) == 1


def test_numbers_and_tenants_are_those_that_are_there(acme: CommandLine) -> None:
    for command, rest in (("set", ("--kind", "business")), ("show", ())):
        acme("contact", command, "abc", *ACME, *rest).refused("'abc' is no telephone number")
        nobody = acme("contact", command, ANN, "--tenant", "nobody", *rest)
        nobody.refused("there is no tenant nobody")


def test_of_a_stranger_nothing_is_known(acme: CommandLine) -> None:
    assert known(acme) == {}
    said = acme("contact", "show", ANN, *ACME)
    assert (said.code, said.out) == (0, f"subject: {ANN}\nnothing is known\n")


def test_what_one_tenant_knows_no_other_does(acme: CommandLine) -> None:
    acme("tenant", "add", "two", "--key", "x25519")
    acme("contact", "set", ANN, "--tenant", "two", "--kind", "business")
    assert known(acme) == {}


def test_each_change_is_logged_without_the_number(acme: CommandLine) -> None:
    acme("contact", "set", ANN, *ACME, "--region", "GB", "--refused", "2026-01-02")
    assert logged(acme) == [("contact.set", "contact", {"fields": ["region", "refusal"]})]


def write(callguard: CommandLine, content: str | bytes) -> str:
    file = callguard.folder / "אנשים.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def imported(callguard: CommandLine, content: str | bytes) -> tuple[int, Mapping[str, object]]:
    said = callguard("contact", "import", write(callguard, content), *ACME, "--json")
    assert said.err == ""
    answer = json.loads(said.out)
    assert isinstance(answer, dict)
    return said.code, answer


def test_a_file_is_taken_over(acme: CommandLine) -> None:
    content = (
        "\ufeffNumber, region ,subdivision,zone,kind\r\n"
        "020 7946 0000,,,,Business\r\n"
        "\r\n"
        '"+1 850 432 0000",us,us-fl,America/Chicago,\r\n'
    )
    assert imported(acme, content) == (0, {"imported": 2, "bad": 0, "faults": []})
    assert known(acme) == {"kind": "business"}
    place = {"region": "US", "subdivision": "US-FL", "zone": "America/Chicago"}
    assert known(acme, "+18504320000") == place
    assert logged(acme) == [("contact.import", "contact", {"contacts": 2})]


def test_what_a_file_leaves_empty_stays_as_it_was(acme: CommandLine) -> None:
    acme("contact", "set", ANN, *ACME, "--region", "GB", "--purchase", "2026-01-02")
    before = known(acme)
    assert imported(acme, f"kind,region,number\nbusiness,,{ANN}\n")[0] == 0
    assert known(acme) == {**before, "kind": "business"}


def test_bad_lines_are_told_with_their_numbers_and_good_ones_kept(acme: CommandLine) -> None:
    content = b"""number,region,kind
+442079460001,GB,business
abc,GB,business

+442079460002,XX,business
+442079460003,GB
+442079460004,"GB,business
+442079460005,GB,firm
+442079460006,G\xff,business
+44\x002079460007,GB,business
+442079460008,GB,consumer
"""
    code, answer = imported(acme, content)
    assert (code, answer["imported"], answer["bad"]) == (1, 2, 7)
    faults = answer["faults"]
    assert isinstance(faults, list)
    assert [fault["line"] for fault in faults] == [3, 5, 6, 7, 8, 9, 10]
    assert "'abc' is no telephone number" in faults[0]["fault"]
    assert known(acme, "+442079460001") == {"region": "GB", "kind": "business"}
    assert known(acme, "+442079460008") == {"region": "GB", "kind": "consumer"}
    assert known(acme, "+442079460002") == {}


def test_only_the_first_ten_bad_lines_are_shown(acme: CommandLine) -> None:
    content = "number\n" + "abc\n" * 12 + f"{ANN}\n"
    said = acme("contact", "import", write(acme, content), *ACME)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (1, "")
    assert lines[0] == "1 contacts taken over, 12 bad lines"
    assert lines[1] == "line 2: 'abc' is no telephone number"
    assert (len(lines), lines[-1]) == (12, "and 2 more")


def test_more_than_one_batch_is_taken_over_and_lines_keep_their_numbers(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.cli.contact.BATCH", 4)
    numbers = [f"+4420794600{place:02}" for place in range(30)]
    numbers[20] = "abc"
    code, answer = imported(acme, "number,kind\n" + "".join(f"{n},business\n" for n in numbers))
    assert (code, answer["imported"], answer["bad"]) == (1, 29, 1)
    assert answer["faults"] == [{"line": 22, "fault": "'abc' is no telephone number"}]
    assert sum(act[2]["contacts"] for act in logged(acme)) == 29  # type: ignore[index] # JSON
    assert known(acme, numbers[29]) == {"kind": "business"}


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, 10 * MAX_LINE])
def test_a_line_too_long_is_one_bad_line(acme: CommandLine, length: int) -> None:
    code, answer = imported(acme, f"number\n{'1' * length}\n{ANN}\n")
    assert (code, answer["imported"], answer["bad"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (f"{ANN},GB\n", f"'{ANN}' is no column; known: number, region"),
        ("region,kind\n", "to name number"),
        ("number,kind,kind\n", "each column once"),
        ("number;kind\n", "is no column"),
        ("number,name\n", "'name' is no column"),
        ("number,kind\n".encode("utf-16"), "is no column"),
        ('"number\n', "unexpected end of data"),
        ("x" * (MAX_LINE + 1), "line 1: it is longer than"),
    ],
    ids=["nothing", "blank", "bare", "numberless", "twice", "semicolon", "name", "16", "cut", "x"],
)
def test_a_file_without_its_columns_is_refused(
    acme: CommandLine, content: str | bytes, reason: str
) -> None:
    acme("contact", "import", write(acme, content), *ACME).refused(reason)


def test_a_file_that_is_not_there_is_one_line(acme: CommandLine, tmp_path: Path) -> None:
    acme("contact", "import", str(tmp_path / "none.csv"), *ACME).refused("No such file")
    acme("contact", "import", str(tmp_path), *ACME).refused("Is a directory")
    nobody = acme("contact", "import", write(acme, "number\n"), "--tenant", "nobody")
    nobody.refused("there is no tenant nobody")


def test_where_the_database_is_held_it_is_said_what_is_kept(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.storage.pragmas.BUSY_MS", 20)
    file = write(acme, f"number,kind\n{ANN},business\n")
    locker = sqlite3.connect(acme.data / "callguard.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    said: Said = acme("contact", "import", file, *ACME)
    locker.execute("ROLLBACK")
    locker.close()
    said.refused("database is locked; 0 contacts before that are kept")
    assert acme("contact", "import", file, *ACME).code == 0
