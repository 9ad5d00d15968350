"""A PBX that does all that a real one does with calls (transfers, parking, conferences, hold), with
callguard beside it, and phones in the test's own hand: an agent, a colleague, and the world behind
the carrier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from sqlalchemy import Table, select

from callguard.storage.schema import calls, consents, recording_events, recordings
from tests.lab import audio, config
from tests.lab.asterisk import Asterisk
from tests.lab.audio import Wav
from tests.lab.guarded import GuardedPbx, Row, eventually
from tests.lab.phone import Leg, Phone
from tests.lab.told import add_tenants

TENANT = "tenant-1"
"""Its calls begin with a notice that a digit refuses."""

# Voices, in Hz. The prompts sound at 700.
AGENT, COLLEAGUE, FIRST, NEW, CARD, MUSIC = 440.0, 600.0, 1000.0, 1300.0, 1600.0, 1900.0
NOTICE = audio.NOTICE_TONE

UNGUARDED = "*0"
"""Before a number: the way out that passes no gate."""
RECORDED = "*1"
"""The same way, with a recording of the operator's own."""
TAPPED = "*2"
"""Through the gate, with a recording of the operator's own on the called party's channel."""
FORWARDED, FORWARDED_UNGUARDED = "12025550198", "12025550199"
"""Lines of ours whose callers are passed on to `FORWARDED_TO` by a Local channel: through the gate
or past it."""
FORWARDED_TO, FORWARDED_PAST_TO = "12025550196", "12025550197"
PAST, PAST_NUMBER = "902", "12025550195"
"""A short way past the gate, for whoever transfers by code."""
EMERGENCY = "911"
INSIDE, ROOM, OTHER_ROOM, PARK, PARKED = "901", "800", "801", "700", "701"
TAP = "*81"
"""The code by which an agent starts a recording of the operator's own on the other's channel."""


def dialplan(sites: config.Sites) -> str:
    """The operator's own: every phone's context is also where a transferred call goes on."""
    gate = f"Gosub(callguard-outbound,${{EXTEN}},1({TENANT}))"
    return f"""[general]
[globals]
CALLGUARD_AGI=127.0.0.1:{sites.agi}
CALLGUARD_PBX=lab
CALLGUARD_LEASE_FILE=/instance/spool/callguard/alive
#include extensions_callguard.conf

[from-agents]
include => parkedcalls
exten => {EMERGENCY},1,{gate}
 same => n,Dial(PJSIP/${{EXTEN}}@carrier,30,${{CALLGUARD_DIAL}})
 same => n,Hangup()
exten => _1NXXXXXXXXX,1,Set(__LAB_CALL=${{EXTEN}})
 same => n,Set(__DYNAMIC_FEATURES=lab-tap)
 same => n,{gate}
 same => n,Dial(PJSIP/${{EXTEN}}@carrier,30,T${{CALLGUARD_DIAL}})
 same => n,Hangup()
exten => _*0X.,1,Set(__LAB_CALL=${{EXTEN:2}})
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,T)
 same => n,Hangup()
exten => _*1X.,1,Dial(PJSIP/${{EXTEN:2}}@carrier,30,U(lab-rogue^${{EXTEN:2}}))
 same => n,Hangup()
exten => _*2X.,1,Gosub(callguard-outbound,${{EXTEN:2}},1({TENANT}))
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,b(lab-rogue^s^1(${{EXTEN:2}}))${{CALLGUARD_DIAL}})
 same => n,Hangup()
exten => {PAST},1,Dial(PJSIP/{PAST_NUMBER}@carrier,30,T)
 same => n,Hangup()
exten => {INSIDE},1,Dial(PJSIP/agent2,30)
 same => n,Hangup()
exten => _80X,1,Answer()
 same => n,Set(CONFBRIDGE(user,quiet)=yes)
 same => n,ConfBridge(${{EXTEN}})
 same => n,Hangup()

[lab-rogue]
exten => s,1,MixMonitor(/instance/log/rogue-${{ARG1}}.sln)
 same => n,Return()
[lab-tap]
exten => s,1,Gosub(lab-rogue,s,1(${{LAB_CALL}}))
 same => n,Return()

[from-carrier]
exten => {FORWARDED},1,Gosub(callguard-inbound,${{EXTEN}},1({TENANT}))
 same => n,Dial(Local/{FORWARDED_TO}@from-agents/n,30)
 same => n,Hangup()
exten => {FORWARDED_UNGUARDED},1,Gosub(callguard-inbound,${{EXTEN}},1({TENANT}))
 same => n,Dial(Local/*0{FORWARDED_PAST_TO}@from-agents,30)
 same => n,Hangup()
exten => _X!,1,Gosub(callguard-inbound,${{EXTEN}},1({TENANT}))
 same => n,Dial(PJSIP/agent1,20,t)
 same => n,Hangup()
"""


def _furnish(pbx: Asterisk, colleague: int) -> None:
    """The operator's other files."""
    etc, music = pbx.etc, pbx.folder / "music"
    music.mkdir()
    audio.write_wav(music / "music.wav", audio.tone(MUSIC, 5))
    (etc / "extensions.conf").write_text(dialplan(pbx.sites))
    with (etc / "pjsip.conf").open("a") as file:
        file.write(
            "\n[agent2](common)\ncontext=from-agents\naors=agent2\n"
            f"[agent2]\ntype=aor\ncontact=sip:agent2@127.0.0.1:{colleague}\n"
            "[agent2]\ntype=identify\nendpoint=agent2\nmatch_header=X-Lab-Side: agent2\n"
        )
    with (etc / "modules.conf").open("a") as file:
        file.write("load = res_parking.so\n")
    (etc / "res_parking.conf").write_text(
        f"[general]\n[default]\nparkext => {PARK}\nparkpos => {PARKED}-720\n"
        "context => parkedcalls\n"
    )
    (etc / "musiconhold.conf").write_text("[default]\nmode=files\ndirectory=/instance/music\n")
    (etc / "features.conf").write_text(
        "[general]\ntransferdigittimeout => 1\n[featuremap]\natxfer => *3\n[applicationmap]\n"
        "lab-tap => *81,peer,Gosub(lab-tap,s,1)\n#include features_callguard.conf\n"
    )


Pair = tuple[Leg, Leg]
"""The agent's end of a call and the other party's."""


class Switchboard:
    """Make it with a folder and something furnished; `open()` it, `close()` it."""

    def __init__(self, folder: Path) -> None:
        self.pbx = Asterisk(folder / "pbx", rtp_ports=200)
        _furnish(self.pbx, self.pbx.sites.parties)
        self.guarded = GuardedPbx(self.pbx, folder / "beside")
        sites = self.pbx.sites
        self.agent = Phone(sites.agent, sites.sip, user="agent1", side="agent", tone=AGENT)
        self.colleague = Phone(
            sites.parties, sites.sip, user="agent2", side="agent2", tone=COLLEAGUE
        )
        self.world = Phone(sites.carrier, sites.sip, user="world", side="carrier", tone=NEW)

    def configure(self, old: str, new: str) -> None:
        """Change callguard's settings file; it counts from the next start."""
        file = self.guarded.callguard.config
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def open(self, furnished: GuardedPbx) -> Self:
        self.pbx.start()
        self.guarded.lay_out(furnished)
        add_tenants(self.guarded, {1: {"recording_mode": "notice_or_refuse"}})
        self.guarded.callguard.start()
        return self

    def close(self) -> None:
        for phone in (self.agent, self.colleague, self.world):
            phone.close()
        self.guarded.close()
        self.pbx.close()

    def quiet(self) -> None:
        """Every call is over."""
        for phone in (self.agent, self.colleague, self.world):
            phone.forget()
        self.pbx.cli("channel request hangup all")
        eventually(lambda: self.pbx.channels() == 0)

    # Calls.

    def connect(self, number: str, *, tone: float = FIRST) -> Pair:
        """The agent calls `number`, which is told, agrees by its silence, and talks."""
        self.world.tones[number] = tone
        mine = self.agent.call(number)
        theirs = self.world.rung(number)
        eventually(lambda: mine.hears(tone) > 0)
        return mine, theirs

    def refuse(self, number: str, *, tone: float = NEW) -> Pair:
        """The agent calls `number`, which says no to the notice and talks."""
        self.world.tones[number] = tone
        mine = self.agent.call(number)
        theirs = self.world.rung(number)
        self.press_in_notice(theirs, "2")
        eventually(lambda: mine.hears(tone) > 0)
        return mine, theirs

    def consult_past_the_gate(self, number: str) -> Leg:
        """The agent calls somebody who is told nothing."""
        mine = self.agent.call(f"{UNGUARDED}{number}")
        eventually(lambda: mine.hears(NEW) > 0)
        return mine

    @staticmethod
    def press_in_notice(leg: Leg, digit: str) -> None:
        """Press a digit once the notice is heard."""
        eventually(lambda: leg.hears(NOTICE) > 0.2)
        leg.press(digit)

    # What is kept.

    def call_of(self, number: str) -> Row:
        """The newest call with that subject."""
        query = select(calls).where(calls.c.subject == f"+{number}").order_by(calls.c.decided_at)
        return self.guarded.rows(query)[-1]

    def recordings_of(self, number: str) -> list[Row]:
        """Those of that call, once none is in progress."""
        call = self.call_of(number)["id"]
        query = select(recordings).where(recordings.c.call_id == call)

        def ended() -> list[list[Row]]:
            found = self.guarded.rows(query)
            return [] if any(row["state"] == "recording" for row in found) else [found]

        return eventually(ended)[0]

    def recorded(self, number: str) -> Wav:
        """The only recording of that call, opened."""
        (row,) = self.recordings_of(number)
        return self.guarded.opened(row)

    def events_of(self, number: str) -> list[Row]:
        """What happened to the recordings of that call, in order."""
        return self._of(recording_events, number)

    def ledger_of(self, number: str) -> list[Row]:
        """The rows of the ledger about that call, in order."""
        return self._of(consents, number)

    def _of(self, table: Table, number: str) -> list[Row]:
        query = select(table).where(table.c.call_id == self.call_of(number)["id"])
        return self.guarded.rows(query.order_by(table.c.at))

    def rogue(self, number: str) -> audio.Samples:
        """What a recording of the operator's own holds of the call with that number."""
        file = self.pbx.log / f"rogue-{number}.sln"
        return audio.from_linear(file.read_bytes() if file.exists() else b"")

    def act(self, number: str, action: str) -> dict[str, Any]:
        """Do something over the API to the recording of the newest call with `number`."""
        return self.guarded.callguard.act(self.call_of(number)["id"], action)


Scene = Callable[[Switchboard], Any]


class Played:
    """Scenes that were played at once; `of(scene)` is what became of one, or how it failed."""

    def __init__(self, board: Switchboard, scenes: Sequence[Scene]) -> None:
        with ThreadPoolExecutor(len(scenes)) as pool:
            self._ends: Mapping[Scene, Future[Any]] = {
                scene: pool.submit(scene, board) for scene in scenes
            }
        board.quiet()

    def of(self, scene: Scene) -> Any:
        """What the scene returned."""
        return self._ends[scene].result()


def heard_for(wav: Wav, tone: float, *, window: float = 0.1) -> float:
    """For how many seconds a tone is on a recording, in windows of so many."""
    return sum(b - a for a, b in audio.heard(wav.samples[0], wav.rate, tone, window=window))


def gap(wav: Wav, tone: float) -> tuple[float, float]:
    """The longest time (from, to; seconds) without a tone, between the first of it and the last.
    A machine that is busy makes short ones."""
    stretches = audio.heard(wav.samples[0], wav.rate, tone)
    between = pairwise(stretches)
    return max(((a[1], b[0]) for a, b in between), key=lambda found: found[1] - found[0])


def silences(wav: Wav, *, longest: float = 0.0) -> list[tuple[float, float]]:
    """The stretches (from, to; seconds) of digital silence longer than `longest`, to 10 ms."""
    size = wav.rate // 100
    samples = wav.samples[0]
    count = len(samples) // size
    loud = np.abs(samples[: count * size].reshape(count, size)).max(axis=1) > 50
    found: list[tuple[float, float]] = []
    begun: int | None = None
    for at, here in enumerate([*loud, True]):
        if not here and begun is None:
            begun = at
        elif here and begun is not None:
            if (at - begun) / 100 > longest:
                found.append((begun / 100, at / 100))
            begun = None
    return found


def wait(seconds: float) -> None:
    """Let the parties talk: the sound of it is what is tested."""
    time.sleep(seconds)
