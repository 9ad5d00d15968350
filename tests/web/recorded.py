"""Recordings without a PBX: they do what they are told, or fail to."""

from dataclasses import dataclass, field

from callguard.gate.callbook import Call
from callguard.recording.recorder import OpenRecording
from tests.clock import HandClock

CALL_ID = "01957f00-0000-7000-8000-000000000001"
SUBJECT = "+442079460123"


def call_of(clock: HandClock) -> Call:
    return Call(
        id=CALL_ID,
        tenant="acme",
        pbx="asterisk",
        uniqueid="1.1",
        direction="outbound",
        purpose="service",
        subject=SUBJECT,
        allowed=True,
        obligations=frozenset(),
        decided_at=clock.now(),
    )


@dataclass
class Recorded:
    """What is recorded: ``running``, until it is stopped; ``works`` is whether anything can be
    done. ``did`` is what was asked for, and by whom."""

    running: tuple[OpenRecording, ...] = (
        OpenRecording("r1", "acme", CALL_ID, "asterisk", "1.2", "r1.sln", True, "0x1"),
    )
    works: bool = True
    is_paused: bool = False
    did: list[tuple[str, str]] = field(default_factory=list)

    def lives(self, call: Call) -> bool:
        return False

    def in_progress(self, call: Call, channel_uniqueid: str) -> tuple[OpenRecording, ...]:
        return self.running

    async def of_call_all(self, call_id: str) -> tuple[OpenRecording, ...]:
        return self.running

    def has_ended(self, recording: OpenRecording) -> bool:
        return recording not in self.running

    def paused(self, recording: OpenRecording) -> bool:
        return self.is_paused

    async def pause(self, recording: OpenRecording, *, by: str) -> bool:
        return self._done("pause", by, paused=True)

    async def resume(self, recording: OpenRecording, *, by: str) -> bool:
        return self._done("resume", by, paused=False)

    async def stop(self, recording: OpenRecording, *, by: str) -> bool:
        self.running = () if self.works else self.running
        return self._done("stop", by)

    async def erase(self, recording: OpenRecording, *, by: str) -> bool:
        self.running = () if self.works else self.running
        return self._done("erase", by)

    def _done(self, what: str, by: str, *, paused: bool | None = None) -> bool:
        self.did.append((what, by))
        if paused is not None and self.works:
            self.is_paused = paused
        return self.works
