"""What the dialogues of the gate share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from callguard.clock import Clock
from callguard.consent.prompts import Prompt, PromptLibrary
from callguard.gate.callbook import Call, CallBook, read_call
from callguard.gate.request import Counts
from callguard.optout.image import OptOutImage
from callguard.policy.rules import Rule
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant


class Recordings(Protocol):
    """Whoever begins, ends and closes recordings; what cannot be done is logged and counted."""

    async def begin(self, tenant: Tenant, call: Call, channel_uniqueid: str) -> str | None:
        """The file that Asterisk shall write, under Asterisk's own path, once its key, header
        and row are durable; None if there can be no recording."""
        ...

    def abandon(self, asterisk_path: str) -> None:
        """Says that Asterisk did not start to write that file."""
        ...

    async def stop(self, call: Call) -> bool:
        """Ends the recording of a call; whether it is known to have stopped."""
        ...


@dataclass(slots=True)
class Gate:
    """The shared state of the gate, owned by the service."""

    clock: Clock
    database: Database
    journal: Journal
    tenants: TenantDirectory
    opt_outs: OptOutImage
    rules: Sequence[Rule]
    prompts: PromptLibrary
    prompt_folders: dict[str, PurePosixPath]
    recordings: Recordings
    home_region: str
    durable_s: float = 2.0
    calls: CallBook = field(default_factory=CallBook)
    counts: Counts = field(default_factory=Counts)

    def sound(self, pbx: str, prompt: Prompt) -> str | None:
        """The prompt's path as that Asterisk sees it, without extension."""
        folder = self.prompt_folders.get(pbx)
        return None if folder is None else str(folder / prompt.file)

    async def recall(self, call_id: str) -> Call | None:
        """The call of that id, from memory or, after a restart, from the database."""
        found = self.calls.get(call_id)
        if found is None:
            found = await self.database.read(lambda c: read_call(c, call_id))
            if found is not None:
                self.calls.add(found)
        return found
