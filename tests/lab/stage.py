"""The demo's calls on a real Asterisk with real SIP parties."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.lab import stock_age
from tests.lab.asterisk import Asterisk
from tests.lab.calls import LINE, PARTY, Telephony
from tests.lab.people import at_night, at_noon, sold_to_at_noon
from tests.lab.report import CallReport, report
from tests.lab.service import TENANT, Callguard
from tests.lab.sipp import Digits, Talk

OPTED_OUT = "12025550155"
ASLEEP = "12025550156"
ASKED = "493012345678"
"""In Germany, where nobody is recorded who did not agree."""
OFTEN_CALLED = "13055550157"
"""Of Florida, where three sales calls a day are the most."""
LISTED = "16145550158"
"""In the National Do Not Call Registry, of which the demo has a small one."""
COLLECTOR, SELLER = "tenant-1", "tenant-2"
"""Tenants of the dialplan's prefixes `*51` and `*52`, who record nothing."""
EMERGENCY = "911"
TALK = Talk(1500)
NOTICE_S = 6.1
"""Longer than the English notice and the wait for a late no."""

QUESTION_S = 9.0
"""Longer than the English question."""

Scene = Callable[["RealStage"], tuple[str, bool, float]]
"""Plays one call; the number, whether it was connected, and seconds until its outcome was seen."""


class RealStage:
    """One PBX, one callguard, one tenant with a key that callguard does not hold."""

    how = "a real Asterisk with SIPp"

    def __init__(self, folder: Path, memory: Path) -> None:
        """`memory` is a folder on a tmpfs, for what Asterisk writes."""
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        self.pbx = Asterisk(memory / "pbx")
        self.callguard = Callguard(folder / "callguard", self.pbx)
        (folder / "parties").mkdir()
        self.telephony = Telephony(self.pbx, folder / "parties")

    def open(self) -> str:
        """Start everything; the address of the status page."""
        self.pbx.start()
        recipient = stock_age.new_key(self.keys)
        self.callguard.furnish("--recipient", recipient, "--number", LINE)
        self.callguard.run("optout", "add", OPTED_OUT, "--tenant", TENANT)
        self.callguard.add_tenant(COLLECTOR, purpose="collection", record=False)
        self.callguard.add_tenant(SELLER, purpose="marketing", record=False, shown_number=LINE)
        now = datetime.now(UTC)
        self.callguard.know(COLLECTOR, ASLEEP, lambda contact: at_night(contact, now))
        self.callguard.know(SELLER, OFTEN_CALLED, lambda contact: sold_to_at_noon(contact, now))
        self.callguard.know(SELLER, LISTED, lambda contact: at_noon(contact, now))
        registry = self.keys.parent / f"{now:%Y-%m-%d}_{LISTED[1:4]}_demo.txt"
        registry.write_text("".join(f"614,555{line:04}\n" for line in range(100, 200)))
        self.callguard.run("registry", "import", "us-dnc", str(registry))
        self.callguard.start()
        return self.callguard.url

    def close(self) -> None:
        self.callguard.kill()
        self.pbx.close(keep=False)

    def calls(self) -> Iterator[CallReport]:
        """Place the calls, one after the other."""
        for name, scene in SCENES.items():
            for number in LEADING_UP.get(name, ()):
                before = len(self._records())
                _outbound(self, number, talk=Talk(100))
                self._new_record(before)
            before = len(self._records())
            number, connected, seconds = scene(self)
            record = self._new_record(before)
            if not self.callguard.running:
                self.callguard.kill()
                self.callguard.start()
            self.callguard.wait_until_sealed()
            yield self._report(name, number, connected, record, seconds)

    def _report(
        self, name: str, number: str, connected: bool, record: tuple[str, int], seconds: float
    ) -> CallReport:
        database = self.callguard.database()
        try:
            deadline = time.monotonic() + 5
            while True:
                with database.reading() as connection:
                    found = report(
                        connection,
                        name,
                        number=f"+{number}" if len(number) > 6 else f"US:{number}",
                        connected=connected,
                        record=record,
                        seconds=seconds,
                    )
                if (found.cdr and found.cdr["source"] == "file") or time.monotonic() > deadline:
                    return found
                time.sleep(0.1)
        finally:
            database.close()

    def _records(self) -> list[tuple[str, int]]:
        if not self.pbx.cdr_file.exists():
            return []
        with self.pbx.cdr_file.open(newline="") as file:
            return [(row[16], int(row[18])) for row in csv.reader(file)]

    def _new_record(self, before: int) -> tuple[str, int]:
        """The first record that the call left in Asterisk's own file."""
        deadline = time.monotonic() + 10
        while len(records := self._records()) <= before or self.pbx.channels():
            if time.monotonic() > deadline:
                raise TimeoutError("Asterisk wrote no call record")
            time.sleep(0.05)
        return records[before]


def _outbound(
    stage: RealStage, number: str, *, prefix: str = "", talk: Talk = TALK
) -> tuple[str, bool, float]:
    begun = time.monotonic()
    with stage.telephony.party_answers() as party:
        agent = stage.telephony.agent_calls(prefix + number, steps=(talk,)).finish()
        seconds = time.monotonic() - begun
        if not party.outcome().invites_received:
            return number, False, seconds
        reached = party.finish()
    return number, agent.connected and reached.connected, seconds


def _asked(stage: RealStage) -> tuple[str, bool, float]:
    begun = time.monotonic()
    agrees = (Talk(int(QUESTION_S * 1000)), Digits("1"))
    with stage.telephony.party_answers(steps=agrees) as party:
        agent = stage.telephony.agent_calls(ASKED, steps=(TALK,)).finish()
        seconds = time.monotonic() - begun
        reached = party.finish()
    return ASKED, agent.connected and reached.connected, seconds


def _inbound(stage: RealStage, notice_s: float) -> tuple[str, bool, float]:
    begun = time.monotonic()
    with stage.telephony.agent_answers() as agent:
        talk = Talk(int(notice_s * 1000) + TALK.ms)
        stage.telephony.outsider_calls(steps=(talk,)).finish()
        seconds = time.monotonic() - begun
        if not agent.outcome().invites_received:
            return PARTY, False, seconds
        reached = agent.finish()
    return PARTY, reached.connected, seconds


def _stopped(
    stage: RealStage, call: Callable[[], tuple[str, bool, float]]
) -> tuple[str, bool, float]:
    if stage.callguard.running:
        stage.callguard.stop()
    return call()


def _frozen(
    stage: RealStage, call: Callable[[], tuple[str, bool, float]]
) -> tuple[str, bool, float]:
    stage.callguard.freeze()
    return call()


SCENES: dict[str, Scene] = {
    "outbound allowed": lambda stage: _outbound(stage, PARTY),
    "outbound asked, and agreed": _asked,
    "outbound opted out": lambda stage: _outbound(stage, OPTED_OUT),
    "outbound outside hours": lambda stage: _outbound(stage, ASLEEP, prefix="*51"),
    "outbound fourth in a day": lambda stage: _outbound(stage, OFTEN_CALLED, prefix="*52"),
    "outbound in the registry": lambda stage: _outbound(stage, LISTED, prefix="*52"),
    "outbound emergency": lambda stage: _outbound(stage, EMERGENCY),
    "inbound notice": lambda stage: _inbound(stage, NOTICE_S),
    "inbound hang-up in notice": lambda stage: _inbound(stage, 0.0),
    "outbound callguard stopped": lambda stage: _stopped(stage, lambda: _outbound(stage, PARTY)),
    "inbound callguard stopped": lambda stage: _stopped(stage, lambda: _inbound(stage, 0.0)),
    "outbound callguard frozen": lambda stage: _frozen(stage, lambda: _outbound(stage, PARTY)),
    "inbound callguard frozen": lambda stage: _frozen(stage, lambda: _inbound(stage, 2.5)),
}
LEADING_UP = {"outbound fourth in a day": [f"*52{OFTEN_CALLED}"] * 3}
"""What is dialled before a scene, of which the demo says nothing."""
