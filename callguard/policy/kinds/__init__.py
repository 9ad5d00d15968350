"""The kinds of rule. Each is one small module: the settings that a rule of the kind carries, the
function that finds, and whether one setting is looser than another."""

from callguard.policy.kinds import (
    abandonment,
    attempts,
    caller_id,
    calling_hours,
    consent_required,
    cooling_off,
    emergency,
    forbidden_destination,
    obligation,
    opt_out,
    recording_mode,
    registry,
    registry_freshness,
    restriction,
)
from callguard.policy.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    "abandonment": Kind.of(abandonment.Settings, abandonment.find, abandonment.loosens),
    "attempts": Kind.of(attempts.Settings, attempts.find, attempts.loosens),
    "caller_id": Kind.of(caller_id.Settings, caller_id.find, caller_id.loosens),
    "calling_hours": Kind.of(calling_hours.Settings, calling_hours.find, calling_hours.loosens),
    "consent_required": Kind.of(
        consent_required.Settings, consent_required.find, consent_required.loosens
    ),
    "cooling_off": Kind.of(cooling_off.Settings, cooling_off.find, cooling_off.loosens),
    "emergency": Kind.of(emergency.Settings, emergency.find),
    "forbidden_destination": Kind.of(
        forbidden_destination.Settings, forbidden_destination.find, forbidden_destination.loosens
    ),
    "obligation": Kind.of(obligation.Settings, obligation.find, obligation.loosens),
    "opt_out": Kind.of(opt_out.Settings, opt_out.find),
    "recording_mode": Kind.of(recording_mode.Settings, recording_mode.find, recording_mode.loosens),
    "registry": Kind.of(registry.Settings, registry.find),
    "registry_freshness": Kind.of(
        registry_freshness.Settings, registry_freshness.find, registry_freshness.loosens
    ),
    "restriction": Kind.of(restriction.Settings, restriction.find),
}
