"""How much a purge takes at once, so that no call waits for it. Pure."""

from dataclasses import dataclass

AIM_S = 0.002
"""What one transaction should take: a call that comes just then waits that much longer."""

FEWEST = 50
MOST = 2_000
"""Rows of one transaction."""

FIRST = 50


@dataclass(frozen=True, slots=True)
class Pace:
    """So many rows in the next transaction. It follows how long the last one took, so that it suits
    the disk, the indexes of the table and what else the machine does just now."""

    rows: int = FIRST

    def after(self, took_s: float) -> "Pace":
        """The pace after a transaction of ``rows`` that took so long: at most twice as many, at
        least half."""
        wanted = 2.0 if took_s <= 0 else min(2.0, max(0.5, AIM_S / took_s))
        return Pace(max(min(FEWEST, MOST), min(MOST, int(self.rows * wanted))))
