"""The figures as Prometheus reads them."""

from dataclasses import replace
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.web.conftest import Room
from tests.web.state import BUSY, DNC, EMPTY, LONDON, NOON, TROUBLED


async def scrape(room: Room) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = await room.text("/metrics")
    samples: list[Sample] = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}


async def test_the_figures_are_those_of_the_status(room: Room) -> None:
    room.source.now = TROUBLED
    seen = await scrape(room)
    assert seen["callguard_ready", ()] == 0
    assert seen["callguard_alarms", ()] == 2
    assert seen["callguard_pbx_ami_up", (("pbx", "leeds"),)] == 0
    assert seen["callguard_pbx_ami_up", (("pbx", "london"),)] == 1
    assert seen["callguard_pbx_lease_age_seconds", (("pbx", "leeds"),)] == 42
    assert seen["callguard_pbx_call_records_total", (("pbx", "london"),)] == 1841
    left_out = "callguard_pbx_call_records_not_entered_total"
    assert seen[left_out, (("pbx", "london"), ("why", "too old"))] == 7
    assert seen[left_out, (("pbx", "london"), ("why", "erased"))] == 3
    assert (
        seen["callguard_live_calls", (("direction", "outbound"), ("recording", "recorded"))]
        == seen["callguard_live_calls", (("direction", "inbound"), ("recording", "none"))]
        == 1
    )
    assert (
        seen["callguard_verdicts_total", (("decision", "block"), ("direction", "outbound"))] == 41
    )
    assert seen["callguard_notices_total", (("outcome", "incomplete"),)] == 12
    assert seen["callguard_faults_total", (("kind", "prompt_missing"),)] == 2
    assert seen["callguard_recordings_sealed_total", ()] == 1204
    assert seen["callguard_sealing_failures_total", ()] == 5
    assert seen["callguard_spool_has_room", ()] == 0
    assert seen["callguard_journal_failing", ()] == 1
    assert seen["callguard_sealing_behind", ()] == 2
    assert seen["callguard_store_has_room", ()] == 0
    assert seen["callguard_store_waiting_bytes", ()] == 17_400_000_000
    assert seen["callguard_deliveries_total", ()] == 40
    assert seen["callguard_delivery_failures_total", ()] == 6
    assert seen["callguard_deliveries_stuck", ()] == 3
    assert seen["callguard_key_rotation_faults", ()] == 1
    assert seen["callguard_erasure_ledger_fault", ()] == 1
    assert seen["callguard_not_durable_total", ()] == 7
    assert seen["callguard_last_purge_rows", (("class", "call_record"),)] == 312
    assert seen["callguard_last_purge_timestamp_seconds", ()] == NOON.timestamp() - 9 * 3600
    assert seen["callguard_next_purge_timestamp_seconds", ()] == NOON.timestamp() - 3600
    assert seen["callguard_agi_refused_total", ()] == 9
    dnc, tps = (("registry", "us-dnc"),), (("registry", "gb-tps"),)
    assert seen["callguard_registry_numbers", dnc] == 258_500_000
    first_of_march = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert seen["callguard_registry_list_timestamp_seconds", dnc] == first_of_march
    assert seen["callguard_registry_stale_timestamp_seconds", dnc] == first_of_march + 32 * 86_400
    assert seen["callguard_registry_usable", dnc] == 1
    assert seen["callguard_registry_usable", tps] == 0
    assert ("callguard_registry_stale_timestamp_seconds", tps) not in seen


async def test_what_is_unknown_is_absent_and_not_nought(room: Room) -> None:
    unopened = replace(DNC, state="silent", list_date=None, stale_on=None)
    room.source.now = replace(
        EMPTY, pbxs=(replace(LONDON, lease_age_s=None),), registries=(unopened,)
    )
    seen = await scrape(room)
    assert ("callguard_pbx_lease_age_seconds", (("pbx", "london"),)) not in seen
    assert ("callguard_last_purge_timestamp_seconds", ()) not in seen
    assert ("callguard_store_waiting_bytes", ()) not in seen
    assert seen["callguard_erasure_ledger_fault", ()] == 0
    registry = (("registry", "us-dnc"),)
    assert seen["callguard_registry_usable", registry] == 0
    assert ("callguard_registry_list_timestamp_seconds", registry) not in seen
    assert ("callguard_registry_numbers", registry) not in seen


async def test_every_family_has_a_help_text_and_our_prefix(room: Room) -> None:
    room.source.now = BUSY
    families = list(text_string_to_metric_families(await room.text("/metrics")))
    assert len(families) > 25
    for family in families:
        assert family.documentation
        assert family.name.startswith(("callguard_", "process_"))


async def test_the_process_itself_is_measured(room: Room) -> None:
    assert (await scrape(room))["process_resident_memory_bytes", ()] > 0


async def test_a_hostile_label_stays_one_label(room: Room) -> None:
    name = 'a"} 1\nevil{x="\\'
    room.source.now = replace(EMPTY, pbxs=(replace(LONDON, name=name),))
    assert (await scrape(room))["callguard_pbx_ami_up", (("pbx", name),)] == 1


async def test_an_unknown_state_fails_the_scrape(room: Room) -> None:
    room.source.error = TimeoutError()
    async with room.client.get(room.address + "/metrics") as answer:
        assert answer.status == 503
        assert "cannot be read" in await answer.text()
