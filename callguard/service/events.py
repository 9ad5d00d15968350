"""What an Asterisk tells, brought to the rooms that want to know."""

from collections.abc import Mapping
from dataclasses import dataclass

from callguard.ami.calls import Change, ChannelGone, RecordingStopped
from callguard.ami.wire import Message
from callguard.cdr.keeper import CallRecordKeeper
from callguard.clock import Clock
from callguard.gate.backstop import Backstop
from callguard.gate.callbook import CallBook
from callguard.gate.pbx import Pbx
from callguard.gate.recordings import CallRecordings


@dataclass(frozen=True, slots=True)
class AsteriskEvents:
    """Hears every Asterisk. ``keepers`` are those of its call records, by its name."""

    clock: Clock
    calls: CallBook
    recordings: CallRecordings
    backstop: Backstop
    keepers: Mapping[str, CallRecordKeeper]

    def touched(self, pbx: Pbx, keys: frozenset[str]) -> None:
        """Something looks different now."""
        self.recordings.supervision.touched(pbx.name, keys)

    def lost(self, pbx: Pbx) -> None:
        """Nothing more is heard."""
        self.recordings.supervision.lost(pbx)
        self.backstop.lost(pbx)

    def changed(self, pbx: Pbx, change: Change) -> None:
        """A channel came, went, or is another than it was."""
        self.recordings.supervision.changed(pbx, change)
        self.backstop.changed(pbx, change)
        match change:
            case ChannelGone(uniqueid=uniqueid):
                self.calls.end(pbx.name, uniqueid)
                self.recordings.channel_gone(pbx.name, uniqueid)
            case RecordingStopped(uniqueid=uniqueid):
                channel = pbx.live.channels.get(uniqueid)
                if channel is None or channel.recordings == 0:  # somebody else's may have stopped
                    self.recordings.none_left(pbx.name, uniqueid)
            case _:
                pass

    async def resynced(self, pbx: Pbx) -> None:
        """The list of its channels is whole again."""
        self.calls.keep_only(pbx.name, pbx.live.channels, self.clock.now())
        await self.recordings.resynced(pbx.name)
        self.backstop.resynced(pbx)

    def call_record(self, pbx: Pbx, message: Message) -> None:
        """One of its call records."""
        self.keepers[pbx.name].take(message)
