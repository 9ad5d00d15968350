"""A simulated Asterisk: channels, globals, prompts, recordings, call records, on virtual time.

It runs the real dialplan (``interpreter``), calls the gate over AGI (``agi_client``), tells a
``SimulatedManager`` what happens, writes recordings and the CSV of call records where callguard
reads them. A playbook (``playbook``) plays the people and the carrier.
"""

import asyncio
import csv
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.harness import events
from tests.harness.agi_client import NotSimulated
from tests.harness.applications import APPLICATIONS
from tests.harness.bridging import Bridging
from tests.harness.channels import Channel, State, Target
from tests.harness.conference import Conferences
from tests.harness.dialplan import Dialplan
from tests.harness.expressions import evaluate
from tests.harness.functions import ChannelNames
from tests.harness.interpreter import Interpreter
from tests.harness.local_channels import LocalChannels
from tests.harness.media import Media
from tests.harness.notes import Invite, Note
from tests.harness.parking import ParkingLot
from tests.harness.pipes import Streams
from tests.harness.records import DEFAULT_MAPPING, CallRecord, append_line, columns
from tests.harness.substitution import substitute
from tests.harness.virtual import VirtualClock

AgiConnect = Callable[[], Awaitable[Streams]]
"""Opens the connection to the AGI server; raises OSError when nobody listens."""


class Announcer(Protocol):
    """Whom the simulated Asterisk tells of its events: a SimulatedManager, or a list."""

    def emit(self, name: str, privilege: str, headers: list[tuple[str, str]]) -> None: ...


CommandHook = Callable[[Channel, int, str], None]


class SimulatedAsterisk:
    """One Asterisk; ``folders`` maps folders as Asterisk sees them to folders on the host."""

    def __init__(
        self,
        dialplan: Dialplan,
        *,
        clock: VirtualClock,
        agi_connect: AgiConnect,
        prompts: Mapping[str, int] | None = None,
        folders: Mapping[str, Path] | None = None,
        announce: Announcer | None = None,
        cdr_file: Path | None = None,
        cdr_mapping: str = DEFAULT_MAPPING,
        cdr_mappings: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = clock
        self.agi_connect = agi_connect
        self.globals: dict[str, str] = dict(dialplan.globals)
        self.media = Media(self, prompts or {}, folders or {})
        self.bridging = Bridging(self)
        self.locals = LocalChannels(self)
        self.conferences = Conferences(self)
        self.parking = ParkingLot(self)
        self.announce = announce
        self.cdr_file, self.cdr_mapping = cdr_file, cdr_mapping
        self.cdr_mappings = dict(cdr_mappings or {"linkedid": "LinkedID", "sequence": "Sequence"})
        self.interpreter = Interpreter(self, dialplan, APPLICATIONS)
        self.channels: list[Channel] = []
        self.everyone: list[Channel] = []
        """The living channels, and all that there ever were."""
        self.invites: list[Invite] = []
        self.notes: list[Note] = []
        self.logs: list[tuple[str, str]] = []
        self.records: dict[str, CallRecord] = {}
        self.rows: dict[str, dict[str, str]] = {}
        self.failures: list[BaseException] = []
        # Two orders that Asterisk does not promise: a test can have either.
        self.hangup_line_first = False
        self.cdr_first = False
        self.no_endpoints: set[str] = set()
        self.on_before_command: list[CommandHook] = []
        self.on_after_command: list[CommandHook] = []
        self.trunks = {"PJSIP/carrier"}
        self._numbers = dict.fromkeys(("channel", "bridge", "record", "monitor", "local"), 0)
        self._watchers: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # --- time, notes, waiting -----------------------------------------------------------------

    def epoch(self) -> int:
        """The wall time in whole seconds since 1970."""
        return int(self.clock.epoch())

    def host_path(self, name: str) -> Path | None:
        """Where a path of Asterisk's lies on the host; None outside the mapped folders."""
        return self.media.host_path(name)

    def note(self, kind: str, channel: Channel, detail: str = "", **extra: str) -> None:
        """Write down what happened and wake whoever waits for it."""
        self.notes.append(Note(self.clock.monotonic(), kind, channel.name, detail, extra))
        self.changed()

    def log(self, level: str, text: str) -> None:
        """A line of Asterisk's log."""
        self.logs.append((level, text))

    def changed(self) -> None:
        """Wake whoever waits in ``until``."""
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def until(self, condition: Callable[[], bool], what: str, within: float = 120.0) -> None:
        """Wait until the condition holds; AssertionError with the story after ``within`` virtual
        seconds, and whatever made a channel's dialplan fail is raised here."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self.raise_failure()
                    watcher = asyncio.get_running_loop().create_future()
                    self._watchers.append(watcher)
                    await watcher
        except TimeoutError:
            raise AssertionError(f"no {what} within {within} s\n{self.story()}") from None
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what a channel's dialplan died of, if any did."""
        if self.failures:
            raise self.failures[0]

    def story(self) -> str:
        """What happened so far, a line each."""
        lines = [
            f"  {note.at:9.3f} {note.channel} {note.kind} {note.detail}" for note in self.notes
        ]
        return "\n".join([*lines, *(f"  log {level}: {text}" for level, text in self.logs)])

    # --- channels -----------------------------------------------------------------------------

    def unique(self, kind: str) -> int:
        """The next number of its kind."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    def new_channel(
        self,
        endpoint: str,
        context: str,
        exten: str,
        linkedid: str = "",
        uniqueid: str = "",
        half: str = "",
    ) -> Channel:
        """A channel in Asterisk's naming; ``announce_channel`` tells of it. With ``half`` it is
        that half of the Local channel ``endpoint``."""
        number = self.unique("channel")
        uniqueid = uniqueid or f"{self.epoch()}.{number}"
        name = f"{endpoint};{half}" if half else f"{endpoint}-{number:08x}"
        channel = Channel(name, uniqueid, linkedid or uniqueid, context, exten)
        channel.created = self.clock.epoch()
        self.channels.append(channel)
        self.everyone.append(channel)
        return channel

    def announce_channel(self, channel: Channel) -> None:
        """Newchannel, once the channel has its caller id."""
        self.emit("Newchannel", "call,all", events.channel_headers(channel))
        self.note("channel", channel)

    def start(self, channel: Channel) -> None:
        """A call arrives on the channel: its dialplan begins to run."""
        channel.state = State.RING
        self.new_record(channel)
        self.announce_channel(channel)
        self.spawn(channel)

    def new_record(self, channel: Channel) -> None:
        """A call record of the channel's own begins."""
        self.records[channel.uniqueid] = CallRecord(
            channel.uniqueid,
            channel.linkedid,
            self.unique("record") - 1,
            self.clock.epoch(),
            channel.name,
            src=channel.caller_number,
            clid=f'"{channel.caller_name}" <{channel.caller_number}>',
            dst=channel.exten,
            dcontext=channel.context,
            accountcode=channel.accountcode,
        )

    def spawn(self, channel: Channel) -> None:
        """Run a channel's dialplan in a task of its own."""
        self.own(self._live(channel), channel.name)

    def own(self, work: Coroutine[None, None, None], name: str) -> None:
        """Run something that belongs to a channel in a task of its own."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, channel: Channel) -> None:
        try:
            await self.interpreter.run(channel)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # raised again by whoever waits
            self.failures.append(error)
        finally:
            self.end_channel(channel, channel.cause or 16)
            self.changed()

    async def close(self) -> None:
        """Hang everything up and wait for the dialplans to end."""
        for channel in list(self.channels):
            channel.hang_up(16)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for recorder in self.media.recorders:
            recorder.stop()

    def find_channel(self, name: str) -> Channel | None:
        """A living channel by name or unique id."""
        for channel in self.channels:
            if name in {channel.name, channel.uniqueid}:
                return channel
        return None

    def is_agent(self, channel: Channel) -> bool:
        """Whether the channel is the operator's own side: it came or went over no trunk."""
        return channel.name.rpartition("-")[0] not in self.trunks

    def follow(self, channel: Channel, application: str, data: str) -> None:
        """Keep the call record at the application that runs (not after the hang-up)."""
        record = self.records.get(channel.uniqueid)
        if record is not None and not channel.hung_up:
            record.lastapp, record.lastdata = application, data[:79]
            record.dst, record.dcontext = channel.exten, channel.context

    def record_of(self, channel: Channel) -> CallRecord:
        """The call record; a channel that was dialled shares the one of its caller."""
        record = self.records.get(channel.uniqueid) or self.records.get(channel.linkedid)
        if record is None:
            raise NotSimulated(f"{channel.name} has no call record")
        return record

    def answer(self, channel: Channel) -> None:
        """Answer an incoming channel."""
        if channel.state is not State.UP:
            channel.state = State.UP
            record = self.records.get(channel.uniqueid)
            if record is not None:
                record.answer, record.disposition = self.clock.epoch(), "ANSWERED"
            self.new_state(channel)
            self.note("answered", channel)
            self.locals.answered(channel)

    def new_state(self, channel: Channel) -> None:
        """Announce a channel's state."""
        self.emit("Newstate", "call,all", events.channel_headers(channel))
        self.changed()

    def end_channel(self, channel: Channel, cause: int) -> None:
        """The channel is gone: recordings closed, Hangup sent, the call record written."""
        if channel not in self.channels:
            return
        channel.hang_up(cause)
        self.media.end_recordings(channel)
        self.locals.gone(channel)
        self.channels.remove(channel)
        if self.cdr_first:
            self._write_record(channel)
        self.emit("Hangup", "call,all", events.hangup_headers(channel))
        if not self.cdr_first:
            self._write_record(channel)
        self.note("hangup", channel, str(channel.cause))

    def _write_record(self, channel: Channel) -> None:
        record = self.records.get(channel.uniqueid)
        if record is None:
            return
        record.end = self.clock.epoch()
        if record.tells_cause:
            record.hangupcause = str(channel.cause)
        line = substitute(self.cdr_mapping, ChannelNames(self, channel), evaluate)
        values = next(csv.reader([line]))
        self.rows[channel.uniqueid] = dict(zip(columns(self.cdr_mapping), values, strict=True))
        if self.cdr_file is not None:
            append_line(self.cdr_file, line)
        self.emit("Cdr", "cdr,all", record.manager_headers(self.cdr_mappings))

    # --- dialling and bridging ----------------------------------------------------------------

    def originate(
        self,
        address: str,
        target: Target,
        *,
        caller: str,
        timeout: float,
        uniqueid: str,
        variables: Sequence[str],
    ) -> None:
        """What AMI's asynchronous Originate does: dial first, run the dialplan at the answer.

        Nobody is told when there is no such endpoint: those named in ``no_endpoints``.
        """
        number, _, endpoint = address.removeprefix("PJSIP/").rpartition("@")
        if endpoint in self.no_endpoints:
            return
        called = self.new_channel(f"PJSIP/{endpoint}", target.context, target.exten, "", uniqueid)
        called.priority, called.caller_number, called.dialled_number = 1, number, ""
        self.records[called.uniqueid] = CallRecord(
            called.uniqueid,
            called.linkedid,
            self.unique("record") - 1,
            self.clock.epoch(),
            called.name,
            src=caller,
            clid=f'"" <{caller}>',
            dst=target.exten,
            dcontext=target.context,
        )
        names = ChannelNames(self, called)
        for variable in variables:
            names.assign(*variable.split("=", 1))
        self.announce_channel(called)
        self.invites.append(Invite(number, endpoint, self.clock.monotonic(), called))
        self.note("invite", called, address, caller=caller)
        self.own(self._originated(called, timeout), called.name)

    async def _originated(self, called: Channel, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                reply = await called.dialled.get()
        except TimeoutError:
            reply = "no answer"
        if reply != "answer" or called.hung_up:
            self.end_channel(called, {"busy": 17, "no answer": 19}.get(reply, called.cause or 16))
            return
        self.answer(called)
        await self._live(called)

    def invite(self, caller: Channel, address: str, *, local: bool = False) -> Channel:
        """Send an INVITE to ``number@endpoint`` or to a phone, or call a Local channel."""
        number, _, endpoint = address.rpartition("@")
        if local:
            called = self.locals.make(caller, address)
            self.locals.call(called, address)
        else:
            called = self.new_channel(f"PJSIP/{endpoint}", f"from-{endpoint}", "s", caller.linkedid)
            called.variables = caller.variables.inherited()
            self.announce_channel(called)
            called.exten, called.caller_number = caller.exten, number or caller.exten
            called.connected_number, caller.connected_number = caller.caller_number, number
            called.language, called.accountcode = caller.language, caller.accountcode
        headers = [
            *events.channel_headers(caller),
            *events.channel_headers(called, "Dest"),
            ("DialString", address),
        ]
        self.emit("DialBegin", "call,all", headers)
        self.record_of(caller).dstchannel = called.name
        if not local:
            self.invites.append(Invite(number, endpoint, self.clock.monotonic(), called))
        self.note("invite", called, address)
        return called

    def remote(self, called: Channel, reply: str) -> None:
        """What the dialled side does: ``ringing``, ``answer``, ``busy``, ``congestion`` or
        ``unavailable``."""
        if reply == "ringing":
            called.state = State.RINGING
            self.new_state(called)
        else:
            called.dialled.put_nowait(reply)

    def dial_ended(self, caller: Channel, called: Channel, status: str) -> None:
        """Announce DIALSTATUS, and keep it in the call record."""
        headers = [
            *events.channel_headers(caller),
            *events.channel_headers(called, "Dest"),
            ("DialStatus", status),
        ]
        self.emit("DialEnd", "call,all", headers)
        self.record_of(caller).disposition = {
            "ANSWER": "ANSWERED",
            "BUSY": "BUSY",
            "CONGESTION": "CONGESTION",
            "CHANUNAVAIL": "FAILED",
        }.get(status, "NO ANSWER")
        self.note("dial_ended", called, status)

    # --- the rest -----------------------------------------------------------------------------

    def before_command(self, channel: Channel, number: int, identity: str, line: str) -> None:
        """An AGI command was read and is about to be run."""
        headers = [
            *events.channel_headers(channel),
            ("CommandId", identity),
            ("Command", line),
        ]
        self.emit("AGIExecStart", "agi,all", headers)
        for hook in self.on_before_command:
            hook(channel, number, line)

    def after_command(
        self, channel: Channel, number: int, identity: str, line: str, reply: str
    ) -> None:
        """An AGI command was answered."""
        code = reply[:3]
        headers = [
            *events.channel_headers(channel),
            ("CommandId", identity),
            ("Command", line),
            ("ResultCode", code),
            ("Result", "Success" if code == "200" else "Usage"),
        ]
        if code in {"200", "520"}:
            self.emit("AGIExecEnd", "agi,all", headers)
        self.note("agi_command", channel, line, reply=reply)
        for hook in self.on_after_command:
            hook(channel, number, line)

    def feature(self, channel: Channel, target: Target) -> None:
        """A feature code on a bridged channel."""
        if channel.bridge is None:
            raise AssertionError(f"{channel.name} is not in a bridge\n{self.story()}")
        channel.features.append(target)
        channel.stir.set()

    def emit(self, name: str, privilege: str, headers: list[tuple[str, str]]) -> None:
        """Tell AMI."""
        if self.announce is not None:
            self.announce.emit(name, privilege, headers)
