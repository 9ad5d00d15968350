"""A dialogue that breaks off before any of its steps: whatever came of it, nothing is recorded
without a yes that is kept."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from callguard.storage.schema import consents, recordings
from tests.gate.asked import chooses, path
from tests.harness.channels import Channel
from tests.harness.playbook import Call
from tests.harness.virtual import virtual_time
from tests.house import DID, House, house

STEPS = 14
"""More AGI commands than a call with a question, an answer and a recording takes."""


async def answers_yes(home: House, call: Call, *, outbound: bool) -> None:
    """The party does what it can to say yes, and the agent to talk."""
    with suppress(AssertionError):
        if outbound:
            await call.carrier_answers()
        await call.hears_all(path(home, "ask"), within=10)
        await asyncio.sleep(1)
        await call.presses("1")
    with suppress(AssertionError):
        if not outbound and not call.gone:
            await call.agent_answers()
        await call.is_connected(within=10)
        await asyncio.sleep(1)


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_a_call_that_breaks_off_before_any_command_is_recorded_only_after_a_yes(
    tmp_path: Path, outbound: bool
) -> None:
    @virtual_time
    async def all_of_them() -> None:
        recorded = []
        async with house(tmp_path) as home:
            await chooses(home, recording_mode="ask", ask_repeats=0)

            def dies(_: Channel) -> None:
                home.pbx.network.kill_agi()

            def leaves(channel: Channel) -> None:
                channel.hang_up()

            fates: tuple[Callable[[Channel], None], ...] = (dies, leaves)
            for number in range(1, STEPS + 1):
                for fate in fates:
                    before = {row["id"] for row in home.rows(consents)}
                    called = f"+442079460{number:02d}{fates.index(fate)}"
                    if outbound:
                        call = home.pbx.outbound(called, tenant="acme", purpose="service")
                    else:
                        call = home.pbx.inbound(called, did=DID)
                    call.at_command(number, fate)
                    await answers_yes(home, call, outbound=outbound)
                    if not call.gone:
                        call.channel.hang_up()
                        home.pbx.asterisk.changed()
                    outcome = await call.ended()
                    states = [r["state"] for r in home.rows(consents) if r["id"] not in before]
                    yes = states == ["granted"]
                    assert len(states) <= 1, (number, fate)
                    assert yes or not outcome.recordings, (number, fate)
                    recorded.append(outcome.recorded_samples > 0)
            began = len(home.rows(recordings))
        # The last ones come too late to break anything off.
        assert recorded[-2:] == [True, True]
        assert False in recorded
        assert began >= sum(recorded)

    all_of_them()
