"""How a recording that is about to begin is coded: as its tenant wishes, but in one channel where
that Asterisk would spoil two."""

from dataclasses import dataclass

from callguard.agi.session import AgiSession
from callguard.recording.formats import FORMATS, MONO, are_narrow, mixes_rates
from callguard.tenants.tenant import Tenant

_HEARD_BY_MONITORS = (
    "CHANNEL(audionativeformat)",
    "CHANNEL(audioreadformat)",
    "CHANNEL(audiowriteformat)",
)
"""What is spoken on the channel, and what it is turned into for the other side: MixMonitor hears
either."""


@dataclass(frozen=True, slots=True)
class Coding:
    """The name of a RecordingFormat; ``instead`` says why it is not the one wished for."""

    name: str
    instead: str | None = None


async def choose_coding(session: AgiSession, tenant: Tenant, *, outbound: bool) -> Coding:
    """Asks the channel only where two channels are wished for and Asterisk is known to spoil them
    (MixMonitor's option ``D`` before Asterisk 20.21, 22.11 and 23.5). What a caller will be
    connected to is not known yet, so theirs has one then. Raises AgiError."""
    wished = FORMATS[tenant.settings.recording_format]
    version = session.env.version
    if wished.wav.channels == 1 or mixes_rates(version):
        return Coding(wished.name)
    spoils = f"Asterisk {version or 'of an unknown version'} spoils two channels"
    if not outbound:
        return Coding(MONO, f"in mono: {spoils} if anybody who joins speaks in a wide band")
    for name in _HEARD_BY_MONITORS:
        spoken = await session.get_variable(name)
        if not are_narrow(spoken or ""):
            return Coding(
                MONO, f"in mono: {spoils} where {spoken or 'nobody knows what'} is spoken"
            )
    return Coding(wished.name)
