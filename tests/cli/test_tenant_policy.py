"""``callguard tenant policy`` and how contacts come in and go."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from callguard.retention.classes import SETTABLE
from callguard.storage.database import Database
from callguard.storage.schema import audit, call_records, contacts, tenant_retention
from tests.cli.conftest import CommandLine
from tests.retention.rows import put

ACME = ("tenant", "policy", "acme")
ANN = "+442079460123"


def table(line: CommandLine) -> dict[str, dict[str, object]]:
    found = line(*ACME, "--json").json()
    assert isinstance(found, list)
    return {row["class"]: row for row in found}


def opened(line: CommandLine) -> Database:
    return Database(f"sqlite:///{line.data / 'callguard.db'}")


def test_the_whole_table_is_shown_with_the_law_and_the_end(acme: CommandLine) -> None:
    assert acme("tenant", "set", "acme", "home_region=IL").code == 0
    rows = table(acme)
    assert tuple(rows) == SETTABLE
    assert rows["audit"]["law"] == [
        "at least 2y: Protection of Privacy Regulations (Data Security), 5777-2017 (unverified)"
    ]
    assert (rows["contact"]["kept"], rows["contact"]["chosen"]) == (None, False)
    assert rows["recording"]["at_end"] == {
        "action": "delete",
        "after": "30d",
        "until": None,
        "basis": "",
    }
    text = " ".join(acme(*ACME).out.split())
    assert "until the contract ends" in text
    assert "unverified" in text
    one = acme(*ACME, "recording", "--json").json()
    assert isinstance(one, list)
    assert len(one) == 1


def test_a_span_that_crosses_the_law_is_refused_with_its_citation(acme: CommandLine) -> None:
    acme("tenant", "set", "acme", "home_region=FR")
    acme(*ACME, "recording", "1y").refused("recording 1y is longer than the law lets it be, 6mo")
    assert table(acme)["recording"]["chosen"] is False
    assert acme(*ACME, "recording", "6mo").code == 0
    acme("tenant", "set", "acme", "home_region=IL")
    acme(*ACME, "audit", "23mo").refused("(unverified)")


def test_a_tenant_cannot_move_to_where_its_policy_is_against_the_law(acme: CommandLine) -> None:
    assert acme(*ACME, "recording", "1y").code == 0
    acme("tenant", "set", "acme", "home_region=FR").refused("CNIL")
    acme(*ACME, "recording", "default")
    assert acme("tenant", "set", "acme", "home_region=FR").code == 0


def test_a_limit_on_some_records_is_a_note(acme: CommandLine) -> None:
    said = acme(*ACME, "call_record", "30d")
    assert said.code == 0
    assert "note: call_record: at least 5y for marketing calls with numbers of AS, " in said.out
    assert "16 CFR 310.5" in said.out


def test_what_becomes_of_a_class_at_the_end_has_a_basis_and_an_end(acme: CommandLine) -> None:
    keep = (*ACME, "contact", "--at-end", "keep")
    acme(*keep).refused("keep needs a basis and an end date")
    acme(*keep, "--basis", "claims").refused("keep needs an end date")
    acme(*keep, "--at-end-until", "2030-12-31").refused("keep needs a basis")
    assert acme(*keep, "--at-end-until", "2030-12-31", "--basis", "claims").code == 0
    assert table(acme)["contact"]["at_end"] == {
        "action": "keep",
        "after": None,
        "until": "2030-12-31",
        "basis": "claims",
    }
    assert acme(*ACME, "contact", "--at-end", "delete").code == 0
    assert acme(*ACME, "contact", "--at-end", "default").code == 0
    acme(*ACME, "contact", "--basis", "claims").refused("say with --at-end")


def test_only_call_records_leave_figures(acme: CommandLine) -> None:
    assert acme(*ACME, "call_record", "--anonymise").code == 0
    assert table(acme)["call_record"]["anonymise"] is True
    acme(*ACME, "recording", "--anonymise").refused("leaves no figures")


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (("gossip", "1d"), "'gossip' is no data class"),
        (("", "1d"), "say of which class"),
        (("--anonymise",), "say of which class"),
        (("opt_out", "5y"), "until the contract ends"),
        (("recording", "1d", "--at-end", "burn"), "is none of delete, archive and keep"),
    ],
)
def test_what_cannot_be_is_one_line(acme: CommandLine, typed: tuple[str, ...], reason: str) -> None:
    acme(*ACME, *typed).refused(reason)


def test_what_is_kept_otherwise_than_chosen_is_told(acme: CommandLine) -> None:
    assert "note: list: no list is kept longer than" in acme(*ACME, "list", "30d").out
    assert "not before 5y" in acme(*ACME, "audit", "2y").out
    acme(*ACME, "list", "1d", "--existing").refused("no record of list has a date to change")
    assert "voicemail: files" not in acme(*ACME, "voicemail", "30d").out
    folder = '[[folders]]\nname = "v"\npath = "/v"\ndata_class = "voicemail"\ntenant = "acme"\n'
    with acme.config.open("a", encoding="utf-8") as file:
        file.write("\n" + folder)
    assert "voicemail: files that are there follow it too" in acme(*ACME, "voicemail", "9d").out
    assert "voicemail would be kept 1 day;" in acme(*ACME, "voicemail", "1d", "--dry-run").out


def test_a_tenant_that_cannot_be_read_is_not_passed_over(acme: CommandLine) -> None:
    assert acme(*ACME, "recording", "30d").code == 0
    database = opened(acme)
    with database.writing() as connection:
        connection.execute(update(tenant_retention).values(span="ten years"))
    database.close()
    said = acme("tenant", "list")
    assert (said.code, said.err.count("tenant acme cannot be read")) == (0, 1)
    acme("tenant", "show", "acme").refused("tenant acme cannot be read")
    acme(*ACME).refused("tenant acme cannot be read")


def test_records_that_are_there_go_sooner_only_on_a_yes(acme: CommandLine) -> None:
    database, now = opened(acme), datetime.now(UTC)
    for number, age in enumerate((2, 200)):
        at = now - timedelta(days=age)
        put(database, "call_record", number, at + timedelta(days=365), at=at)
    counted = acme(*ACME, "call_record", "30d", "--dry-run", "--json").json()
    assert isinstance(counted, dict)
    tally = {"rows": 2, "sooner": 2, "later": 0, "due": 1}
    assert (counted["existing"], counted["span"]) == ({"call_record": tally}, None)
    set_ = (*ACME, "call_record", "30d", "--existing")
    acme(*set_).refused("2 records would go sooner than promised, 1 of them at once")
    assert table(acme)["call_record"]["chosen"] is False
    assert "of 2 records 2 got a sooner date" in acme(*set_, "--yes").out
    with database.reading() as connection:
        found = connection.execute(select(call_records.c.expires_at - now)).all()
        assert len(found) == 2
        actions = set(connection.execute(select(audit.c.action)).scalars())
    assert {"tenant.retention", "retention.reschedule", "retention.rescheduled"} <= actions
    database.close()


def test_all_classes_are_gone_through_when_packs_change(acme: CommandLine) -> None:
    said = acme(*ACME, "--existing", "--json").json()
    assert isinstance(said, dict)
    assert {"call_record", "consent", "contact", "recording"} <= set(said["existing"])


def test_contacts_come_in_by_their_origin_and_go_for_good(
    acme: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    acme(*ACME, "contact", "3y")
    assert "stay until they are removed" in acme(*ACME, "contact", "3y").out
    of_acme = ("--tenant", "acme")
    told = ("--inquiry", "2026-01-02", "--last-exchange", "2026-02-03", "--origin", "crm")
    assert acme("contact", "set", ANN, *of_acme, *told).code == 0
    file = tmp_path_factory.mktemp("list") / "רשימה.csv"
    file.write_text("number,last_exchange\n+442079460124,2026-03-04\n+442079460125,\n")
    assert acme("contact", "import", str(file), *of_acme).code == 0
    database = opened(acme)
    with database.reading() as connection:
        rows = connection.execute(select(contacts).order_by(contacts.c.subject)).all()
    assert [row.origin for row in rows] == ["crm", "upload", "upload"]
    assert [str(row.expires_at)[:10] for row in rows[:2]] == ["2029-02-03", "2029-03-04"]
    acme("contact", "set", ANN, *of_acme, "--origin", "gossip").refused("is no origin")
    acme("contact", "set", ANN, *of_acme, "--last-exchange", "2199-01-01").refused("future")
    assert acme("contact", "remove", ANN, *of_acme).code == 0
    acme("contact", "remove", ANN, *of_acme).refused("nothing is known")
    with database.writing() as connection:
        assert len(connection.execute(select(contacts)).all()) == 2
        past = {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}
        connection.execute(update(contacts).values(**past))
        log = connection.execute(select(audit.c.details, audit.c.action)).all()
    assert "contact.remove" in {row.action for row in log}
    assert not any(ANN in json.dumps(list(row)) for row in log)
    assert "nothing is known" in acme("contact", "show", "+442079460124", *of_acme).out
    database.close()
