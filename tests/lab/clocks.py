"""Zones by the hour that it is there, for what must not depend on when the tests run."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

_ZONES = """
Pacific/Pago_Pago Pacific/Honolulu Pacific/Gambier Pacific/Pitcairn America/Phoenix
America/Costa_Rica America/Jamaica America/Puerto_Rico America/Cayenne America/Noronha
Atlantic/Cape_Verde Atlantic/Reykjavik Africa/Lagos Africa/Johannesburg Africa/Nairobi Asia/Dubai
Asia/Tashkent Asia/Dhaka Asia/Bangkok Asia/Singapore Asia/Tokyo Australia/Brisbane Pacific/Noumea
Pacific/Tarawa
"""
"""One for each whole hour, none of them with a summer time."""


def zone_where_it_is(hour: int, at: datetime) -> str:
    """The zone whose clocks show that hour (and some minutes) at that moment."""
    return next(name for name in _ZONES.split() if at.astimezone(ZoneInfo(name)).hour == hour)
