"""The state as Prometheus metrics.

Each scrape builds its registry from one status, so that all figures are of the same moment.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from callguard.optout.registry.freshness import RegistryStanding
from callguard.web.pages import RELOAD_S
from callguard.web.reader import StatusError, StatusReader
from callguard.web.status import PbxStatus, Status

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """``GET /metrics``."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader

    async def show(self, _request: web.Request) -> web.Response:
        try:
            status = await self._reader.read()
        except StatusError as error:
            return web.Response(
                status=503,
                text=f"the status cannot be read: {error}\n",
                headers={"Retry-After": str(RELOAD_S)},
            )
        registry = CollectorRegistry()
        registry.register(StatusCollector(status))
        ProcessCollector(registry=registry)
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})


class StatusCollector(Collector):
    """One status as metric families; names begin with ``callguard_``."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("ready", "Whether calls can be taken (1) or not (0).", status.ready)
        yield _gauge(
            "not_ready_reasons", "Reasons why calls cannot be taken.", len(status.not_ready)
        )
        yield _gauge("alarms", "Alarms that need a person's eye.", len(status.alarms))
        yield from _pbxs(status.pbxs)
        yield from _calls(status)
        yield from _recordings(status)
        yield from _keeping(status)
        yield from _registries(status.registries)
        yield _gauge("agi_sessions", "FastAGI sessions open.", status.agi_sessions)
        yield _counter("agi_sessions", "FastAGI sessions let in.", status.agi_sessions_total)
        yield _counter("agi_refused", "FastAGI connections refused.", status.agi_refused_total)


def _pbxs(pbxs: tuple[PbxStatus, ...]) -> Iterator[Metric]:
    up = _family("pbx_ami_up", "Whether the manager session is up (1) or not (0).")
    since = _family("pbx_ami_since_timestamp_seconds", "Since when it is so, Unix time.")
    lease = _family("pbx_lease_age_seconds", "Age of the lease; absent until written once.")
    channels = _family("pbx_channels", "Channels that live.")
    records = _counters("pbx_call_records", "Call records kept.", "pbx")
    bad = _counters("pbx_call_records_bad", "Call records that could not be read.", "pbx")
    left = _counters(
        "pbx_call_records_not_entered",
        "Call records not entered: past their time when they were read, or of what was erased.",
        "pbx",
        "why",
    )
    for pbx in pbxs:
        up.add_metric([pbx.name], pbx.ami == "up")
        since.add_metric([pbx.name], pbx.since.timestamp())
        if pbx.lease_age_s is not None:
            lease.add_metric([pbx.name], pbx.lease_age_s)
        channels.add_metric([pbx.name], pbx.channels)
        records.add_metric([pbx.name], pbx.call_records)
        bad.add_metric([pbx.name], pbx.call_records_bad)
        left.add_metric([pbx.name, "too old"], pbx.call_records_too_old)
        left.add_metric([pbx.name, "erased"], pbx.call_records_erased)
    yield from (up, since, lease, channels, records, bad, left)


def _calls(status: Status) -> Iterator[Metric]:
    live = _gauges("live_calls", "Calls decided and not ended.", "direction", "recording")
    seen: dict[tuple[str, str], int] = {}
    for call in status.calls:
        which = call.direction, call.recording
        seen[which] = seen.get(which, 0) + 1
    for key, count in sorted(seen.items()):
        live.add_metric(key, count)
    verdicts = _counters("verdicts", "Verdicts given.", "direction", "decision")
    for key, count in sorted(status.verdicts_total.items()):
        verdicts.add_metric(key, count)
    notices = _counters("notices", "Notices played, by how they ended.", "outcome")
    for outcome, count in sorted(status.notices_total.items()):
        notices.add_metric([outcome], count)
    faults = _counters("faults", "What went wrong at call time, by kind.", "kind")
    for kind, count in sorted(status.faults.items()):
        faults.add_metric([kind], count)
    yield from (live, verdicts, notices, faults)


def _recordings(status: Status) -> Iterator[Metric]:
    yield _gauge("recordings_in_progress", "Recordings being made.", status.recordings_in_progress)
    yield _gauge(
        "sealing_backlog", "Ended recordings that wait to be sealed.", status.sealing_backlog
    )
    yield _counter("recordings_sealed", "Recordings sealed.", status.sealed_total)
    yield _counter(
        "sealing_failures", "Attempts at sealing that failed.", status.sealing_failures_total
    )
    yield _gauge(
        "spool_has_room", "Whether the spool takes another recording.", status.spool_has_room
    )
    vault = status.vault
    yield _gauge("sealing_behind", "Recordings that cannot be sealed while they run.", vault.behind)
    yield _gauge(
        "store_has_room", "Whether the store takes another recording.", vault.store_has_room
    )
    if vault.waiting_bytes is not None:
        yield _gauge(
            "store_waiting_bytes", "Sealed bytes that wait for the bucket.", vault.waiting_bytes
        )
    yield _counter("deliveries", "Recordings delivered.", vault.delivered_total)
    yield _counter(
        "delivery_failures", "Attempts to deliver that failed.", vault.delivery_failures_total
    )
    yield _gauge(
        "deliveries_stuck", "Deliveries that a person has to look at.", vault.deliveries_stuck
    )
    yield _gauge(
        "key_rotation_faults", "Tenants whose keys were due and not rotated.", vault.rotation_faults
    )
    ledger_fault = vault.ledger_fault is not None
    yield _gauge(
        "erasure_ledger_fault", "Whether nothing is read, for want of the ledger.", ledger_fault
    )


def _keeping(status: Status) -> Iterator[Metric]:
    yield _gauge("journal_pending", "Writes that wait to be durable.", status.journal_pending)
    failing = status.journal_failing is not None
    yield _gauge("journal_failing", "Whether writes fail (1) or not (0).", failing)
    yield _counter("not_durable", "Verdicts not durable in time.", status.not_durable_total)
    yield _gauge("opt_outs", "Opt-outs that stand.", status.opt_outs)
    rows = _gauges("last_purge_rows", "What the last purge took, by data class.", "class")
    if status.last_purge is not None:
        for name, count in sorted(status.last_purge.counts.items()):
            rows.add_metric([name], count)
        yield _instant("last_purge", "When the last purge ended", status.last_purge.finished_at)
    yield rows
    yield _instant("next_purge", "When the next purge is due", status.next_purge)


def _registries(registries: tuple[RegistryStanding, ...]) -> Iterator[Metric]:
    numbers = _gauges("registry_numbers", "Numbers in the registry's list.", "registry")
    dated = _gauges(
        "registry_list_timestamp_seconds", "The day that the list is of, Unix time.", "registry"
    )
    stale = _gauges(
        "registry_stale_timestamp_seconds",
        "The first day on which the list is too old, Unix time; absent where no rule says.",
        "registry",
    )
    usable = _gauges("registry_usable", "Whether calls can pass by it (1) or not (0).", "registry")
    for registry in registries:
        usable.add_metric([registry.name], registry.usable)
        if registry.list_date is not None:
            numbers.add_metric([registry.name], registry.count)
            dated.add_metric([registry.name], _midnight(registry.list_date))
        if registry.stale_on is not None:
            stale.add_metric([registry.name], _midnight(registry.stale_on))
    yield from (numbers, dated, stale, usable)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"callguard_{name}", text, value=value)


def _gauges(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"callguard_{name}", text, labels=labels)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return _gauges(name, text, "pbx")


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(f"callguard_{name}", text, value=value)


def _counters(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"callguard_{name}", text, labels=labels)


def _instant(name: str, text: str, at: datetime) -> Metric:
    return _gauge(f"{name}_timestamp_seconds", f"{text}, Unix time.", at.timestamp())
