"""``callguard tenant terminate`` and ``tenant archive``."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from callguard.storage.schema import (
    archives,
    audit,
    call_records,
    contacts,
    opt_outs,
)
from tests.cli.conftest import CommandLine
from tests.cli.recorded import kept, record
from tests.retention.folders.conftest import put

NEW_YORK = "+12125550143"
TODAY = datetime.now(UTC).date()
LONG_AGO = str(TODAY - timedelta(days=31))


@pytest.fixture
def called(acme: CommandLine) -> CommandLine:
    """``acme`` once called somebody in New York, who does not want it again."""
    record(acme)
    at = datetime.now(UTC) - timedelta(days=40)
    with kept(acme) as database, database.writing() as connection:
        wish = {"standing": True, "purposes": [], "channels": [], "way": "call", "actor": "test"}
        connection.execute(
            insert(opt_outs).values(tenant_id="acme", subject=NEW_YORK, **wish, at=at)
        )
        place = {"pbx": "e", "uniqueid": "1", "sequence": 1, "linkedid": "1", "channel": "a"}
        ends = {"duration_s": 9, "billed_s": 7, "disposition": "ANSWERED", "userfield": ""}
        times = {"started_at": at, "ended_at": at, "source": "file", "peer_channel": "b"}
        named = {"caller": "100", "called": NEW_YORK, "subject": NEW_YORK, "purpose": "marketing"}
        values = {"tenant_id": "acme", **place, **ends, **times, **named}
        connection.execute(insert(call_records).values(values))
    return acme


def test_a_dry_run_says_what_would_become_of_everything(called: CommandLine) -> None:
    said: Any = called("tenant", "terminate", "acme", "--on", "2030-01-31", "--dry-run", "--json")
    steps = {(one["class"], one["action"]): one for one in said.json()}
    assert steps["recording", "delete"]["date"].startswith("2026") or steps["recording", "delete"]
    record = steps["call_record", "archive"]
    assert (record["count"], record["basis"]) == (1, "16 CFR 310.5")
    assert steps["opt_out", "archive"]["basis"] == "47 CFR 64.1200(d)(6)"
    assert steps["access", "ends"]["date"] == "2030-01-31T00:00:00+00:00"
    table = called("tenant", "terminate", "acme", "--on", "2030-01-31", "--dry-run")
    assert "16 CFR 310.5" in table.out
    called("tenant", "terminate", "acme", "--status").refused("no end of the contract")


def ends_of_contacts(line: CommandLine) -> list[datetime | None]:
    with kept(line) as database, database.reading() as connection:
        return list(connection.execute(select(contacts.c.expires_at)).scalars())


def test_a_planned_end_is_shown_and_withdrawn(acme: CommandLine) -> None:
    tomorrow = str(TODAY + timedelta(days=2))
    said = acme("tenant", "terminate", "acme", "--on", tomorrow, "--choose", "return", "--yes")
    assert (said.code, said.err) == (0, "")
    assert "planned" in acme("tenant", "terminate", "acme", "--status").out
    acme("tenant", "terminate", "acme", "--on", tomorrow, "--yes").refused("already")
    acme("tenant", "terminate", "acme", "--received").refused("no package")
    assert acme("contact", "set", NEW_YORK, "--tenant", "acme", "--kind", "business").code == 0
    assert ends_of_contacts(acme) != [None]
    assert acme("tenant", "terminate", "acme", "--withdraw").code == 0
    assert ends_of_contacts(acme) == [None]
    acme("tenant", "terminate", "acme", "--withdraw").refused("no end of the contract")


def test_an_end_of_long_ago_is_carried_out_at_once(called: CommandLine) -> None:
    assert called("tenant", "terminate", "acme", "--on", LONG_AGO, "--yes").code == 0
    said: Any = called("tenant", "terminate", "acme", "--status", "--json").json()
    assert said["state"] == "waiting"
    assert called("purge").code == 0
    found: Any = called("tenant", "archive", "list", "--json").json()
    assert {one["class"] for one in found} == {"call_record", "opt_out"}
    record = next(one for one in found if one["class"] == "call_record")
    name = record["archive"]
    called("tenant", "archive", "open", name, "--reason", "?").refused("needs a reason")
    called("tenant", "archive", "open", name, "--reason", "audit", "--role", "auditor").refused(
        "may not open"
    )
    said = called("tenant", "archive", "open", name, "--reason", "audit by the FTC")
    assert json.loads(said.out)["fields"]["called"] == NEW_YORK
    called("tenant", "archive", "open", "nothing", "--reason", "audit").refused(
        "no archive nothing"
    )
    with kept(called) as database, database.reading() as connection:
        actions = list(connection.execute(audit.select().where(audit.c.action == "archive.open")))
    assert len(actions) == 1
    assert "+1212" not in actions[0].details
    with kept(called) as database, database.writing() as connection:
        connection.execute(update(archives).values(header=None, state="erasing"))
    called("tenant", "archive", "open", name, "--reason", "audit").refused("no archive")


@pytest.mark.parametrize("command", [("tenant", "terminate", "acme", "--go-on"), ("purge",)])
def test_no_end_is_certified_while_a_file_is_left(
    acme: CommandLine, command: tuple[str, ...]
) -> None:
    folder = acme.folder / "managed"
    file = put(folder / "new.tif")
    before = acme.config.read_text()
    named = f'name = "fax"\npath = "{folder}"\ndata_class = "fax"\ntenant = "acme"\n'
    acme.config.write_text(f"{before}\n[[folders]]\n{named}")
    assert acme("tenant", "terminate", "acme", "--on", LONG_AGO, "--yes").code == 0
    status = ("tenant", "terminate", "acme", "--status", "--json")
    said: Any = acme(*status).json()
    assert (said["state"], said["steps"]["waits"]) == ("waiting", "files: fax")  # too new
    acme.config.write_text(f"{before}\n[[folders]]\n{named}quiet_s = 0\n")
    assert acme(*command).code == 0
    assert not file.exists()
    said = acme(*status).json()
    assert said["state"] == "finished"


def test_what_is_wrong_is_said_in_one_line(acme: CommandLine) -> None:
    acme("tenant", "terminate", "nobody", "--on", "2030-01-01", "--yes").refused("no tenant nobody")
    acme("tenant", "terminate", "acme", "--on", "soon", "--yes").refused("no date")
    acme("tenant", "terminate", "acme", "--on", "2030-02-30", "--yes").refused("no date")
    acme("tenant", "terminate", "acme", "--on", "2030-01-01").refused("say --yes")
    acme("tenant", "terminate", "acme", "--on", "2030-01-01", "--choose", "keep", "--yes").refused(
        "no choice"
    )
    acme(
        "tenant", "terminate", "acme", "--on", "2030-01-01", "--recipient", "age1x", "--yes"
    ).refused("--choose return")
    assert acme("tenant", "terminate", "acme").code == 2
    for other in ("--go-on", "--received", "--withdraw", "--status"):  # nothing is only tried
        assert acme("tenant", "terminate", "acme", other, "--dry-run").code == 2
    assert acme("tenant", "set", "acme", "time_zone=Asia/Tokyo").code == 0
    acme("tenant", "terminate", "acme", "--on", "0001-01-01", "--yes").refused("no calendar")
    acme("tenant", "terminate", "acme", "--on", LONG_AGO).refused("it cannot be withdrawn")
