"""Giving a tenant's records that are there their date anew, from the command line."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection

from callguard.cli.surroundings import actor
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.gate.policy import Policy
from callguard.policy.packs import all_packs
from callguard.retention.rescheduling import Tally, reschedule
from callguard.storage.database import Database
from callguard.tenants.tenant import Tenant

T = TypeVar("T")


def redate(
    settings: Settings,
    database: Database,
    tenant: Tenant,
    data_class: str = "",
    *,
    dry: bool = False,
    shorten: bool = True,
) -> Mapping[str, Tally]:
    """Of one class, or of all; what that came to, by table. With ``dry`` it is only counted;
    where it is not to ``shorten``, no record goes sooner."""
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    counted = Policy(rule for pack in packs for rule in pack.rules).common.counts_until

    async def run(work: Callable[[Connection], T], /) -> T:
        with database.reading() if dry else database.writing() as connection:
            return work(connection)

    return asyncio.run(
        reschedule(
            run,
            tenant,
            [data_class] if data_class else None,
            SystemClock(),
            actor=actor(),
            counted=counted,
            dry=dry,
            shorten=shorten,
        )
    )
