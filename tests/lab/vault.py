"""A PBX whose recordings grow in memory, callguard that seals them there, a tenant for each way
of coding, and beside each recording an unsealed one of the operator's own, to compare with."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from sqlalchemy import select

from callguard.storage.schema import calls, recordings
from tests.lab import audio, config, traced
from tests.lab.asterisk import MEMORY, Asterisk
from tests.lab.audio import Samples
from tests.lab.guarded import GuardedPbx, Row, eventually
from tests.lab.hurry import FRAME
from tests.lab.phone import Leg, Phone
from tests.lab.told import add_tenants

AGENT, PARTY = 440.0, 1000.0
"""Voices, in Hz; on its channel the party is read, and so on the left."""
FORMATS = ("pcm-8000-1", "pcm-8000-2", "pcm-16000-1", "ulaw-8000-1", "alaw-8000-1")
"""That of tenant-1, tenant-2, and so on."""
CHUNK = 64 * 1024
BURST = 32 * 1024
"""What MixMonitor holds back before it writes, in bytes, however long they last."""

_SKEW, _LOUD, _PROBE = 12, 500, 512

Pair = tuple[Leg, Leg]
"""The agent's end of a call and the other party's."""


def dialplan(sites: config.Sites, spool: Path, controls: Path | None) -> str:
    """`*` and a digit before a number: of which tenant the call is."""
    answered = "U(lab-answered^${CALLGUARD_CALL}^${EXTEN:2})" if controls else "${CALLGUARD_DIAL}"
    return f"""[general]
[globals]
CALLGUARD_AGI=127.0.0.1:{sites.agi}
CALLGUARD_PBX=lab
CALLGUARD_LEASE_FILE={spool}/alive
#include extensions_callguard.conf

[from-agents]
exten => _*XX.,1,Gosub(callguard-outbound,${{EXTEN:2}},1(tenant-${{EXTEN:1:1}}))
 same => n,Dial(PJSIP/${{EXTEN:2}}@carrier,30,{answered})
 same => n,Hangup()
; What is compared with begins right after what callguard began.
[lab-answered]
exten => s,1,Set(LOCAL(number)=${{ARG2}})
 same => n,Gosub(callguard-answered,s,1(${{ARG1}}))
 same => n,MixMonitor({controls}/${{number}}.raw,bD)
 same => n,Return()
"""


class Vault:
    """Make it with a folder, `open()` it with what was furnished, `close()` it. The spool is on a
    tmpfs; with `controlled`, so are the recordings to compare with. `theirs` and `ours` are the
    system calls of Asterisk and of callguard that are written down, there too."""

    def __init__(
        self,
        folder: Path,
        *,
        controlled: bool = True,
        theirs: Sequence[str] = (),
        ours: Sequence[str] = (),
    ) -> None:
        self._ended = ExitStack()
        memory = tempfile.TemporaryDirectory(prefix="callguard-lab-", dir=MEMORY)
        self.memory = Path(self._ended.enter_context(memory))
        spool = self.memory / "spool"
        self.controls = self.memory / "controls" if controlled else None
        if self.controls:
            self.controls.mkdir()
        self.theirs, self.ours = self.memory / "asterisk.trace", self.memory / "callguard.trace"
        asterisk = traced.command(self.theirs, *theirs) if theirs else ()
        callguard = traced.command(self.ours, *ours) if ours else ()
        self.pbx = Asterisk(folder / "pbx", spool=spool, within=asterisk)
        self._ended.callback(self.pbx.close)
        sites = self.pbx.sites
        text = dialplan(sites, spool, self.controls)
        (self.pbx.etc / "extensions.conf").write_text(text)
        endpoints = config.pjsip_conf(sites).replace("allow=ulaw", "allow=ulaw,slin16")
        (self.pbx.etc / "pjsip.conf").write_text(endpoints)
        self.guarded = GuardedPbx(self.pbx, folder / "beside", within=callguard)
        self.callguard = self.guarded.callguard
        self._ended.callback(self.guarded.close)
        self.agent = Phone(sites.agent, sites.sip, user="agent1", side="agent", tone=AGENT)
        self.world = Phone(sites.carrier, sites.sip, user="world", side="carrier", tone=PARTY)
        for phone in (self.agent, self.world):
            self._ended.callback(phone.close)

    def open(self, furnished: GuardedPbx) -> Self:
        self.pbx.start()
        self.guarded.lay_out(furnished)
        text = self.callguard.config.read_text()
        trunks = 'trunks = ["PJSIP/carrier*"]'
        assert trunks in text
        self.callguard.config.write_text(
            text.replace(trunks, f'{trunks}\nforeign_recordings = "report"')
        )
        add_tenants(
            self.guarded,
            {at: {"recording_format": name, "late_s": 0} for at, name in enumerate(FORMATS, 1)},
        )
        self.callguard.start()
        return self

    def close(self) -> None:
        self._ended.close()

    def connect(self, *wanted: tuple[int, str]) -> list[Pair]:
        """Calls, each of a tenant with a number, that are being recorded: the notice is over, and
        they hear each other."""
        dialled = [self.agent.call(f"*{tenant}{number}") for tenant, number in wanted]
        pairs = [
            (mine, self.world.rung(number))
            for mine, (_, number) in zip(dialled, wanted, strict=True)
        ]
        eventually(lambda: all(mine.hears(PARTY) > 0 for mine, _ in pairs))
        return pairs

    def quiet(self) -> None:
        """Every call is over."""
        for phone in (self.agent, self.world):
            phone.forget()
        self.pbx.cli("channel request hangup all")
        eventually(lambda: self.pbx.channels() == 0)

    def row(self, number: str) -> Row:
        """The recording of the call with that number, as it is now."""
        of_call = select(calls.c.id).where(calls.c.subject == f"+{number}")
        query = select(recordings).where(recordings.c.call_id.in_(of_call))
        return eventually(lambda: self.guarded.rows(query))[0]

    def closed(self, number: str, *, timeout: float = 20.0) -> Row:
        """The same, once it is not in progress any more. Raises TimeoutError."""

        def ended() -> Row | None:
            row = self.row(number)
            return None if row["state"] == "recording" else row

        return eventually(ended, timeout=timeout)

    def written(self, recording: Row) -> bytes:
        """All that Asterisk wrote to the spool for that recording, byte for byte."""
        told = traced.calls(self.theirs, of=recording["spool_name"])
        return b"".join(call.data for call in told)

    def control(self, number: str) -> Control:
        """The unsealed recording of that call."""
        assert self.controls is not None
        both = audio.from_linear((self.controls / f"{number}.raw").read_bytes())
        return Control(both[0::2], both[1::2])


@dataclass(frozen=True, slots=True)
class Control:
    """Both sides of a call, each by itself: what was read from the channel, what was written."""

    read: Samples
    written: Samples

    @property
    def seconds(self) -> float:
        return len(self.read) / audio.RATE

    def mixed(self, skew: int = 0) -> Samples:
        """Both at once, as Asterisk adds them; `skew` is by how many samples what was written comes
        later. Beyond full scale is full scale."""
        read, written = self.read[max(0, skew) :], self.written[max(0, -skew) :]
        length = min(len(read), len(written))
        whole = read[:length].astype(np.int32) + written[:length]
        clipped: Samples = whole.clip(-32768, 32767).astype(np.int16)
        return clipped

    def share_of(self, ours: Samples, *, nearly: int = 0) -> float:
        """How much of a recording of both is here sample for sample, or `nearly`, looked up by
        half seconds: a busy machine drops a frame of one recording and not of another."""
        mixes = [self.mixed(skew * FRAME) for skew in sorted(range(-_SKEW, _SKEW + 1), key=abs)]
        return _share(ours, mixes, nearly)


def share_of(side: Samples, control: Samples) -> float:
    """The same of one side by itself."""
    return _share(side, [control], 0)


def _share(ours: Samples, wholes: Sequence[Samples], nearly: int) -> float:
    size = audio.RATE // 2
    blocks = [ours[at : at + size] for at in range(0, len(ours) - size + 1, size)]
    return sum(any(_has(whole, each, nearly) for whole in wholes) for each in blocks) / len(blocks)


def _has(whole: Samples, block: Samples, nearly: int) -> bool:
    with contextlib.suppress(ValueError):
        at = offset_in(block, whole, nearly=nearly)
        there = whole[max(0, at) : at + len(block)].astype(np.int32)
        if len(there) == len(block):
            return bool(np.abs(there - block).max() <= nearly)
    return False


def offset_in(part: Samples, whole: Samples, *, nearly: int = 0) -> int:
    """Where in `whole` the samples of `part` begin, told by its first loud ones; negative where it
    begins before. `nearly`: how far off a sample may be. Raises ValueError."""
    loud = int(np.argmax(np.abs(part) > _LOUD))
    probe = part[loud : loud + _PROBE].astype(np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(probe))
    near = np.flatnonzero(np.abs(windows[:, 0] - probe[0]) <= nearly)
    for column in (1, 2, 3, _PROBE // 2, _PROBE - 1):
        near = near[np.abs(windows[near, column] - probe[column]) <= nearly]
    for at in near:
        if np.abs(windows[at] - probe).max() <= nearly:
            return int(at) - loud
    raise ValueError("one is no part of the other")
