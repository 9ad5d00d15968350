"""What the dialogues of the gate share."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from callguard.consent.prompts import Prompt, PromptLibrary
from callguard.gate.callbook import Call, CallBook, read_call
from callguard.gate.knowledge import Knowledge
from callguard.gate.request import Counts
from callguard.gate.told import ToldParties
from callguard.gate.typed_number import HourlyBound
from callguard.recording.recorder import OpenRecording
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.tenant import Tenant

TYPED_AN_HOUR = 60
"""Most numbers typed on opt-out lines that are entered, or called back, in an hour."""


class Recordings(Protocol):
    """Whoever begins, ends and closes recordings; what cannot be done is logged and counted."""

    def lives(self, call: Call) -> bool:
        """Whether the first channel of the call is not known to be gone."""
        ...

    async def begin(self, tenant: Tenant, call: Call, channel_uniqueid: str) -> str | None:
        """The file that Asterisk shall write, under Asterisk's own path, once its key, header
        and row are durable; None if there can be no recording."""
        ...

    def abandon(self, asterisk_path: str) -> None:
        """Says that Asterisk did not start to write that file."""
        ...

    def running(self, asterisk_path: str, monitor: str | None) -> None:
        """Asterisk writes that file; ``monitor`` is its MixMonitor's id."""
        ...

    def in_progress(self, call: Call, channel_uniqueid: str) -> tuple[OpenRecording, ...]:
        """The recordings of the conversation that a channel is part of, paused ones too."""
        ...

    def paused(self, recording: OpenRecording) -> bool:
        """Whether somebody paused it and nobody resumed it."""
        ...

    async def pause(self, recording: OpenRecording, *, by: str) -> bool:
        """Makes both its directions silent until it is resumed; whether they are known to be. The
        wish stands also where Asterisk cannot be told now."""
        ...

    async def resume(self, recording: OpenRecording, *, by: str) -> bool:
        """Ends a pause, durably first; whether it was. What else silences the recording (somebody
        in the conversation who was not told) goes on doing so."""
        ...

    async def hush(self, call: Call, channel_uniqueid: str) -> bool:
        """Somebody on that channel, who did not consent, is about to join the conversation: makes
        silent what is recorded of it. Whether nothing of it is heard in any recording."""
        ...

    async def erase(self, recording: OpenRecording, *, by: str) -> bool:
        """Stops a recording and makes what was recorded unreadable for good, in the order of an
        erasure; whether that is durable. It is never sealed."""
        ...

    def stopped(self, recording: OpenRecording) -> None:
        """The recording was stopped from its own channel."""
        ...

    async def stop(self, recording: OpenRecording) -> bool:
        """Stops a recording from outside its channel; whether it is known to have stopped. The
        wish stands also where Asterisk cannot be told now."""
        ...


@dataclass(slots=True, kw_only=True)
class Gate(Knowledge):
    """The shared state of the gate, owned by the service."""

    database: Database
    journal: Journal
    prompts: PromptLibrary
    prompt_folders: dict[str, PurePosixPath]
    recordings: Recordings
    durable_s: float = 2.0
    calls: CallBook = field(default_factory=CallBook)
    counts: Counts = field(default_factory=Counts)
    told: ToldParties = field(default_factory=ToldParties)
    typed_numbers: HourlyBound = field(default_factory=lambda: HourlyBound(TYPED_AN_HOUR))

    def sound(self, pbx: str, prompt: Prompt) -> str | None:
        """The prompt's path as that Asterisk sees it, without extension."""
        folder = self.prompt_folders.get(pbx)
        return None if folder is None else str(folder / prompt.file)

    async def recall(self, call_id: str) -> Call | None:
        """The call of that id that has not ended: from memory or, after a restart, from the
        database if its channel still lives."""
        found = self.calls.get(call_id)
        if found is None:
            found = await self.database.read(lambda c: read_call(c, call_id))
            if found is None or not self.recordings.lives(found):
                return None
            self.calls.add(found)
        return found
