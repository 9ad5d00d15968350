"""A call as a playbook: who dials, answers, presses, talks and hangs up, and what came of it.

    async with Pbx(server.serve_connection, folder=tmp_path, prompts={"notice": 24000}) as pbx:
        call = pbx.outbound("+4930123456", tenant="acme")
        await call.expect_verdict("allow")
        await call.carrier_answers()
        await call.hears("notice", seconds=1)
        await call.presses("9")
        await call.talk(seconds=4)
        await call.hangs_up("party")
        outcome = await call.ended()

The *agent* is the operator's side, the *party* the subject, whoever called whom. Every step waits
in virtual time, and one that does not come true fails with the story of the call so far.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.harness.ami_server import Account, SimulatedManager
from tests.harness.asterisk import SimulatedAsterisk
from tests.harness.channels import Channel
from tests.harness.dialplan import load
from tests.harness.features import Features
from tests.harness.hearing import Audible
from tests.harness.legs import Leg
from tests.harness.network import Network, Serve
from tests.harness.notes import Heard, Note
from tests.harness.recorder import Recorder
from tests.harness.records import read_section
from tests.harness.virtual import current_clock

Side = Literal["agent", "party"]

CONF = Path(__file__).parents[2] / "asterisk-conf"
OPERATOR = Path(__file__).with_name("operator.conf")
SPOOL = "/var/spool/asterisk/callguard"
"""The spool as the simulated Asterisk sees it; on the host it is ``folder / "spool"``."""

ACCOUNT = Account(
    "callguard",
    "secret",
    read=frozenset({"call", "cdr", "dtmf", "agi"}),
    write=frozenset({"call", "reporting"}),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call.

    ``recorded_samples`` counts 16-bit samples at 8 kHz in all its recordings; ``hangup_cause`` is
    the one of the calling channel; ``variables`` are its variables at the end; ``cdr`` is the row
    that cdr_custom wrote.
    """

    carrier_invited: bool
    connected: bool
    heard: tuple[Heard, ...]
    recorded_samples: int
    recordings: tuple[Path, ...]
    hangup_cause: int
    variables: Mapping[str, str]
    cdr: Mapping[str, str]
    notes: tuple[Note, ...]


class Call:
    """One call; made by ``Pbx.outbound`` and ``Pbx.inbound``."""

    def __init__(self, pbx: "Pbx", channel: Channel, *, outbound: bool) -> None:
        self.pbx = pbx
        self.channel = channel
        self.outbound = outbound
        self._asterisk = pbx.asterisk

    # --- who is who ---------------------------------------------------------------------------

    @property
    def called(self) -> Channel | None:
        """The channel that was dialled, once it was."""
        for invite in self._asterisk.invites:
            if invite.channel.linkedid == self.channel.linkedid:
                return invite.channel
        return None

    def side(self, side: Side) -> Channel:
        """The agent's or the party's channel; AssertionError when there is none yet."""
        calling: Side = "agent" if self.outbound else "party"
        channel = self.channel if side == calling else self.called
        if channel is None:
            raise AssertionError(f"the {side} is not there yet\n{self._asterisk.story()}")
        return channel

    def leg(self, side: Side) -> Leg:
        """Whoever is on that side, as a person of their own."""
        return Leg(self.pbx, self.side(side))

    def _mine(self, kind: str) -> list[Note]:
        names = {self.channel.name, self.called.name if self.called is not None else ""}
        return [
            note for note in self._asterisk.notes if note.kind == kind and note.channel in names
        ]

    @property
    def gone(self) -> bool:
        """True when the calling channel has ended."""
        return self.channel not in self._asterisk.channels

    # --- the gate -----------------------------------------------------------------------------

    async def expect_verdict(self, verdict: str, within: float = 10.0) -> None:
        """Wait until the gate has spoken, and compare; ``""`` is no verdict at all."""

        def spoken() -> bool:
            return bool(self._mine("agi_ended") or self._mine("agi_failed")) or self.gone

        await self._asterisk.until(spoken, "verdict", within)
        found = self.channel.variables.get("CALLGUARD_VERDICT") or ""
        assert found == verdict, f"verdict {found!r}, not {verdict!r}\n{self._asterisk.story()}"

    # --- the far end --------------------------------------------------------------------------

    async def is_dialled(self, within: float = 10.0) -> Channel:
        """Wait until the carrier (or the agent's phone) sees the call."""
        await self._asterisk.until(lambda: self.called is not None, "invite", within)
        called = self.called
        assert called is not None
        return called

    async def carrier_answers(self, after: float = 1.0) -> None:
        """The dialled side rings and, after so many seconds, is picked up."""
        called = await self.is_dialled()
        self._asterisk.remote(called, "ringing")
        await asyncio.sleep(after)
        self._asterisk.remote(called, "answer")

    agent_answers = carrier_answers

    async def carrier_refuses(self, how: Literal["busy", "congestion", "unavailable"]) -> None:
        """The dialled side does not take the call."""
        self._asterisk.remote(await self.is_dialled(), how)

    # --- what is heard and pressed ------------------------------------------------------------

    async def hears(
        self, prompt: str, *, side: Side = "party", seconds: float = 0.0, within: float = 30.0
    ) -> None:
        """Wait until a prompt plays to a side, and let it play on for so many seconds."""
        count = len(self._heard(prompt))

        def begun() -> bool:
            return len(self._playing(prompt, side)) > count

        await self._asterisk.until(begun, f"{prompt} on the {side}'s channel", within)
        await asyncio.sleep(seconds)
        assert not self._heard(prompt)[count:], f"{prompt} ended early\n{self._asterisk.story()}"

    async def hears_all(self, prompt: str, *, side: Side = "party", within: float = 120.0) -> None:
        """Wait until a prompt has been played to its end."""
        await self.hears(prompt, side=side)
        count = len(self._heard(prompt))
        await self._asterisk.until(
            lambda: len(self._heard(prompt)) > count, f"end of {prompt}", within
        )
        assert self._heard(prompt)[-1].whole, f"{prompt} was cut short\n{self._asterisk.story()}"

    def _playing(self, prompt: str, side: Side) -> list[Note]:
        with suppress(AssertionError):
            name = self.side(side).name
            notes = self._mine("prompt")
            return [note for note in notes if note.channel == name and note.detail == prompt]
        return []

    def _heard(self, prompt: str) -> list[Heard]:
        return [each for each in self.heard if each.prompt == prompt]

    @property
    def heard(self) -> tuple[Heard, ...]:
        """The prompts that ended on either channel so far."""
        names = {self.channel.name, self.called.name if self.called is not None else ""}
        return tuple(each for each in self._asterisk.media.heard if each.channel in names)

    async def presses(self, keys: str, *, by: Side = "party") -> None:
        """Press keys; in a conversation a feature code acts if the channel may use it."""
        channel = self.side(by)
        feature = self.pbx.features.find(channel, keys) if channel.bridge is not None else None
        for key in keys:
            self._asterisk.media.press(channel, key)
            await asyncio.sleep(0.1)
        if feature is not None:
            done = len(self._mine("feature_ended"))
            self._asterisk.feature(channel, feature.target)
            await self._asterisk.until(
                lambda: len(self._mine("feature_ended")) > done or self.gone, feature.name, 30.0
            )

    # --- the conversation ---------------------------------------------------------------------

    async def is_connected(self, within: float = 60.0) -> None:
        """Wait until both sides hear each other."""
        await self._asterisk.until(lambda: len(self._mine("bridged")) >= 2, "bridge", within)

    async def talk(self, seconds: float) -> None:
        """Both sides talk, from when they are connected."""
        await self.is_connected()
        await asyncio.sleep(seconds)
        self._asterisk.raise_failure()

    async def holds(self, side: Side) -> None:
        """A side puts the other on hold: it sends nothing until ``unholds``."""
        await self.leg(side).holds()

    async def unholds(self, side: Side) -> None:
        """A side takes the other back from hold."""
        await self.leg(side).unholds()

    async def blind_transfer(
        self,
        by: Side,
        *,
        to: str,
        context: str = "from-agents",
        way: Literal["refer", "code"] = "refer",
    ) -> Leg:
        """A side passes the other on to an extension, unannounced; the leg that goes there.
        ``pbx.leg(to)`` is whoever is dialled then."""
        return await self.leg(by).blind_transfer(to, context=context, by=way)

    def falls_silent(self, side: Side) -> None:
        """A side stops talking: its tone leaves the recording."""
        self.side(side).speaking = False
        self._asterisk.media.follow_sound()

    def speaks(self, side: Side) -> None:
        """A side talks again."""
        self.side(side).speaking = True
        self._asterisk.media.follow_sound()

    async def hangs_up(self, side: Side, cause: int = 16) -> None:
        """A side hangs up."""
        self.side(side).hang_up(cause)
        self._asterisk.changed()
        await asyncio.sleep(0)

    def at_command(self, number: int, do: Callable[[Channel], None]) -> None:
        """Do something just before the call's AGI command of this number (from 1) is run,
        counted over all its AGI sessions: hang up, kill the service, drop AMI."""
        seen = 0

        def hook(channel: Channel, _: int, __: str) -> None:
            nonlocal seen
            if channel.linkedid == self.channel.linkedid:
                seen += 1
                if seen == number:
                    do(channel)

        self._asterisk.on_before_command.append(hook)

    # --- the end ------------------------------------------------------------------------------

    @property
    def recorders(self) -> list[Recorder]:
        """Every MixMonitor that was started on this call."""
        linked = self.channel.linkedid
        return [each for each in self._asterisk.media.recorders if each.channel.linkedid == linked]

    async def ended(self, within: float = 300.0) -> Outcome:
        """Wait until both channels are gone and the call record is written."""

        def over() -> bool:
            linked = self.channel.linkedid
            return not any(channel.linkedid == linked for channel in self._asterisk.channels)

        await self._asterisk.until(over, "end of the call", within)
        self.pbx.raise_failure()
        carrier = self.outbound and self.called is not None
        return Outcome(
            carrier_invited=carrier,
            connected=len(self._mine("bridged")) >= 2,
            heard=self.heard,
            recorded_samples=sum(each.samples for each in self.recorders),
            recordings=tuple(each.path for each in self.recorders if each.writes),
            hangup_cause=self.channel.cause,
            variables=self.channel.variables.snapshot(),
            cdr=self._asterisk.rows[self.channel.uniqueid],
            notes=tuple(self._asterisk.notes),
        )


class Pbx:
    """The simulated Asterisk with the real dialplan, its manager, and the network to callguard.

    ``serve_agi`` is callguard's ``AgiServer.serve_connection``; ``network.ami_connect`` is the
    connector for its AMI session. With ``keeps_lease`` the harness writes CALLGUARD_ALIVE itself
    while the network is up, for tests without AMI. ``folder`` gets ``spool/`` and
    ``cdr-custom/callguard.csv``.
    """

    def __init__(
        self,
        serve_agi: Serve,
        *,
        folder: Path,
        prompts: Mapping[str, int] | None = None,
        folders: Mapping[str, Path] | None = None,
        accounts: Sequence[Account] = (ACCOUNT,),
        keeps_lease: bool = False,
        conf: Path = CONF,
        operator: Path = OPERATOR,
    ) -> None:
        clock = current_clock()
        self.clock = clock
        self.manager = SimulatedManager(clock, accounts)
        self.network = Network(serve_agi, self.manager)
        self.features = Features(conf / "features_callguard.conf")
        mapping = read_section(conf / "cdr_custom_callguard.conf", "mappings")["callguard.csv"]
        self.spool = folder / "spool"
        self.cdr_file = folder / "cdr-custom" / "callguard.csv"
        self.asterisk = SimulatedAsterisk(
            load(conf / "extensions_callguard.conf", operator),
            clock=clock,
            agi_connect=self.network.agi_connect,
            prompts=prompts,
            folders={SPOOL: self.spool, **(folders or {})},
            announce=self.manager,
            cdr_file=self.cdr_file,
            cdr_mapping=mapping,
            cdr_mappings=read_section(conf / "cdr_manager_callguard.conf", "mappings"),
        )
        self.manager.pbx = self.asterisk
        self._keeps_lease = keeps_lease
        self._lease: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._keeps_lease:
            self._write_lease()
            self._lease = asyncio.create_task(self._keep_lease())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            self._lease.cancel()
        await self.asterisk.close()
        await self.network.close()
        if error is None:
            self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what a dialplan or a served connection died of, if any did."""
        self.asterisk.raise_failure()
        if self.network.failures:
            raise self.network.failures[0]

    def _write_lease(self) -> None:
        self.asterisk.globals["CALLGUARD_ALIVE"] = str(self.asterisk.epoch())

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.network.state == "up":
                self._write_lease()

    def outbound(
        self,
        number: str,
        *,
        tenant: str = "",
        purpose: str = "",
        campaign: str = "",
        agent: str = "PJSIP/agent1",
        debt: str = "",
        dialler: str = "",
        accountcode: str = "",
        language: str = "en",
    ) -> Call:
        """The agent dials a number."""
        arguments = {
            "TENANT": tenant,
            "PURPOSE": purpose,
            "CAMPAIGN": campaign,
            "AGENT": agent,
            "DEBT": debt,
            "DIALLER": dialler,
        }
        channel = self._arrive(agent, "from-agents", number, agent.partition("/")[2], arguments)
        channel.accountcode, channel.language = accountcode, language
        self.asterisk.start(channel)
        return Call(self, channel, outbound=True)

    def inbound(
        self,
        caller: str,
        *,
        did: str,
        tenant: str = "",
        agent: str = "agent1",
        language: str = "en",
        context: str = "from-carrier",
    ) -> Call:
        """A caller reaches one of the operator's numbers."""
        arguments = {"TENANT": tenant, "AGENT": agent}
        channel = self._arrive("PJSIP/carrier", context, did, caller, arguments)
        channel.language = language
        self.asterisk.start(channel)
        return Call(self, channel, outbound=False)

    def dials(self, endpoint: str, exten: str, *, context: str = "inside") -> Leg:
        """A phone (or the trunk, ``carrier``) calls an extension of a context: a conference, a
        parking place, a way out; the leg of its own channel."""
        channel = self._arrive(f"PJSIP/{endpoint}", context, exten, endpoint, {})
        self.asterisk.start(channel)
        return Leg(self, channel)

    async def leg(self, number: str, within: float = 10.0) -> Leg:
        """Wait until that number is dialled, by whomever; the latest leg that goes there."""

        def dialled() -> list[Channel]:
            living = self.asterisk.channels
            return [
                i.channel
                for i in self.asterisk.invites
                if number in {i.number, i.endpoint} and i.channel in living
            ]

        await self.asterisk.until(lambda: bool(dialled()), f"invite to {number}", within)
        return Leg(self, dialled()[-1])

    def heard(self, recording: Recorder) -> list[Audible]:
        """Who was heard in a recording, from when to when."""
        return recording.heard

    def records(self, leg: Leg, *, bridged_only: bool = True) -> Recorder:
        """Somebody who asked nobody, over AMI or at the console, starts a recording on a leg."""
        file = f"/var/spool/asterisk/monitor/{len(self.asterisk.media.recorders)}.wav"
        self.asterisk.media.start_recording(leg.channel, file, bridged_only=bridged_only)
        return self.asterisk.media.recorders[-1]

    async def calls_back(self, number: str, within: float = 60.0) -> Call:
        """Wait until callguard originates a call to that number; the person there is the party."""
        asterisk = self.asterisk

        def invited() -> list[Channel]:
            return [i.channel for i in asterisk.invites if i.number == number]

        before = len(invited())
        await asterisk.until(lambda: len(invited()) > before, f"call back to {number}", within)
        return Call(self, invited()[-1], outbound=False)

    def _arrive(
        self, endpoint: str, context: str, exten: str, caller: str, arguments: Mapping[str, str]
    ) -> Channel:
        channel = self.asterisk.new_channel(endpoint, context, exten)
        channel.caller_number, channel.dialled_number = caller, exten
        for name, value in arguments.items():
            # Inherited, as an operator does whose calls are passed on.
            channel.variables.set(f"__{name}", value)
        return channel
