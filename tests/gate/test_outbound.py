"""Outbound calls, from the agent's dialling to the sealed recording."""

from pathlib import Path

from callguard.recording import age
from callguard.recording.payload import open_stream
from callguard.storage.schema import call_records, calls, consents, recordings
from tests.harness.recorder import tones
from tests.harness.virtual import virtual_time
from tests.house import NOTICE_S, PARTY, house

WAV_HEADER = 44


@virtual_time
async def test_an_allowed_call_is_announced_recorded_sealed_and_written_down(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.expect_verdict("allow")
        await call.carrier_answers()
        await call.hears_all("/var/lib/callguard/prompts/en/notice-1")
        await call.talk(seconds=4)
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        (row,) = home.rows(calls)
        (consent,) = home.rows(consents)
        (recording,) = home.rows(recordings)
        spooled = home.spooled()
        payload = home.service.sealer._store.read(recording["payload"])
        (record,) = home.rows(call_records)
    assert outcome.connected
    assert row["verdict"] == "allow"
    assert row["subject"] == PARTY
    assert consent["state"] == "granted"
    assert (consent["heard_ms"], consent["length_ms"]) == (NOTICE_S * 1000, NOTICE_S * 1000)
    assert consent["prompt"].startswith("notice v1 en sha256:")
    assert recording["state"] == "sealed"
    assert recording["wrapped_file_key"] is None
    assert spooled == []
    file_key = age.unwrap(age.parse_header(recording["header"]), [home.identity])
    audio = b"".join(open_stream([payload], file_key))[WAV_HEADER:]
    assert len(audio) == 2 * outcome.recorded_samples == 2 * 8000 * 4
    assert tones(audio) == {"agent", "party"}
    assert record["call_id"] == row["id"] == consent["call_id"] == recording["call_id"]
    assert record["source"] == "file"
    assert record["tenant_id"] == "acme"
