"""Calls to the opt-out line of a furnished house, and calls back from it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from callguard.config import Settings
from callguard.storage.schema import opt_out_claims, opt_outs
from tests.harness.playbook import ACCOUNT, Call, Pbx
from tests.house import PROMPTS, House, furnish, serving, simulated_pbx

LINE = "+442079460900"
WITHHELD = "anonymous"
OTHER = "+442079460777"
TYPED = "02079460777"
"""The same as it is dialled at home."""
CHANNEL = "PJSIP/{number}@carrier"
LINGERING_S = 4.5
"""A little more than the line waits for a key."""


def said(prompt: str, language: str = "en") -> str:
    """A prompt as Asterisk plays it."""
    return f"{PROMPTS}/{language}/{prompt}-1"


def prompts_heard(call: Call) -> list[str]:
    """What was played in a call, without its folder and version."""
    return [each.prompt.removeprefix(f"{PROMPTS}/").removesuffix("-1") for each in call.heard]


def furnish_line(folder: Path, *, channel: str | None = CHANNEL, **tenant: object) -> Settings:
    """A furnished house whose Asterisk can call back."""
    settings, _ = furnish(folder, **tenant)
    pbx = settings.asterisk[0].model_copy(update={"call_back": channel})
    return settings.model_copy(update={"asterisk": (pbx,)})


def pbx_of(folder: Path, *, may_originate: bool = True) -> Pbx:
    """Its Asterisk, whose manager account may originate calls, or may not."""
    pbx = simulated_pbx(folder)
    write = ACCOUNT.write | {"originate"} if may_originate else ACCOUNT.write
    pbx.manager.accounts = [replace(ACCOUNT, write=write)]
    return pbx


@asynccontextmanager
async def line_house(
    folder: Path,
    *,
    channel: str | None = CHANNEL,
    may_originate: bool = True,
    **tenant: object,
) -> AsyncIterator[House]:
    """A serving house with an opt-out line."""
    settings = furnish_line(folder, channel=channel, **tenant)
    pbx = pbx_of(folder, may_originate=may_originate)
    async with pbx, serving(settings, pbx) as service:
        yield House(service, pbx, folder, None)  # type: ignore[arg-type]  # no recording is opened


def calls_line(pbx: Pbx, caller: str, *, tenant: str = "acme") -> Call:
    """Somebody calls the opt-out line."""
    return pbx.inbound(caller, did=LINE, tenant=tenant, context="from-carrier-optout")


async def types_number(pbx: Pbx, number: str = TYPED, *, caller: str = WITHHELD) -> Call:
    """Somebody without a number types one, and confirms what is read back."""
    call = calls_line(pbx, caller)
    await call.hears(said("line-type"), seconds=1)
    await call.presses(f"{number}#")
    await call.hears(said("line-confirm"), seconds=1, within=90)
    await call.presses("1")
    await call.ended()
    return call


def wishes(home: House) -> list[dict[str, Any]]:
    return home.rows(opt_outs)


def claim_of(home: House) -> dict[str, Any]:
    return home.one(opt_out_claims)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Somebody else holds the database for writing."""
    other = sqlite3.connect(folder / "callguard.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()
