"""The dialogue before a recording, as it is held on one channel: plays, listens and notes."""

from collections.abc import Awaitable
from dataclasses import dataclass, field

import structlog

from callguard.agi.link import ChannelDead, ConnectionLost
from callguard.agi.session import AgiSession
from callguard.agi.wire import AgiError
from callguard.consent.dialogue import (
    Dialogue,
    Event,
    Listen,
    Outcome,
    Tell,
    answered,
    step,
    told,
)
from callguard.consent.modes import Mode
from callguard.consent.notice import NOT_PLAYED, Played
from callguard.consent.prompts import RATE, Prompt
from callguard.consent.tenant_prompts import chosen_digits
from callguard.gate.callbook import Call
from callguard.gate.room import Gate
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

SLACK_S = 10.0
"""How much longer than its own length the playing of a prompt may take."""

HOLD_S = 20
"""Seconds of a dialogue in which whoever put us on hold is waited for: what is played meanwhile
nobody hears."""

_TELLS_OF_HOLDS = "PJSIP/"
"""Channels that know ``rtp,hold``; Asterisk warns in its log where others are asked."""

MACHINE = "MACHINE"
"""What AMD leaves in AMDSTATUS, where an operator's dialplan ran it."""


@dataclass(slots=True)
class Telling:
    """One dialogue, and what is to be kept of it.

    ``prompt`` is the last one that was to be played and ``played`` how that ended; ``asked`` is how
    often Asterisk was made to play one, ``answer`` what was pressed after the last time.
    ``failure`` is what broke the dialogue off, if anything did.
    """

    gate: Gate
    session: AgiSession
    call: Call
    tenant: Tenant
    language: str
    prompt: Prompt | None = None
    played: Played = NOT_PLAYED
    asked: int = 0
    answer: str | None = None
    failure: AgiError | None = None
    _waits: int = field(default=HOLD_S, init=False)

    async def hold(self, mode: Mode) -> Outcome:
        """Holds the dialogue of that mode to its end. What fails in it ends it, and is no yes."""
        dialogue = Dialogue(mode, self.tenant.settings)
        event = await self._guarded(self._begin(mode))
        while True:
            dialogue, action = step(dialogue, event)
            match action:
                case Tell():
                    event = await self._guarded(self._tell(action))
                case Listen():
                    event = await self._guarded(self._listen(action))
                case outcome:
                    return outcome

    async def say(self, name: str) -> None:
        """Plays what the person is to know; nothing where it is missing."""
        found = self._find(name)
        if found is not None:
            prompt, sound = found
            await self.session.stream_file(sound, timeout=prompt.samples / RATE + SLACK_S)

    async def _guarded(self, doing: Awaitable[Event]) -> Event:
        try:
            return await doing
        except AgiError as error:
            self.failure = error
            gone = isinstance(error, ChannelDead) and not isinstance(error, ConnectionLost)
            return Event.HUNG_UP if gone else Event.CUT

    async def _begin(self, mode: Mode) -> Event:
        outbound = self.call.direction == "outbound"
        if mode is Mode.NONE or not outbound:
            return Event.BEGUN
        if await self.session.get_variable("AMDSTATUS") != MACHINE:
            return Event.BEGUN
        log.info("machine_answered", call=self.call.id)
        return Event.MACHINE

    async def _tell(self, tell: Tell) -> Event:
        self.played, self.answer = NOT_PLAYED, None
        found = self._find(tell.prompt)
        if found is None:
            return Event.MISSING
        self.prompt, sound = found
        if self.call.direction == "inbound" and not self.asked:
            await self.session.answer()
        if (event := await self._wait_for_hold()) is not None:
            return event
        self.asked += 1
        since = self.gate.clock.monotonic()
        limit = self.prompt.samples / RATE + SLACK_S
        streamed = await self.session.stream_file(sound, tell.digits, timeout=limit)
        hung_up = streamed.hung_up or self.session.hung_up
        self.played = Played(streamed.endpos, streamed.digit, hung_up)
        self.answer = streamed.digit
        if streamed.hung_up and not streamed.endpos and await self._lives():
            # What Asterisk answers for a file that it has not.
            self.played = NOT_PLAYED
            self.gate.counts.fault("prompt_not_played")
            log.error("prompt_not_played", prompt=sound, pbx=self.call.pbx, call=self.call.id)
            return Event.MISSING
        settings = self.tenant.settings
        says_no = streamed.digit in (settings.refuse_digit, settings.opt_out_digit)
        held = not says_no and await self._held(since)  # nothing may come between a no and us
        event = told(settings, self.played, self.prompt.samples, held=held)
        if event in (Event.WHOLE, Event.ACCEPT) and not self.gate.prompts.is_whole(self.prompt):
            # Whatever they heard, it need not be what the evidence names.
            self.played = NOT_PLAYED
            self.gate.counts.fault("prompt_changed")
            log.error("prompt_changed", prompt=sound, pbx=self.call.pbx, call=self.call.id)
            return Event.MISSING
        return event

    async def _listen(self, listen: Listen) -> Event:
        since = self.gate.clock.monotonic()
        self.answer = await self.session.wait_for_digit(round(listen.seconds * 1000))
        held = self.answer is None and await self._held(since)
        settings, hung_up = self.tenant.settings, self.session.hung_up
        return answered(settings, self.answer, hung_up=hung_up, held=held)

    async def _wait_for_hold(self) -> Event | None:
        """Returns once nobody has us on hold; what ends the waiting where that is something else.
        A no counts meanwhile too."""
        while await self._held(self.gate.clock.monotonic()):
            if not self._waits:
                return Event.HELD
            self._waits -= 1
            digit = await self.session.wait_for_digit(1000)
            event = answered(self.tenant.settings, digit, hung_up=False, held=True)
            if event in (Event.REFUSE, Event.OPT_OUT):
                self.answer = digit
                return event
        return None

    async def _held(self, since: float) -> bool:
        """Whether they had us on hold at any time since then. Where the manager connection was lost
        meanwhile the channel is asked, which knows only how it is now: not otherwise, because a key
        that is pressed while it is asked is lost.

        ``CHANNEL(onhold)`` would be of whoever is held, not of who holds.
        """
        call, env = self.call, self.session.env
        held = self.gate.recordings.held_during(call.pbx, env.uniqueid, since)
        if held is not None:
            return held
        if not env.channel.startswith(_TELLS_OF_HOLDS):
            return False
        return await self.session.get_variable("CHANNEL(rtp,hold)") == "1"

    async def _lives(self) -> bool:
        """A hang-up is told before the reply to the next command."""
        await self.session.get_variable("CHANNEL(state)")
        return not self.session.hung_up

    def _find(self, name: str) -> tuple[Prompt, str] | None:
        """A prompt with its path; one that says other digits than the tenant's is none."""
        digits = chosen_digits(self.tenant.settings)
        prompt = self.gate.prompts.find(name, self.language, self.tenant.id, digits)
        if prompt is None:
            self.gate.counts.fault("prompt_missing")
            log.error(
                "prompt_missing",
                prompt=name,
                language=self.language,
                tenant=self.tenant.id,
                digits=str(digits),
                call=self.call.id,
            )
            return None
        sound = self.gate.sound(self.call.pbx, prompt)
        if sound is None:
            self.gate.counts.fault("unknown_pbx")
            log.error("unknown_pbx", pbx=self.call.pbx, call=self.call.id)
            return None
        return prompt, sound
