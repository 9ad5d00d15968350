"""A gate with a database and without a PBX, for what is asked by programs."""

from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Table, select

from callguard.consent.prompts import PromptLibrary
from callguard.gate.policy import Policy
from callguard.gate.preflight import PBX, Checked
from callguard.gate.request import Request
from callguard.gate.room import Gate, Recordings
from callguard.optout.image import OptOutImage
from callguard.policy.packs import parse_pack, shipped_packs
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory
from tests.clock import HandClock

PARTY = "+442079460123"
OTHER = "+442079460150"

CAP = """
title = "Test"
[[rule]]
id = "test.cap"
kind = "attempts"
title = "Three in a day"
citation = "Act, s. 1"
effective_from = 2020-01-01
cause = 38
settings = { limit = 3, window = "24h" }
"""

ABOUT = Request(
    direction="outbound",
    pbx=PBX,
    uniqueid="",
    channel="",
    number="",
    caller="+442079460999",
    tenant="acme",
    purpose="service",
    campaign="",
    agent="",
    account_code="",
)


def numbers(count: int) -> list[str]:
    """So many numbers, all of the range that Ofcom keeps for drama and of its neighbours."""
    return [f"+44207946{number:04}" for number in range(count)]


def whole(checked: Checked) -> Checked:
    return checked


def gate_on(database: Database, journal: Journal, clock: HandClock, *packs: str) -> Gate:
    """A gate that decides by the base pack and these."""
    tenants = TenantDirectory()
    with database.reading() as connection:
        tenants.refresh(connection)
    base = [rule for pack in shipped_packs() if pack.name == "base" for rule in pack.rules]
    own = [rule for text in packs for rule in parse_pack("test", text).rules]
    reads = GroupedReads(database)
    return Gate(
        clock=clock,
        database=database,
        journal=journal,
        tenants=tenants,
        opt_outs=OptOutImage(),
        policy=Policy([*base, *own]),
        attempts=LocalAttempts(reads, clock),
        reads=reads,
        prompts=PromptLibrary(),
        prompt_folders={},
        recordings=cast("Recordings", None),
        home_region="GB",
    )


def rows(gate: Gate, table: Table) -> list[dict[str, Any]]:
    """All rows of a table, oldest first."""
    with gate.database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def about(**changed: Any) -> Request:
    """What is asked of each number, but for what is said here."""
    return replace(ABOUT, **changed)
