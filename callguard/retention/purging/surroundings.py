"""What a purge stands in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callguard.retention.purging.clock_sense import ClockSense
from callguard.retention.purging.further import Further
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.schedule import Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a purge stands in. ``sense`` judges the clock; ``further`` are the other rooms that it
    takes from; ``exports`` is the folder of the exports' files; ``audit`` is until when an entry of
    the audit log is kept, where its old ones go at all."""

    sense: ClockSense | None = None
    further: Sequence[Further] = ()
    exports: Path | None = None
    audit: Keep | None = None
    way: GivingWay = field(default_factory=GivingWay)
