"""Calls whose party is told of the recording: what they do, step by step, and what is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from callguard.storage.schema import consents
from callguard.tenants.store import change_settings
from tests.harness.playbook import Call, Outcome
from tests.harness.virtual import current_clock
from tests.house import DID, NOTICE_S, PROMPTS, House

Step = Callable[[House, Call], Awaitable[None]]

RATE = 8000
WHOLE_MS = NOTICE_S * 1000
FOLLOWED_S = 1.5
"""A little more than a second, after which the service knows of a tenant's new settings."""


def said(prompt: str, language: str = "en") -> str:
    """A prompt as Asterisk plays it, but for its version."""
    return f"{PROMPTS}/{language}/{prompt}"


def in_words(sound: str) -> str:
    """The same without folder and version: ``en/notice``."""
    return sound.removeprefix(f"{PROMPTS}/").rpartition("-")[0]


def hears(prompt: str, seconds: float = float(NOTICE_S)) -> Step:
    """The party hears so much of a prompt, or all of it."""

    async def step(home: House, call: Call) -> None:
        sound = path(home, prompt)
        if seconds >= NOTICE_S:
            await call.hears_all(sound)
        else:
            await call.hears(sound, seconds=seconds)

    return step


def path(home: House, prompt: str) -> str:
    """A prompt of the house, with its version, as Asterisk plays it."""
    language, _, name = prompt.rpartition("/")
    version = max(
        p.version
        for p in home.service.gate.prompts.all()
        if (p.name, p.language) == (name, language or "en")
    )
    return f"{PROMPTS}/{language or 'en'}/{name}-{version}"


def presses(key: str, *, after: float = 0.0) -> Step:
    """The party presses a key, so many seconds later."""

    async def step(_: House, call: Call) -> None:
        await asyncio.sleep(after)
        await call.presses(key)

    return step


def waits(seconds: float) -> Step:
    async def step(_: House, __: Call) -> None:
        await asyncio.sleep(seconds)

    return step


async def hangs_up(_: House, call: Call) -> None:
    await call.hangs_up("party")


async def agi_dies(home: House, _: Call) -> None:
    home.pbx.network.kill_agi()


async def loses_ami(home: House, _: Call) -> None:
    home.pbx.network.drop_ami()


async def holds(_: House, call: Call) -> None:
    await call.holds("party")


async def unholds(_: House, call: Call) -> None:
    await call.unholds("party")


@dataclass(frozen=True, slots=True)
class Play:
    """One call: the tenant's settings, what the party does, and what comes of it.

    ``heard`` are the prompts in order, ``heard_ms`` how much of the last one of the dialogue.
    ``ends`` is whether the gate ends the call, ``gone`` whether the party hung up meanwhile.
    """

    name: str
    wish: dict[str, object]
    steps: tuple[Step, ...]
    state: str | None
    heard: tuple[str, ...] = ()
    answer: str | None = None
    asked: int = 1
    heard_ms: int = WHOLE_MS
    ends: bool = False
    gone: bool = False
    more: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one."""

    outcome: Outcome
    rows: list[dict[str, Any]]
    heard: tuple[str, ...]
    after: str
    told: bool
    """Whether the gate knew, before the conversation, that the party may be recorded."""


async def chooses(home: House, **settings: object) -> None:
    """The tenant has these settings and no others of its own; the service knows of it."""
    default = {"purpose": "service"}
    with home.service.database.writing() as connection:
        change_settings(
            connection,
            "acme",
            {**PLAIN, **default, **settings},
            at=current_clock().now(),
            actor="test",
        )
    await asyncio.sleep(FOLLOWED_S)


PLAIN: dict[str, object] = {
    "record": True,
    "recording_mode": "notice",
    "on_refusal": "connect",
    "on_opt_out": "end",
    "accept_digit": "1",
    "refuse_digit": "2",
    "opt_out_digit": "9",
    "ask_repeats": 1,
    "answer_s": 5,
    "late_s": 1.5,
    "barge_in": False,
    "remember_days": 0,
    "language": "en",
    "languages": (),
    "beep_s": 15,
}


async def play(home: House, played: Play, number: str, *, outbound: bool) -> Played:
    """Plays a call to its end, and finds what is kept of it alone."""
    await chooses(home, **played.wish)
    before = {row["id"] for row in home.rows(consents)}
    if outbound:
        call = home.pbx.outbound(number, tenant="acme", purpose="service")
        await call.carrier_answers()
    else:
        call = home.pbx.inbound(number, did=DID)
    for step in played.steps:
        await step(home, call)
    told = False
    if not played.ends and not played.gone:
        if not outbound:
            await call.agent_answers()
        await call.is_connected()
        party = call.side("party")
        known = home.service.gate.told.of("asterisk", party.uniqueid)
        told = known is not None and known.may_be_recorded
        await call.talk(seconds=1)
        await call.hangs_up("party")
    party_channel = call.side("party")
    outcome = await call.ended()
    rows = [row for row in home.rows(consents) if row["id"] not in before]
    return Played(
        outcome,
        [row for row in rows if row["call_id"] is not None],
        tuple(in_words(heard.prompt) for heard in outcome.heard),
        party_channel.variables.get("CALLGUARD_AFTER") or "",
        told,
    )
