"""``callguard subject``: counted, erased, certified, and erased in what is restored."""

import json
from datetime import UTC, datetime

from sqlalchemy import func, insert, select

from callguard.cdr.record import from_line
from callguard.retention.alone import alone
from callguard.storage.database import Database
from callguard.storage.schema import audit, call_records, calls, contacts, opt_outs
from tests.cdr.kept import put
from tests.cdr.lines import line
from tests.cli.conftest import CommandLine
from tests.cli.recorded import kept, record
from tests.cli.test_backup import backed_up
from tests.cli.test_restore import back, told_by
from tests.recording.playback.vault import CALL

ANN = "+442079460001"
ERASE = ("subject", "erase", "020 7946 0001", "--tenant", "acme", "--reason", "בקשה 12")


def called(callguard: CommandLine) -> str:
    """A call of Ann's with its recording, and a call record without a call; the recording's id."""
    now = datetime.now(UTC)
    row = {"tenant_id": "acme", "pbx": "east", "uniqueid": "1.1", "caller": "100", "called": ANN}
    loose = {
        **row,
        "uniqueid": "1.2",
        "sequence": 1,
        "linkedid": "1.2",
        "channel": "",
        "source": "x",
    }
    ends = {"started_at": now, "ended_at": now, "duration_s": 1, "billed_s": 1, "userfield": ""}
    with kept(callguard) as database, database.writing() as connection:
        said = {"subject": ANN, "verdict": "allow", "decided_at": now, "direction": "outbound"}
        lists: dict[str, object] = {"reasons": [], "obligations": [], "findings": []}
        connection.execute(insert(calls).values(id=CALL, **row, **said, **lists))
        more = {"disposition": "ANSWERED", "peer_channel": ""}
        connection.execute(insert(call_records).values(**loose, **ends, **more))
        known = {"tenant_id": "acme", "subject": ANN, "known": {}, "updated_at": now, "id": "c"}
        connection.execute(insert(contacts).values(**known))
        wish = {"standing": True, "purposes": [], "way": "line", "actor": "x", "at": now}
        connection.execute(insert(opt_outs).values(tenant_id="acme", subject=ANN, **wish))
    return record(callguard)


def left(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (calls, call_records, contacts, opt_outs)
        }


GONE = {"calls": 0, "call_records": 0, "contacts": 0, "opt_outs": 1}


def test_what_there_is_is_counted(acme: CommandLine) -> None:
    called(acme)
    rows = acme("subject", "show", "020 7946 0001", "--tenant", "acme", "--json").json()
    assert isinstance(rows, list)
    found = {row["class"]: row["count"] for row in rows if row["count"]}
    there = ("verdict", "call_record", "consent", "recording", "contact", "opt_out")
    assert found == dict.fromkeys(there, 1)


def test_a_subject_is_erased_and_certified_without_its_number(acme: CommandLine) -> None:
    name = called(acme)
    dry = acme(*ERASE, "--dry-run", "--json").json()
    told = acme(*ERASE, "--yes", "--json").json()
    assert isinstance(told, dict)
    assert isinstance(dry, dict)
    assert {key: told[key] for key in dry} == dry
    with kept(acme) as database:
        assert left(database) == GONE
        with database.reading() as connection:
            entry = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one()
    assert entry.action == "subject.erase"
    assert json.loads(entry.details)["reason"] == "בקשה 12"
    for file in acme.data.rglob("*"):
        if file.is_file() and file.name != "callguard.db":  # there the opt-out has it
            assert b"79460001" not in file.read_bytes(), file
    assert not list((acme.data / "objects").glob(f"objects/*/{name}"))


def test_a_subject_stays_erased_in_what_is_restored(acme: CommandLine) -> None:
    called(acme)
    folder = backed_up(acme, "--objects")
    assert acme(*ERASE, "--yes").code == 0
    assert told_by(back(acme, folder, "--json"))["forgotten_again"] == 4
    database = Database(f"sqlite:///{acme.folder / 'new' / 'callguard.db'}")
    # Asterisk's file is read once more from where it was read to before the backup.
    of_call = from_line(line(userfield=CALL))
    loose = from_line(line(1, userfield="", uniqueid="1.2", linkedid="1.2"))
    again = put(database, of_call, loose)
    assert (again.added, again.erased) == (0, 2)
    assert left(database) == GONE
    database.close()


def test_without_a_reason_or_with_the_number_in_it_it_is_refused(acme: CommandLine) -> None:
    called(acme)
    acme(*ERASE[:-1], " ", "--yes").refused("needs a reason")
    acme(*ERASE[:-1], f"{ANN} asked", "--yes").refused("the reason names the number")
    acme(*ERASE[:-1], "020 7946 0001 asked", "--yes").refused("the reason names the number")
    acme("subject", "erase", "12x", *ERASE[3:], "--yes").refused("is no telephone number")
    with kept(acme) as database:
        assert left(database)["calls"] == 1


def test_a_second_one_at_once_is_refused(acme: CommandLine) -> None:
    called(acme)
    with alone(acme.data) as mine:
        assert mine
        acme(*ERASE, "--yes").refused("another subject is being erased")
    assert acme(*ERASE, "--yes").code == 0
