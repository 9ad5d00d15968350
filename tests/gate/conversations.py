"""A house at a trunk, and who was heard in its recordings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callguard.config import Settings
from callguard.storage.schema import recording_events
from tests.harness.legs import Leg
from tests.harness.playbook import Call
from tests.harness.recorder import Recorder
from tests.house import NOTICE, PARTY, House, furnish, serving, simulated_pbx

ELSE = "+442079460777"
"""Somebody else's number."""


def at_a_trunk(settings: Settings) -> Settings:
    """The world is behind ``PJSIP/carrier``: every other phone is the tenants' own."""
    trunked = tuple(
        pbx.model_copy(update={"trunks": ("PJSIP/carrier",)}) for pbx in settings.asterisk
    )
    return settings.model_copy(update={"asterisk": trunked})


@asynccontextmanager
async def trunk_house(folder: Path, **tenant: object) -> AsyncIterator[House]:
    settings, identity = furnish(folder, **tenant)
    pbx = simulated_pbx(folder)
    async with pbx, serving(at_a_trunk(settings), pbx) as service:
        yield House(service, pbx, folder, identity)


async def recorded_call(home: House, seconds: float = 1) -> Call:
    """An outbound call whose party heard the notice and is recorded."""
    call = home.pbx.outbound(PARTY, tenant="acme")
    await call.carrier_answers()
    await call.hears_all(NOTICE)
    await call.talk(seconds=seconds)
    return call


def heard_of(recorder: Recorder, leg: Leg, since: float = 0.0) -> float:
    """For how long, of the time since that instant, a leg was heard in a recording."""
    spans = [each for each in recorder.heard if each.uniqueid == leg.channel.uniqueid]
    return round(
        sum(each.until - max(each.since, since) for each in spans if each.until > since), 3
    )


async def events(home: House) -> list[tuple[str, str, str | None]]:
    """What became of the recordings so far: kind, by whom, why."""
    await home.service.journal.write(lambda _: None)
    rows: list[dict[str, Any]] = home.rows(recording_events)
    return [
        (r["kind"], r["by"], r["reason"]) for r in sorted(rows, key=lambda r: (r["at"], r["id"]))
    ]


def now() -> float:
    return asyncio.get_running_loop().time()
