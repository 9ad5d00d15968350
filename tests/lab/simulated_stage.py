"""The demo's calls on the simulated harness, for machines that can have no private Asterisk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from callguard.cli.surroundings import log_to_stderr
from callguard.contacts.store import change
from callguard.optout.events import OptOutEvent, add
from callguard.service import Service
from callguard.storage.database import Database
from tests.harness.playbook import Call, Outcome, Pbx
from tests.harness.virtual import current_clock, run_virtual
from tests.house import DID, NOTICE, PARTY, PROMPTS, furnish, serving, simulated_pbx
from tests.lab.people import at_night, at_noon, sold_to_at_noon
from tests.lab.report import CallReport, report
from tests.optout.registry.shelves import put

OPTED_OUT = "+442079460155"
ASLEEP = "+12025550156"
OFTEN_CALLED = "+13055550157"
"""Of Florida, where three sales calls a day are the most."""
LISTED = "+16145550158"
EMERGENCY = "999"
ASKED = "+493012345678"
"""In Germany, where nobody is recorded who did not agree."""
QUESTION = f"{PROMPTS}/en/ask-1"

Scene = Callable[[Pbx], Awaitable[tuple[str, Outcome]]]


class SimulatedStage:
    """The same calls, in virtual time; there is no page to look at."""

    how = "a simulated Asterisk"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reports: list[CallReport] = []

    def open(self) -> str:
        """No page: virtual time is over before one could be read."""
        log_to_stderr("error")
        return ""

    def close(self) -> None:
        """Nothing runs."""

    def calls(self) -> Iterator[CallReport]:
        """Play the calls, then tell them one by one."""
        run_virtual(self._play)
        yield from self._reports

    async def _play(self) -> None:
        settings, _ = furnish(self._folder, shown_number=DID)
        database = Database(settings.database_url)
        now = current_clock().now()
        wish = OptOutEvent(OPTED_OUT, "acme", True, "cli", "demo", now)
        with database.writing() as connection:
            add(connection, wish)
            change(connection, "acme", ASLEEP, lambda c: at_night(c, now), at=now)
            change(connection, "acme", OFTEN_CALLED, lambda c: sold_to_at_noon(c, now), at=now)
            change(connection, "acme", LISTED, lambda c: at_noon(c, now), at=now)
        put(settings.registry_folder, "us-dnc", [LISTED], covers=("+1614",), of=now.date())
        pbx = simulated_pbx(self._folder)
        async with pbx, serving(settings, pbx) as service:
            for name, scene in SCENES.items():
                for number in LEADING_UP.get(name, ()):
                    await _outbound(pbx, number, announced=True, purpose="marketing")
                started = current_clock().monotonic()
                number, outcome = await scene(pbx)
                seconds = current_clock().monotonic() - started
                if pbx.network.state == "frozen":
                    pbx.network.thaw()
                pbx.network.start()
                await _settled(service)
                record = (outcome.cdr["uniqueid"], int(outcome.cdr["sequence"]))
                with database.reading() as connection:
                    self._reports.append(
                        report(
                            connection,
                            name,
                            number=number,
                            connected=outcome.connected,
                            record=record,
                            seconds=seconds,
                        )
                    )
        database.close()


async def _settled(service: Service) -> None:
    await asyncio.sleep(5)
    while service.vault.recorder.in_progress():
        await asyncio.sleep(0.1)


async def _outbound(
    pbx: Pbx, number: str, *, announced: bool, purpose: str = ""
) -> tuple[str, Outcome]:
    call = pbx.outbound(number, tenant="acme", purpose=purpose)
    await call.carrier_answers()
    if announced:
        await call.hears_all(NOTICE)
    return number, await _talk(call)


async def _asked(pbx: Pbx) -> tuple[str, Outcome]:
    call = pbx.outbound(ASKED, tenant="acme")
    await call.carrier_answers()
    await call.hears_all(QUESTION)
    await asyncio.sleep(1)
    await call.presses("1")
    return ASKED, await _talk(call)


async def _blocked(pbx: Pbx, number: str, purpose: str = "") -> tuple[str, Outcome]:
    return number, await pbx.outbound(number, tenant="acme", purpose=purpose).ended()


async def _inbound(pbx: Pbx, *, announced: bool) -> tuple[str, Outcome]:
    call = pbx.inbound(PARTY, did=DID)
    if announced:
        await call.hears_all(NOTICE)
    await call.agent_answers()
    return PARTY, await _talk(call)


async def _hang_up_in_notice(pbx: Pbx) -> tuple[str, Outcome]:
    call = pbx.inbound(PARTY, did=DID)
    await call.hears(NOTICE, seconds=1.5)
    await call.hangs_up("party")
    return PARTY, await call.ended()


async def _talk(call: Call) -> Outcome:
    await call.is_connected()
    await call.talk(seconds=2)
    await call.hangs_up("party")
    return await call.ended()


async def _stopped(pbx: Pbx, scene: Scene) -> tuple[str, Outcome]:
    pbx.network.stop()
    return await scene(pbx)


async def _frozen(pbx: Pbx, scene: Scene) -> tuple[str, Outcome]:
    """Frozen for longer than the lease holds: the simulated service has no watchdog."""
    pbx.network.freeze()
    await asyncio.sleep(4)
    return await scene(pbx)


SCENES: dict[str, Scene] = {
    "outbound allowed": lambda pbx: _outbound(pbx, PARTY, announced=True),
    "outbound asked, and agreed": _asked,
    "outbound opted out": lambda pbx: _blocked(pbx, OPTED_OUT),
    "outbound outside hours": lambda pbx: _blocked(pbx, ASLEEP, "collection"),
    "outbound fourth in a day": lambda pbx: _blocked(pbx, OFTEN_CALLED, "marketing"),
    "outbound in the registry": lambda pbx: _blocked(pbx, LISTED, "marketing"),
    "outbound emergency": lambda pbx: _outbound(pbx, EMERGENCY, announced=False),
    "inbound notice": lambda pbx: _inbound(pbx, announced=True),
    "inbound hang-up in notice": _hang_up_in_notice,
    "outbound callguard stopped": lambda pbx: _stopped(pbx, lambda p: _blocked(p, PARTY)),
    "inbound callguard stopped": lambda pbx: _stopped(pbx, lambda p: _inbound(p, announced=False)),
    "outbound callguard frozen": lambda pbx: _frozen(pbx, lambda p: _blocked(p, PARTY)),
    "inbound callguard frozen": lambda pbx: _frozen(pbx, lambda p: _inbound(p, announced=False)),
}
LEADING_UP = {"outbound fourth in a day": [OFTEN_CALLED] * 3}
"""Who is called before a scene, of which the demo says nothing."""
