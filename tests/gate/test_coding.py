"""Two channels are recorded only where Asterisk is known not to spoil them."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from callguard.agi.environment import AgiEnvironment
from callguard.agi.session import AgiSession
from callguard.gate.coding import Coding, choose_coding
from callguard.tenants.tenant import Tenant, TenantSettings

SPOILS, MIXES = "22.10.1+dfsg+~cs6.17.60671434-1", "22.11.0"
NATIVE, READ, WRITTEN = (f"CHANNEL(audio{way}format)" for way in ("native", "read", "write"))
NARROW = {NATIVE: "(ulaw|alaw)", READ: "slin", WRITTEN: "ulaw"}


@dataclass
class Channel:
    """What a channel answers, and what it was asked."""

    values: dict[str, str]
    version: str
    asked: list[str] = field(default_factory=list)

    @property
    def env(self) -> AgiEnvironment:
        return AgiEnvironment({"agi_version": self.version}, "answered", {})

    async def get_variable(self, name: str) -> str | None:
        self.asked.append(name)
        return self.values.get(name)


async def chosen(channel: Channel, wished: str = "pcm-8000-2", *, outbound: bool = True) -> Coding:
    settings = TenantSettings.model_validate({"recording_format": wished})
    tenant = Tenant("acme", "Acme", settings, (), {})
    return await choose_coding(cast(AgiSession, channel), tenant, outbound=outbound)


async def test_two_channels_are_recorded_where_everybody_speaks_in_a_narrow_band() -> None:
    assert await chosen(Channel(NARROW, SPOILS)) == Coding("pcm-8000-2")


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        (NATIVE, "(g722)"),
        (NATIVE, "(ulaw|slin16)"),
        (NATIVE, "(opus)"),
        (READ, "slin16"),
        (WRITTEN, "slin48"),
        (NATIVE, ""),
        (NATIVE, "()"),
    ],
)
async def test_one_is_where_either_side_may_speak_in_a_wide_one(name: str, spoken: str) -> None:
    coding = await chosen(Channel({**NARROW, name: spoken}, SPOILS))

    assert coding.name == "pcm-8000-1"
    assert coding.instead is not None
    assert SPOILS in coding.instead
    assert (spoken or "nobody knows what") in coding.instead


async def test_one_is_where_nobody_knows_yet_who_will_join() -> None:
    channel = Channel(NARROW, SPOILS)

    assert (await chosen(channel, outbound=False)).name == "pcm-8000-1"
    assert channel.asked == []


@pytest.mark.parametrize("outbound", [True, False])
async def test_an_asterisk_that_mixes_rates_is_not_asked(outbound: bool) -> None:
    channel = Channel({NATIVE: "(opus)"}, MIXES)

    assert await chosen(channel, outbound=outbound) == Coding("pcm-8000-2")
    assert channel.asked == []


@pytest.mark.parametrize("wished", ["pcm-8000-1", "pcm-16000-1", "ulaw-8000-1"])
async def test_nobody_is_asked_about_one_channel(wished: str) -> None:
    channel = Channel({}, SPOILS)

    assert await chosen(channel, wished) == Coding(wished)
    assert channel.asked == []
