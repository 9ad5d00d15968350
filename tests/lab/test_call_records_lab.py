"""Every call that a real Asterisk completed has one record, whatever becomes of callguard.

`CALLGUARD_LONG=1` takes the times that were promised: a minute without the manager connection, then
killed, then five minutes stopped, at twenty calls a second; without it they are some seconds.
"""

from __future__ import annotations

import csv
import gzip
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from callguard.storage.schema import call_records, cdr_cursors
from tests.lab.asterisk import Asterisk
from tests.lab.guarded import GuardedPbx, Row, eventually
from tests.lab.proxy import Proxy
from tests.lab.sipp import Talk
from tests.lab.switchboard import NEW, UNGUARDED, Played, Switchboard, wait

pytestmark = pytest.mark.lab

LONG = bool(int(os.environ.get("CALLGUARD_LONG", "0")))
CUT_S, STOPPED_S, BEFORE_S, AFTER_S = (60, 300, 10, 20) if LONG else (2, 2, 1, 1)
RATE = 20
"""Calls a second."""
READ_IN_S = 60.0
TENANT = "tenant-1"
"""Whose calls are neither announced nor recorded."""

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class CutOff:
    """callguard beside a PBX whose manager interface it reaches through `proxy`."""

    guarded: GuardedPbx
    proxy: Proxy

    def rows(self) -> list[Row]:
        return self.guarded.rows(select(call_records))

    def count(self) -> int:
        (row,) = self.guarded.rows(select(func.count().label("rows")).select_from(call_records))
        return int(row["rows"])


@pytest.fixture(scope="module")
def cut_off(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CutOff]:
    with Proxy(pbx.ami.port) as proxy:
        folder = tmp_path_factory.mktemp("cut-off")
        guarded = GuardedPbx(pbx, folder, ami_port=proxy.port).lay_out(furnished)
        guarded.callguard.add_tenant(TENANT, purpose="service", record=False)
        guarded.callguard.start()
        try:
            yield CutOff(guarded, proxy)
        finally:
            guarded.close()


def written(pbx: Asterisk) -> list[list[str]]:
    """All that Asterisk wrote into its own file, rotated or not."""
    lines: list[list[str]] = []
    for path in sorted(pbx.cdr_file.parent.iterdir()):
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        lines += csv.reader(text.decode().splitlines())
    return lines


def key_of(line: list[str]) -> Key:
    return line[16], int(line[18])


def rotate(pbx: Asterisk) -> None:
    """As logrotate does with `compress` and `delaycompress`."""
    file = pbx.cdr_file
    for number in range(8, 1, -1):
        old = file.with_name(f"{file.name}.{number}.gz")
        if old.exists():
            old.rename(file.with_name(f"{file.name}.{number + 1}.gz"))
    second = file.with_name(f"{file.name}.1")
    if second.exists():
        file.with_name(f"{file.name}.2.gz").write_bytes(gzip.compress(second.read_bytes()))
        second.unlink()
    file.rename(second)


def test_every_completed_call_has_one_record(cut_off: CutOff) -> None:
    """Without the manager connection, killed, stopped, and with the file rotated in each of these
    times, calls go on at twenty a second; what Asterisk wrote is what callguard has."""
    guarded, pbx, proxy = cut_off.guarded, cut_off.guarded.pbx, cut_off.proxy
    seconds = BEFORE_S + CUT_S + STOPPED_S + AFTER_S
    begun = time.monotonic()
    with guarded.telephony.party_answers(calls=RATE * seconds) as party:
        agents = guarded.telephony.agent_calls(
            "*5112025550141", calls=RATE * seconds, rate=RATE, steps=(Talk(150),)
        )
        time.sleep(BEFORE_S)
        proxy.cut()
        time.sleep(CUT_S / 2)
        rotate(pbx)
        time.sleep(CUT_S / 2)
        cut = cut_off.count()
        guarded.callguard.kill()
        for _ in range(3):
            time.sleep(STOPPED_S / 3)
            rotate(pbx)
        stopped = cut_off.count()
        proxy.mend()
        back = time.monotonic()
        guarded.callguard.start()
        agents.finish(timeout=AFTER_S + 30)
        party.close()
    lasted = time.monotonic() - begun
    eventually(lambda: pbx.channels() == 0)
    lines = written(pbx)

    eventually(lambda: cut_off.count() >= len(lines), timeout=READ_IN_S)
    read_in = time.monotonic() - back
    time.sleep(1.0)  # for whatever would be one too many
    rows = cut_off.rows()
    by_key = {(row["uniqueid"], row["sequence"]): row for row in rows}
    print(
        f"{RATE * seconds} calls in {lasted:.0f} s, {len(lines)} records of Asterisk's; "
        f"{cut} there after {CUT_S} s without AMI, {stopped} after {STOPPED_S} s stopped, "
        f"all {len(rows)} within {read_in:.1f} s of the start"
    )
    assert len(lines) >= RATE * seconds
    assert len(by_key) == len(rows) == len(lines)
    assert set(by_key) == {key_of(line) for line in lines}
    assert len(pbx.master_csv.read_text().splitlines()) == len(lines), "the other file agrees"
    assert {row["source"] for row in rows} == {"file"}
    for line in lines:
        row = by_key[key_of(line)]
        assert (row["userfield"], row["disposition"]) == (line[19], line[14])
        assert (row["channel"], row["peer_channel"]) == (line[5], line[6])
    answered = [row for row in rows if row["answered_at"] is not None]
    assert len(answered) >= RATE * (BEFORE_S + CUT_S) // 2
    assert {row["cause"] for row in answered} == {16}
    assert {row["tenant_id"] for row in answered} == {TENANT}
    assert {row["routed_to"] for row in answered} == {"PJSIP/carrier"}
    refused = [row for row in rows if row["userfield"] == "unreachable"]
    assert len(refused) > RATE * STOPPED_S // 2
    assert {row["cause"] for row in refused} == {42}
    assert {row["tenant_id"] for row in refused} <= {None, "tenant-a"}


def test_master_csv_takes_over_and_each_call_has_one_record(cut_off: CutOff) -> None:
    """The same callguard is told to read `Master.csv`, which has no sequences: what it knows it
    does not enter again, and what AMI and the file both tell is one record."""
    guarded, pbx, proxy = cut_off.guarded, cut_off.guarded.pbx, cut_off.proxy
    guarded.callguard.stop()
    settings = guarded.callguard.config
    text = settings.read_text()
    there = f'cdr_file = "{pbx.cdr_file}"'
    assert there in text
    settings.write_text(
        text.replace(there, f'cdr_file = "{pbx.master_csv}"\ncdr_format = "master"')
    )
    before = cut_off.count()
    guarded.callguard.start()
    for cut in (False, True):
        (proxy.cut if cut else proxy.mend)()
        if not cut:
            eventually(lambda: guarded.metric('callguard_pbx_ami_up{pbx="lab"}') == 1)
        with guarded.telephony.party_answers(calls=10) as party:
            guarded.telephony.agent_calls(
                "*5112025550142", calls=10, rate=RATE, steps=(Talk(100),)
            ).finish()
            party.finish()

    lines = len(pbx.master_csv.read_text().splitlines())
    assert lines > before
    eventually(lambda: cut_off.count() >= lines)
    size = pbx.master_csv.stat().st_size
    eventually(lambda: guarded.rows(select(cdr_cursors))[0]["position"] == size)
    rows = cut_off.rows()
    assert len(rows) == lines
    assert {row["source"] for row in rows} == {"file"}
    told = Counter((row["uniqueid"], row["channel"], row["started_at"]) for row in rows)
    assert set(told.values()) == {1}
    assert {row["tenant_id"] for row in rows if row["answered_at"]} == {TENANT}


def blind_past_the_gate(board: Switchboard) -> str:
    agent, first = board.connect("12025550121")
    agent.transfer(f"{UNGUARDED}12025550122")
    eventually(lambda: first.hears(NEW) > 0)
    wait(0.3)
    first.hang_up()
    return "+12025550121"


def attended_past_the_gate(board: Switchboard) -> str:
    agent, first = board.connect("12025550123")
    agent.hold()
    second = board.consult_past_the_gate("12025550124")
    wait(0.3)
    second.transfer_to(agent)
    eventually(lambda: first.hears(NEW) > 0)
    wait(0.3)
    first.hang_up()
    return "+12025550123"


def legs_of(board: Switchboard, subject: str) -> list[Row]:
    """The records that share the linked id of that call, once they are all that Asterisk wrote."""
    call = board.call_of(subject.lstrip("+"))["id"]

    def all_of_them() -> list[Row]:
        lines = written(board.pbx)
        links = {line[17] for line in lines if line[19] == call}
        keys = {key_of(line) for line in lines if line[17] in links}
        rows = board.guarded.rows(select(call_records).where(call_records.c.linkedid.in_(links)))
        told = [row for row in rows if row["source"] == "file"]
        return told if keys and {(r["uniqueid"], r["sequence"]) for r in told} == keys else []

    return eventually(all_of_them)


def test_the_legs_of_a_transfer_are_linked_and_belong_to_the_call(board: Switchboard) -> None:
    played = Played(board, [blind_past_the_gate, attended_past_the_gate])
    for scene in (blind_past_the_gate, attended_past_the_gate):
        subject = played.of(scene)
        call = board.call_of(subject.lstrip("+"))
        legs = legs_of(board, subject)
        shown = [(leg["userfield"] != "", leg["routed_to"], leg["cause"]) for leg in legs]
        print(f"{scene.__name__}: {shown}")
        assert len(legs) > 1
        assert {leg["call_id"] for leg in legs} == {call["id"]}
        assert {leg["tenant_id"] for leg in legs} == {call["tenant_id"]}
        assert {leg["subject"] for leg in legs} == {subject}
        assert any(leg["userfield"] == call["id"] for leg in legs)
