"""A PBX with callguard beside it and parties around it: what the tests of the whole stand on."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Select, select

from callguard.recording.store.folder import FolderStore
from callguard.storage.schema import call_records, calls, consents, recordings
from callguard.tenants.store import change_settings
from tests.lab import audio, stock_age
from tests.lab.asterisk import Asterisk
from tests.lab.audio import Wav
from tests.lab.calls import LINE, Telephony
from tests.lab.prompts import write_prompts
from tests.lab.service import TENANT, Callguard
from tests.lab.sipp import Outcome, Step, Talk

T = TypeVar("T")
Row = Mapping[str, Any]

NOTICE_S = 1.0
_FICTIONAL = itertools.cycle(range(12025550101, 12025550140))
"""NANP 555-01xx, those that have no part of their own in the laboratory."""


def new_number() -> str:
    """A number that no other test of the module calls."""
    return str(next(_FICTIONAL))


def eventually(look: Callable[[], T | None], *, timeout: float = 10.0) -> T:
    """What `look` answers, once that is true. Raises TimeoutError with its last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {timeout} s")
        time.sleep(0.05)
    return answer


@dataclass(frozen=True, slots=True)
class Story:
    """All that callguard keeps of the calls with one subject, oldest first."""

    calls: list[Row]
    consents: list[Row]
    recordings: list[Row]
    records: list[Row]

    @property
    def settled(self) -> bool:
        """Nothing is in progress, and Asterisk's file has told of every call."""
        told = {r["call_id"] for r in self.records if r["source"] == "file"}
        open_ones = [r for r in self.recordings if r["state"] == "recording"]
        return not open_ones and told == {c["id"] for c in self.calls}


@dataclass(frozen=True, slots=True)
class Placed:
    """Both ends of one call that was placed."""

    agent: Outcome
    party: Outcome

    @property
    def code(self) -> int:
        """What the agent's phone was told in the end."""
        return self.agent.final_code

    @property
    def dialled(self) -> int:
        """How many INVITEs the carrier saw."""
        return len(self.party.invites_received)


class GuardedPbx:
    """Make it with a running PBX, then `open()` it; the notice is a tone of `NOTICE_S` seconds."""

    def __init__(
        self,
        pbx: Asterisk,
        folder: Path,
        *,
        watchdog_s: float = 2.0,
        ami_port: int | None = None,
        within: Sequence[str] = (),
        packs: Path | None = None,
    ) -> None:
        self.pbx = pbx
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        self.callguard = Callguard(
            folder / "callguard",
            pbx,
            watchdog_s=watchdog_s,
            ami_port=ami_port,
            within=within,
            packs=packs,
        )
        (folder / "parties").mkdir()
        self.telephony = Telephony(pbx, folder / "parties")

    def furnish(self) -> Self:
        """Prompts, a tenant whose notice nobody waits after, and a post-quantum key that callguard
        does not hold."""
        write_prompts(self.pbx.prompts, NOTICE_S)
        recipient = stock_age.new_key(self.keys)
        self.callguard.furnish("--recipient", recipient, "--number", LINE)
        at_once = {"late_s": 0}
        now = datetime.now(UTC)
        self.callguard.write(
            lambda connection: change_settings(
                connection, TENANT, at_once, at=now, actor="laboratory"
            )
        )
        return self

    def lay_out(self, furnished: Self | None = None) -> Self:
        """What it needs to serve: its own, or what another, which never served, was furnished
        with, to save time."""
        if furnished is None:
            self.furnish()
        else:
            write_prompts(self.pbx.prompts, NOTICE_S)
            shutil.copytree(furnished.keys, self.keys, dirs_exist_ok=True)
            shutil.copytree(furnished.callguard.data, self.callguard.data)
        return self

    def open(self, furnished: Self | None = None) -> Self:
        """Lay it out, and serve."""
        self.lay_out(furnished).callguard.start()
        return self

    def mend(self) -> None:
        """Let it serve again, whatever a test has done to it; every channel ends."""
        self.pbx.start()
        self.pbx.cli("channel request hangup all")
        if not self.callguard.running:
            self.callguard.kill()
            self.callguard.start()

    def close(self) -> None:
        self.callguard.kill()

    def outbound(
        self, number: str, *, talk_ms: int = 300, steps: tuple[Step, ...] | None = None
    ) -> Placed:
        """The agent calls `number`, which answers; the agent hangs up in the end."""
        with self.telephony.party_answers() as party:
            agent = self.telephony.agent_calls(number, steps=steps or (Talk(talk_ms),)).finish()
            if party.outcome().invites_received:
                return Placed(agent, party.finish())
            return Placed(agent, party.outcome())

    def inbound(
        self,
        caller: str,
        *,
        talk_ms: int = 300,
        name: str = "Caller",
        steps: tuple[Step, ...] | None = None,
    ) -> Placed:
        """`caller` calls our line, hears the notice, talks and hangs up; `party` is the agent's
        phone."""
        through = steps or (Talk(int(NOTICE_S * 1000) + talk_ms),)
        with self.telephony.agent_answers() as phone:
            outside = self.telephony.outsider_calls(
                caller=caller, name=name, steps=through
            ).finish()
            if phone.outcome().invites_received:
                return Placed(outside, phone.finish())
            return Placed(outside, phone.outcome())

    def rows(self, query: Select[Any]) -> list[Row]:
        """What callguard's database answers."""
        database = self.callguard.database()
        try:
            with database.reading() as connection:
                return [dict(row._mapping) for row in connection.execute(query)]
        finally:
            database.close()

    def so_far(self, number: str) -> Story:
        """All that is kept by now."""
        subject = number if number in ("", "all") else f"+{number}"
        by_subject = select(calls).order_by(calls.c.decided_at)
        if number != "all":
            by_subject = by_subject.where(calls.c.subject == subject)
        decided = self.rows(by_subject)
        ids = [call["id"] for call in decided]
        return Story(
            decided,
            self.rows(select(consents).where(consents.c.call_id.in_(ids)).order_by(consents.c.at)),
            self.rows(
                select(recordings)
                .where(recordings.c.call_id.in_(ids))
                .order_by(recordings.c.started_at)
            ),
            self.rows(select(call_records).where(call_records.c.call_id.in_(ids))),
        )

    def settled(self, number: str, *, timeout: float = 10.0) -> Story:
        """All that is kept once the calls with `number` are over and sealed.

        Raises TimeoutError.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self.so_far(number)
            if found.calls and found.settled:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"not settled: {found}")
            time.sleep(0.1)

    def plaintext(self, recording: Row) -> bytes:
        """A sealed recording, decrypted by the stock age tool with the key that only we hold."""
        store = FolderStore(self.callguard.data / "objects")
        sealed = recording["header"] + store.read(recording["payload"])
        (self.keys / f"{recording['id']}.age").write_bytes(sealed)
        return stock_age.decrypt(self.keys, f"{recording['id']}.age")

    def opened(self, recording: Row) -> Wav:
        """The sound in it."""
        return audio.read_wav(self.plaintext(recording))

    def seconds(self, recording: Row) -> float:
        """How long a sealed recording is."""
        return float((recording["plain_bytes"] - audio.WAV_HEADER) / 2 / audio.RATE)

    def logged(self, event: str) -> list[str]:
        """The lines of callguard's log that tell of this event."""
        lines = self.callguard.log.read_text().splitlines()
        return [line for line in lines if f'"event": "{event}"' in line]

    def metric(self, name: str) -> float:
        """One figure of /metrics, named with its labels; 0 where it is absent."""
        for line in self.callguard.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        return 0.0

    def cdr_lines(self) -> int:
        """How many call records Asterisk itself has written."""
        return len(self.pbx.cdr_file.read_text().splitlines()) if self.pbx.cdr_file.exists() else 0
