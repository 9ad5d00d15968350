"""What the dialogues of the gate share."""

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.consent.prompts import Prompt, PromptLibrary
from callguard.gate.acts import ActBook
from callguard.gate.callbook import Call, CallBook, read_call
from callguard.gate.knowledge import Knowledge
from callguard.gate.request import Counts, Request
from callguard.gate.told import ToldParties
from callguard.gate.typed_number import HourlyBound
from callguard.ids import is_call_id
from callguard.recording.erasure import Fate
from callguard.recording.recorder import OpenRecording
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

TYPED_AN_HOUR = 60
"""Most numbers typed on opt-out lines that are entered, or called back, in an hour."""


class Recordings(Protocol):
    """Whoever begins, ends and closes recordings; what cannot be done is logged and counted."""

    def lives(self, call: Call) -> bool:
        """Whether the call goes on for anybody: its first channel lives, or a recording of it is
        in progress, or somebody who was told in it is still there; or that is not known."""
        ...

    def first_lives(self, call: Call) -> bool:
        """Whether the first channel of the call, with which it is forgotten, is not known to be
        gone."""
        ...

    async def begin(
        self, tenant: Tenant, call: Call, channel_uniqueid: str, encoding: str | None = None
    ) -> str | None:
        """The file that Asterisk shall write, under Asterisk's own path, once its key, header
        and row are durable; None if there can be no recording. Coded as the tenant wishes, where
        no other ``encoding`` is given."""
        ...

    def abandon(self, asterisk_path: str) -> None:
        """Says that Asterisk did not start to write that file."""
        ...

    def monitor_options(self, asterisk_path: str) -> str:
        """The options that MixMonitor needs to write that file as it is to be coded."""
        ...

    def running(self, asterisk_path: str, monitor: str | None, reason: str | None = None) -> None:
        """Asterisk writes that file; ``monitor`` is its MixMonitor's id, ``reason`` why it is not
        as the tenant wished."""
        ...

    def in_progress(self, call: Call, channel_uniqueid: str) -> tuple[OpenRecording, ...]:
        """The recordings of the conversation that a channel is part of, paused ones too."""
        ...

    def paused(self, recording: OpenRecording) -> bool:
        """Whether somebody paused it and nobody resumed it."""
        ...

    def silent_for(self, recording: OpenRecording) -> frozenset[str]:
        """Why it must not be heard now; empty where it may."""
        ...

    async def of_call_all(self, call_id: str) -> tuple[OpenRecording, ...]:
        """Every recording of a call that was not erased, sealed ones too. Raises TimeoutError or
        SQLAlchemyError."""
        ...

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line for each recording that should be silent and is not known to be."""
        ...

    def speaks_outside(self, pbx: str, uniqueid: str) -> bool | None:
        """Whether it is somebody outside who speaks on that channel; None where that is not
        known."""
        ...

    def held_during(self, pbx: str, uniqueid: str, since: float) -> bool | None:
        """Whether the party on that channel put the others on hold at any time since a moment of
        the monotonic clock; None where only the channel itself can tell, because the manager
        connection is or was lost while it lived."""
        ...

    def was_called_for(self, call: Call, uniqueid: str) -> bool:
        """Whether the first channel of the call dialled that one, also through Local channels, or
        who did is not known."""
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

    async def erase(self, recording: OpenRecording, *, by: str) -> Fate:
        """Stops a recording and makes what was recorded unreadable for good, in the order of an
        erasure; what became of it, durably. It is never sealed, unless a hold keeps it."""
        ...

    def stopped(self, recording: OpenRecording, *, by: str = "callguard") -> None:
        """The recording was stopped from its own channel."""
        ...

    def has_ended(self, recording: OpenRecording) -> bool:
        """Whether it is known that Asterisk does not write that recording any more."""
        ...

    def found_ended(self, recording: OpenRecording) -> None:
        """Asterisk does not write that recording any more, whoever ended it."""
        ...

    async def stop(self, recording: OpenRecording, *, by: str = "callguard") -> bool:
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
    acts: ActBook = field(default_factory=ActBook)
    typed_numbers: HourlyBound = field(default_factory=lambda: HourlyBound(TYPED_AN_HOUR))

    def sound(self, pbx: str, prompt: Prompt) -> str | None:
        """The prompt's path as that Asterisk sees it, without extension."""
        folder = self.prompt_folders.get(pbx)
        return None if folder is None else str(folder / prompt.file)

    async def origin(self, request: Request) -> Call | None:
        """The call that a channel was in before, as the dialplan says, whether or not it goes on;
        None where there is none or it cannot be read."""
        call_id = request.passed_from
        if not is_call_id(call_id):
            return None
        found = self.calls.get(call_id)
        if found is None:
            try:
                found = await self._kept(call_id)
            except (SQLAlchemyError, TimeoutError) as error:
                log.error("origin_not_read", call=call_id, reason=one_line(error))
        return found if found is not None and found.pbx == request.pbx else None

    async def recall(self, call_id: str) -> Call | None:
        """The call of that id that has not ended: from memory or, after a restart or where its
        first channel is gone and others go on, from the database."""
        found = self.calls.get(call_id)
        if found is None:
            found = await self._kept(call_id)
            if found is None or not self.recordings.lives(found):
                return None
            if self.recordings.first_lives(found):
                self.calls.add(found)
        return found

    async def _kept(self, call_id: str) -> Call | None:
        """A call as the database has it, which does not say whether it was passed on."""
        found = await self.database.read(lambda c: read_call(c, call_id))
        return replace(found, passed_on=True) if found is not None else None
