"""Whose call a record is about, and what it says beside Asterisk's own columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from callguard.cdr.record import CallRecord
from callguard.policy.numbers import parse_number
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import NOBODY, Concern, kept_until
from callguard.tenants.tenant import Tenant

_INSTANCE = re.compile(r"-[0-9a-f]{8}(?:;[12])?\Z")

Values = dict[str, object]

JUDGED = ("tenant_id", "direction", "purpose", "campaign", "agent", "subject", "own_number")
"""The columns that a verdict fills, or the PBX's own names."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a call's verdict said of it, or what the PBX's own names tell of a call without one."""

    tenant_id: str | None
    tenant: Tenant | None
    concern: Concern = NOBODY
    direction: str | None = None
    purpose: str | None = None
    campaign: str | None = None
    agent: str | None = None
    subject: str | None = None
    own_number: str | None = None

    def values(self, record: CallRecord) -> Values:
        """The columns that it fills, for a record of that call."""
        return {
            **{name: getattr(self, name) for name in JUDGED},
            "expires_at": self.until(record.ended_at),
        }

    def until(self, ended_at: datetime) -> datetime | None:
        """Until when a record of such a call is kept."""
        return kept_until(self.tenant, "call_record", ended_at, concern=self.concern)


def by_verdict(call: Row[Any], tenants: TenantDirectory) -> Owner:
    """Whose it is by the row of ``calls``; its own number is the one that was called, or the one
    that was shown."""
    tenant = tenants.get(call.tenant_id) if call.tenant_id else None
    own = call.called if call.direction == "inbound" else call.caller
    return Owner(
        call.tenant_id,
        tenant,
        Concern(call.subject, call.purpose or "", call.direction),
        call.direction,
        call.purpose,
        call.campaign,
        call.agent,
        call.subject or None,
        own or None,
    )


def by_names(record: CallRecord, tenants: TenantDirectory, home_region: str) -> Owner:
    """Whose it is where the gate was not asked: by the line that called, the number that was
    called, or the line that was rung; nobody's where no tenant has any of them."""
    called = _key(record.called, home_region)
    if (tenant := tenants.by_endpoint(record.channel, record.account_code)) is not None:
        shown = _key(record.caller, tenant.settings.home_region)
        own = shown if tenants.by_number(shown) is tenant else None
        return Owner(tenant.id, tenant, own_number=own)
    if (tenant := tenants.by_number(called)) is not None:
        return Owner(tenant.id, tenant, own_number=called)
    tenant = tenants.by_endpoint(record.peer_channel, record.peer_account)
    return Owner(tenant.id if tenant else None, tenant)


def _key(number: str, home_region: str) -> str:
    return parse_number(number, home_region).key if number else ""


def routed_to(record: CallRecord) -> str | None:
    """The line or trunk that was rung: ``PJSIP/agent1`` of ``PJSIP/agent1-0000002a``."""
    return endpoint_of(record.peer_channel) or None


def endpoint_of(channel: str) -> str:
    """A channel's name without the number that Asterisk gave this one."""
    return _INSTANCE.sub("", channel)


def as_values(pbx: str, record: CallRecord, owner: Owner) -> Values:
    """The row, but for ``sequence`` where the record has none."""
    return {
        "pbx": pbx,
        "uniqueid": record.uniqueid,
        "sequence": record.sequence,
        "linkedid": record.linkedid,
        "call_id": record.call_id,
        "caller": record.caller,
        "called": record.called,
        "channel": record.channel,
        "peer_channel": record.peer_channel,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "billed_s": record.billed_s,
        "disposition": record.disposition,
        "userfield": record.userfield,
        "source": record.source,
        "routed_to": routed_to(record),
        "cause": record.cause,
        "account_code": record.account_code or None,
        **owner.values(record),
    }


def of_record(
    record: CallRecord,
    verdicts: Mapping[str, Row[Any]],
    tenants: TenantDirectory,
    home_region: str,
) -> Owner:
    """By the verdict that the record names, else by the names in it."""
    call = verdicts.get(record.call_id) if record.call_id is not None else None
    if call is not None:
        return by_verdict(call, tenants)
    return by_names(record, tenants, home_region)
