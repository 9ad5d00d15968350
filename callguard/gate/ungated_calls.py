"""Calls that a trunk carries without a verdict: reported, and hung up where that is wished; never
one for help."""

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from callguard.ami.calls import Channel, Dialled
from callguard.config import Asterisk
from callguard.gate.pbx import Pbx, variable_of
from callguard.gate.room import Gate
from callguard.gate.ungated import diallers, may_be_emergency, placed_by
from callguard.ids import is_call_id

log = structlog.get_logger(__name__)

ACTION_S = 2.0
CALL_REJECTED = "21"


class UngatedCalls:
    """Looks at each call that is dialled on a trunk."""

    def __init__(self, gate: Gate, settings: Mapping[str, Asterisk]) -> None:
        self._gate = gate
        self._settings = settings
        self.found = 0

    async def check(self, pbx: Pbx, dialled: Dialled) -> None:
        """An outbound call on a trunk has a verdict, or is reported and, if so configured, hung up;
        one that may be for help is never hung up."""
        channel = pbx.live.channels.get(dialled.uniqueid)
        if channel is None or self._has_verdict(pbx, channel):
            return
        callers = diallers(channel, pbx.live)
        for caller in callers:
            if await variable_of(pbx, caller, "CALLGUARD_VERDICT") == "emergency":
                return
            if await self._recalls(pbx, caller):
                return
        self.found += 1
        self._gate.counts.fault("ungated_call")
        ends = self._settings[pbx.name].ungated == "hangup"
        if ends and await self._may_be_emergency(pbx, dialled, callers):
            ends = False
        log.warning("ungated_call", pbx=pbx.name, channel=channel.name, hung_up=ends)
        if ends:
            headers = (("Channel", channel.name), ("Cause", CALL_REJECTED))
            await pbx.session.action("Hangup", *headers, timeout=ACTION_S)

    def _has_verdict(self, pbx: Pbx, channel: Channel) -> bool:
        call_of = partial(self._gate.calls.of_channel, pbx.name)
        return placed_by(channel, pbx.live, call_of) is not None

    async def _recalls(self, pbx: Pbx, caller: Channel) -> bool:
        """Whether a channel got its verdict before callguard was started anew."""
        call_id = await variable_of(pbx, caller, "CALLGUARD_CALL")
        call = await self._gate.recall(call_id) if is_call_id(call_id) else None
        if call is None or (call.pbx, call.uniqueid) != (pbx.name, caller.uniqueid):
            return False
        return call.allowed and call.direction == "outbound"

    async def _may_be_emergency(
        self, pbx: Pbx, dialled: Dialled, callers: Sequence[Channel]
    ) -> bool:
        texts = [dialled.string]
        texts += [await variable_of(pbx, caller, "EXTEN") for caller in callers]
        regions = {t.settings.home_region for t in self._gate.tenants.all()}
        regions.add(self._gate.home_region)
        return any(may_be_emergency(text, region) for text in texts for region in regions)
