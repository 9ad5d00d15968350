"""The tables. One schema for every database; instants are ``Instant``, ids are UUID text.

Tables whose rows come at call time are clustered by their id, a UUIDv7: rows that come together
lie together, newest last, and no other index is needed for that order.

``expires_at`` is a promise: from that instant the row is hidden from every reader, and the next
purge takes it. NULL means that no date is known yet.

One module a field; all are imported from here, so that ``metadata`` is always whole.
"""

from callguard.storage.schema.auditing import audit, audit_beginning
from callguard.storage.schema.base import SUBJECT, metadata
from callguard.storage.schema.calling import attempts, calls, campaign_days
from callguard.storage.schema.cdr import call_records, call_statistics, cdr_cursors
from callguard.storage.schema.lists import opt_out_claims, opt_outs, registry_imports, scrubs
from callguard.storage.schema.people import consents, contacts
from callguard.storage.schema.retention import (
    archives,
    clock_marks,
    erasure_mark,
    erasures,
    exports,
    holds,
    leases,
    purges,
    terminations,
)
from callguard.storage.schema.tenancy import (
    tenant_endpoints,
    tenant_keys,
    tenant_numbers,
    tenant_recipients,
    tenant_retention,
    tenant_rules,
    tenants,
)
from callguard.storage.schema.vault import deliveries, recording_events, recordings, tenant_places

__all__ = [
    "SUBJECT",
    "archives",
    "attempts",
    "audit",
    "audit_beginning",
    "call_records",
    "call_statistics",
    "calls",
    "campaign_days",
    "cdr_cursors",
    "clock_marks",
    "consents",
    "contacts",
    "deliveries",
    "erasure_mark",
    "erasures",
    "exports",
    "holds",
    "leases",
    "metadata",
    "opt_out_claims",
    "opt_outs",
    "purges",
    "recording_events",
    "recordings",
    "registry_imports",
    "scrubs",
    "tenant_endpoints",
    "tenant_keys",
    "tenant_numbers",
    "tenant_places",
    "tenant_recipients",
    "tenant_retention",
    "tenant_rules",
    "tenants",
    "terminations",
]
