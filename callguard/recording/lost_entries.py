"""Spool entries that went while Asterisk wrote to them: it goes on writing into a file that nobody
can open any more, so what is said from then on is lost, and somebody must hear of it at once."""

from collections import deque
from collections.abc import Callable

import structlog

from callguard.clock import Clock
from callguard.recording.recorder import OpenRecording, Recorder

log = structlog.get_logger(__name__)

AWAITED_S = 5.0
"""How long the file of a recording that is said to run may take to be seen for the first time."""

ALARM_S = 3600.0
"""How long it is an alarm, since the recording itself is soon stopped and closed."""

KEPT = 10_000


class LostEntries:
    """``on_lost`` is told of each recording once, while it runs."""

    def __init__(self, clock: Clock, recorder: Recorder, has_ended: Callable[[str], bool]) -> None:
        self._clock = clock
        self._recorder = recorder
        self._has_ended = has_ended
        self._awaited: dict[str, float] = {}
        self._told: set[str] = set()
        self._alarms: deque[float] = deque(maxlen=KEPT)
        self.on_lost: Callable[[OpenRecording], None] = lambda _: None

    @property
    def alarm(self) -> str | None:
        """One line while any went within the last hour."""
        since = self._clock.monotonic() - ALARM_S
        while self._alarms and self._alarms[0] < since:
            self._alarms.popleft()
        if not self._alarms:
            return None
        return f"{len(self._alarms)} recordings lost their spool entry while they ran: see the log"

    def is_new(self, recording: OpenRecording, *, was_seen: bool, now: float) -> bool:
        """Whether a recording without a spool entry has lost it, and nobody was told. What no
        process of ours has seen yet may still come."""
        if not recording.running or recording.id in self._told:
            return False
        return was_seen or now - self._awaited.setdefault(recording.id, now) >= AWAITED_S

    def tell(self, recording: OpenRecording) -> None:
        """Where it has ended meanwhile, closing it says what is missing."""
        known = self._recorder.get(recording.id)
        if known is None or self._has_ended(recording.id):
            return
        self._told.add(recording.id)
        self._alarms.append(self._clock.monotonic())
        faults = self._recorder.faults
        faults["spool_entry_gone"] = faults.get("spool_entry_gone", 0) + 1
        log.error("spool_entry_gone", recording=recording.id, call=recording.call_id)
        self.on_lost(known)

    def forget(self, recording_id: str) -> None:
        """It was closed."""
        self._awaited.pop(recording_id, None)
        self._told.discard(recording_id)
