"""What stays in a managed folder though its time has come: held, being written, not read yet."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from callguard.config import Asterisk
from callguard.retention.folders.removing import Outcome
from callguard.retention.folders.root import FolderError
from callguard.retention.folders.walk import File
from callguard.storage.schema import cdr_cursors, holds
from tests.retention.folders.conftest import DUE, SECOND, WRITTEN, Rooms, names, put

ALL = {"33612345678.tif", "44.20.71234567.tif", "page.tif"}


def hold(rooms: Rooms, **named: object) -> None:
    row = {"id": os.urandom(18).hex(), "reason": "court", "author": "x", "at": WRITTEN, **named}
    with rooms.database.writing() as connection:
        connection.execute(insert(holds).values(row))


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ({"tenant_id": "acme"}, ALL),
        ({"subject": "+33612345678"}, {"33612345678.tif", "page.tif"}),
        ({"from_at": WRITTEN, "to_at": WRITTEN + SECOND}, ALL),
        ({"to_at": WRITTEN}, set()),
        ({"tenant_id": "other"}, set()),
        ({"released_at": WRITTEN}, set()),
    ],
    ids=["tenant", "subject", "period", "earlier", "other-tenant", "released"],
)
async def test_what_a_hold_may_cover_stays(
    rooms: Rooms, named: dict[str, object], kept: set[str]
) -> None:
    rooms.tenant("other")
    folder = rooms.folder()
    for name in ALL:
        put(folder / name)
    hold(rooms, **named)
    (standing,) = await rooms.made().look(DUE)
    assert standing.held == len(kept)
    assert await rooms.take() == {"fax": 3 - len(kept)}
    assert set(names(folder)) == kept


@pytest.mark.parametrize(
    "path",
    [
        "20261122.tif",
        "20261122-183000.wav",
        "20261122183000.wav",
        "2026-11-22T18:30:00.wav",
        "2026/11/22/page.tif",
        "2026_11_22 1830/page.tif",
    ],
)
async def test_a_day_in_a_name_says_of_nobody_whom_it_is_about(rooms: Rooms, path: str) -> None:
    folder = rooms.folder()
    put(folder / path)
    hold(rooms, subject="+33612345678")
    assert await rooms.take() == {"fax": 0}
    assert names(folder) == [path]


@pytest.mark.parametrize(
    "path", ["20261122-447700900123.wav", "20261399.wav", "2026/11/22/71234.tif"]
)
async def test_a_number_beside_a_day_is_a_number(rooms: Rooms, path: str) -> None:
    folder = rooms.folder()
    put(folder / path)
    hold(rooms, subject="+33612345678")
    assert await rooms.take() == {"fax": 1}


async def test_a_hold_that_comes_after_the_look_still_keeps(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder / "one.tif")
    rooms.before_write = lambda: hold(rooms, tenant_id="acme")
    assert await rooms.take() == {"fax": 0}
    assert names(folder) == ["one.tif"]


async def test_what_a_killed_run_counted_and_a_hold_keeps_is_not_certified(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rooms.folder()
    for name in ("one-33612345678.tif", "two-447700900123.tif"):
        put(folder / name, b"1234567")

    def killed(fd: int, file: File) -> Outcome:
        raise RuntimeError("killed")

    monkeypatch.setattr("callguard.retention.folders.taking.take", killed)
    with pytest.raises(RuntimeError, match="killed"):
        await rooms.take()
    monkeypatch.undo()
    assert rooms.certificates()[0]["taken"] == 2
    hold(rooms, subject="+33612345678")
    assert await rooms.take() == {"fax": 0}
    assert names(folder) == ["one-33612345678.tif"]
    (first, *_) = rooms.certificates()
    told = {name: first[name] for name in ("taken", "files", "bytes", "tenants")}
    assert told == {"taken": 1, "files": 1, "bytes": 7, "tenants": {"acme": 1}}


async def test_all_of_a_tenant_goes_whatever_its_age_but_not_what_is_held(rooms: Rooms) -> None:
    rooms.tenant("beta")
    owners = {"a": "acme", "b": "beta"}
    folder = rooms.folder("vm", "voicemail", tenants=owners, layout="voicemail")
    for context in "ab":
        put(folder / context / "100" / "unavail.wav")
        put(folder / context / "100" / "INBOX" / "msg0000.wav")
    fax = rooms.folder()
    put(fax / "33612345678.tif")
    put(fax / "447700900123.tif")
    at = WRITTEN + timedelta(hours=2)
    folders = rooms.made()
    assert await folders.left("acme", at) == {"voicemail": 2, "fax": 2}
    assert await folders.take_all("acme", at, {"voicemail"}) == {"voicemail": 2}
    assert names(rooms.base / "managed" / "vm") == ["b/100/INBOX/msg0000.wav", "b/100/unavail.wav"]
    hold(rooms, subject="+33612345678")
    assert await folders.take_all("acme", at) == {"voicemail": 0, "fax": 1}
    assert await folders.left("acme", at) == {"fax": 1}
    assert names(fax) == ["33612345678.tif"]
    await folders.take_all("acme", WRITTEN)
    fax.rename(rooms.base / "away")
    with pytest.raises(FolderError, match="is not there"):
        await folders.left("acme", at)


async def test_a_file_that_is_being_written_stays(rooms: Rooms) -> None:
    folder = rooms.folder()
    path = put(folder / "growing.wav")
    with path.open("ab"):
        assert await rooms.take() == {"fax": 0}
        assert path.exists()
    with path.open("rb"):
        assert await rooms.take() == {"fax": 1}
    assert not path.exists()


async def test_a_file_that_was_touched_a_short_while_ago_stays(rooms: Rooms) -> None:
    folder = rooms.folder(quiet_s=3600)
    path = put(folder / "restored.wav", at=WRITTEN - timedelta(days=400))
    touched = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    (standing,) = await rooms.made().look(touched + timedelta(minutes=59))
    assert (standing.waiting, standing.dues) == (1, {})
    assert await rooms.take(touched + timedelta(minutes=59)) == {"fax": 0}
    assert await rooms.take(touched + timedelta(minutes=61)) == {"fax": 1}


def cursor(rooms: Rooms, file: Path, position: int) -> None:
    values = {"pbx": "east", "inode": file.stat().st_ino, "position": position}
    with rooms.database.writing() as connection:
        connection.execute(cdr_cursors.delete())
        connection.execute(insert(cdr_cursors).values(values))


async def test_no_call_records_go_that_are_not_read_yet(rooms: Rooms) -> None:
    folder = rooms.folder("cdr", "call_record", files=["callguard.csv*"])
    live = put(folder / "callguard.csv", b"live", WRITTEN)
    newer = put(folder / "callguard.csv.1", b"12345", WRITTEN - 10 * SECOND)
    older = put(folder / "callguard.csv.2", b"12345", WRITTEN - 20 * SECOND)
    secret = rooms.base / "secret"
    rooms.asterisk.append(Asterisk(name="east", secret_file=secret, cdr_file=live))
    assert await rooms.take() == {"call_record": 0}  # nothing was read
    cursor(rooms, older, 4)
    assert await rooms.take() == {"call_record": 0}
    cursor(rooms, older, 5)
    assert await rooms.take() == {"call_record": 1}
    assert names(folder) == ["callguard.csv", "callguard.csv.1"]
    cursor(rooms, live, 0)
    assert await rooms.take() == {"call_record": 1}
    assert names(folder) == ["callguard.csv"]
    cursor(rooms, live, 4)
    assert await rooms.take() == {"call_record": 0}
    assert not newer.exists()


@pytest.mark.parametrize("name", ["callguard.csv.1.gz", "callguard-20261120.csv"])
async def test_call_records_under_any_name_of_rotation_wait_until_they_are_read(
    rooms: Rooms, name: str
) -> None:
    folder = rooms.folder("cdr", "call_record", files=["callguard*"])
    live = put(folder / "callguard.csv", b"live", WRITTEN)
    away = put(folder / name, b"12345", WRITTEN - SECOND)
    secret = rooms.base / "secret"
    rooms.asterisk.append(Asterisk(name="east", secret_file=secret, cdr_file=live))
    cursor(rooms, away, 4)
    assert await rooms.take() == {"call_record": 0}
    cursor(rooms, live, 4)
    assert await rooms.take() == {"call_record": 1}
