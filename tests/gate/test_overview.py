"""What the page is told of a call while it is under way, and after."""

from pathlib import Path

from tests.harness.virtual import virtual_time
from tests.house import NOTICE, PARTY, house


@virtual_time
async def test_a_live_call_is_told_masked_and_gone_when_it_ends(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        idle = await home.service.overview.status()
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        busy = await home.service.overview.status()
        # As where its first channel passed the conversation on and is gone.
        home.service.gate.calls.end("asterisk", call.channel.uniqueid)
        still = await home.service.overview.live_calls()
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        after = await home.service.overview.status()
    (pbx,) = idle.pbxs
    assert (pbx.ami, pbx.reason) == ("up", "")
    assert idle.ready
    assert idle.calls == ()
    (live,) = busy.calls
    assert (live.tenant, live.purpose, live.recording) == ("acme", "service", "recorded")
    assert live.subject == "+44********23"
    assert still == busy.calls
    assert busy.recordings_in_progress == 1
    assert after.calls == ()
    assert (after.sealed_total, after.sealing_backlog) == (1, 0)
    assert [verdict.decision for verdict in after.verdicts] == ["allow"]
    assert PARTY not in repr(after)
