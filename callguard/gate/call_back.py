"""Calls back to the numbers that were typed on the opt-out line, so that whoever answers there
can confirm the wish.

Such a call is one like any other: it is placed only when the gate would let the tenant call that
number, and it counts as an attempt. A claim that cannot be confirmed binds nobody; a week after
it was made, or after ``CALLS`` calls, it is given up.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.ami.calls import LiveCalls
from callguard.ami.errors import AmiError, AmiRefused
from callguard.ami.session import AmiSession
from callguard.ami.wire import LocalProtocolError
from callguard.gate.callbook import Call, withdraw
from callguard.gate.decide import Decision, decide, release, still_stands
from callguard.gate.hearing import ORIGINATED
from callguard.gate.line import settle_claim
from callguard.gate.request import Request
from callguard.gate.room import Gate
from callguard.ids import uuid7
from callguard.optout.claims import Claim, calls_placed, pending_claims
from callguard.policy.numbers import mask, parse_number
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)

LOOK_S = 2.0
"""How soon a claim is seen."""

HANG_UP_S = 5.0
"""So long after the claim its number is left alone: who typed it may still be on the telephone."""

WAIT_S = 60.0
"""When a call that could not be placed is tried again."""

RING_S = 30
CALLS = 3
AGAIN = timedelta(hours=4)
"""After a call that nobody answered."""

GIVEN_UP = timedelta(days=7)

CONTEXT = "callguard-call-back"


class Manager(Protocol):
    """An Asterisk that calls can be originated on, and its living channels."""

    @property
    def session(self) -> AmiSession: ...

    @property
    def live(self) -> LiveCalls: ...


class CallBack:
    """Places the calls. ``channels`` are the channels to originate, by Asterisk, with ``{number}``
    (E.164) or ``{digits}`` (the same without its plus) in them."""

    def __init__(
        self, gate: Gate, managers: Mapping[str, Manager], channels: Mapping[str, str | None]
    ) -> None:
        self._gate = gate
        self._managers = managers
        self._channels = channels
        self._not_before: dict[str, float] = {}
        self._placed: list[tuple[float, Call]] = []
        self._failing = False
        self.fault: str | None = None

    async def run(self) -> None:
        """Works for ever; what is pending at the start is taken up."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except (SQLAlchemyError, TimeoutError) as error:
                if not self._failing:
                    log.error("claims_cannot_be_read", reason=one_line(error))
                self._failing = True
            else:
                self._failing = False

    async def _look(self) -> None:
        self._forget_unbegun()
        claims = await self._gate.database.read(pending_claims)
        known = {claim.id for claim in claims}
        self._not_before = {i: at for i, at in self._not_before.items() if i in known}
        if not claims:
            self.fault = None
        for claim in claims:
            now = self._gate.clock.monotonic()
            if now < self._not_before.setdefault(claim.id, now + HANG_UP_S):
                continue
            self._not_before[claim.id] = now + WAIT_S
            await self._take_up(claim)

    async def _take_up(self, claim: Claim) -> None:
        gate, now = self._gate, self._gate.clock.now()
        if self._opted_out(claim):
            await settle_claim(gate, claim, "confirmed", "an opt-out of this number stands")
            return
        placed = await gate.database.read(partial(calls_placed, claim=claim))
        if placed and now - placed[-1] < AGAIN:
            return
        if len(placed) >= CALLS:
            await settle_claim(gate, claim, "expired", f"not answered in {len(placed)} calls")
        elif now - claim.at > GIVEN_UP:
            reason = f"could not be called back within {GIVEN_UP.days} days"
            await settle_claim(gate, claim, "expired", reason)
        elif gate.tenants.serving(claim.tenant) is None:
            await settle_claim(gate, claim, "expired", "its tenant is no more")
        else:
            await self._call(claim)

    def _forget_unbegun(self) -> None:
        """Of a call that gets no channel at all, nobody ever tells that it ended."""
        now = self._gate.clock.monotonic()
        while self._placed and now - self._placed[0][0] > RING_S:
            _, call = self._placed.pop(0)
            if call.uniqueid not in self._managers[call.pbx].live.channels:
                self._gate.calls.end(call.pbx, call.uniqueid)

    def _opted_out(self, claim: Claim) -> bool:
        wishes = self._gate.opt_outs.of(claim.subject, claim.tenant)
        return any(not wish.purposes and not wish.channels for wish in wishes)

    async def _call(self, claim: Claim) -> None:
        gate = self._gate
        channel, manager = self._channels.get(claim.pbx), self._managers.get(claim.pbx)
        if channel is None or manager is None:
            self._failed(f"{claim.pbx}: no call_back in its settings")
            return
        if manager.session.state != "up":
            return  # an alarm of its own
        decision = await decide(gate, _request(claim, f"{ORIGINATED}{uuid7(gate.clock.now())}"))
        if not decision.verdict.allowed:
            return  # at another hour, perhaps; no row for every time it is looked at
        if not await self._keep(decision):
            return
        gate.calls.add(decision.call)
        gate.counts.verdict("outbound", "allow")
        self._placed.append((gate.clock.monotonic(), decision.call))
        try:
            await self._originate(manager.session, channel, claim, decision)
        except (AmiRefused, LocalProtocolError) as error:
            self._take_back(decision)
            gate.calls.end(decision.call.pbx, decision.call.uniqueid)
            self._failed(f"{claim.pbx}: {error}")
        except AmiError as error:  # whether it was placed is unknown, so it counts
            log.warning("call_back_unknown", claim=claim.id, reason=str(error))
        else:
            self.fault = None
            log.info("called_back", claim=claim.id, call=decision.call.id,
                     subject=mask(claim.subject))  # fmt: skip

    async def _originate(
        self, session: AmiSession, channel: str, claim: Claim, decision: Decision
    ) -> None:
        digits = claim.subject.removeprefix("+")
        call = decision.call
        await session.action(
            "Originate",
            ("Channel", channel.replace("{number}", claim.subject).replace("{digits}", digits)),
            ("Context", CONTEXT),
            ("Exten", "s"),
            ("Priority", "1"),
            ("CallerID", self._shown(claim)),
            ("Timeout", str(RING_S * 1000)),
            ("Async", "true"),
            ("ChannelId", call.uniqueid),
            ("Variable", f"CALLGUARD_CALL={call.id}"),
            ("Variable", f"CALLGUARD_CLAIM={claim.id}"),
            ("Variable", f"CDR(userfield)={call.id}"),
        )

    def _shown(self, claim: Claim) -> str:
        tenant = self._gate.tenants.get(claim.tenant)
        if tenant is None:
            return ""
        shown = parse_number(tenant.settings.shown_number, tenant.settings.home_region)
        return shown.e164 or ""

    async def _keep(self, decision: Decision) -> bool:
        gate = self._gate
        try:
            await gate.journal.insert(*decision.rows, timeout=gate.durable_s)
        except NotDurableError as error:
            gate.counts.not_durable += 1
            log.error("verdict_not_durable", call=decision.call.id, reason=str(error))
        else:
            if still_stands(gate, decision):
                return True
        self._take_back(decision)
        return False

    def _take_back(self, decision: Decision) -> None:
        """The call is not placed after all, and is no attempt."""
        release(self._gate, decision)
        self._gate.journal.post(work=partial(withdraw, call=decision.call))

    def _failed(self, reason: str) -> None:
        if self.fault != reason:
            log.error("call_back_not_placed", reason=reason)
        self.fault = reason


def _request(claim: Claim, uniqueid: str) -> Request:
    return Request(
        direction="outbound",
        pbx=claim.pbx,
        uniqueid=uniqueid,
        channel="",
        number=claim.subject,
        caller="",
        tenant=claim.tenant,
        purpose="service",
        campaign=claim.campaign,
        agent="",
        account_code="",
    )
