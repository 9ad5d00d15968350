"""Who on which channel was told of a recording, and what they answered; of living channels."""

from dataclasses import dataclass, replace

from callguard.consent.states import ConsentState


@dataclass(frozen=True, slots=True)
class Told:
    """What the last row of the ledger says of whoever is on a channel."""

    tenant: str
    call_id: str
    subject: str
    state: ConsentState

    @property
    def may_be_recorded(self) -> bool:
        return self.state is ConsentState.GRANTED


class ToldParties:
    """By Asterisk and the Uniqueid of the channel. Who is not here was not told."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], Told] = {}

    def enter(self, pbx: str, uniqueid: str, told: Told) -> None:
        """The ledger has a new row for that channel."""
        self._told[pbx, uniqueid] = told

    def of(self, pbx: str, uniqueid: str) -> Told | None:
        return self._told.get((pbx, uniqueid))

    def of_call(self, call_id: str) -> tuple[tuple[str, str, Told], ...]:
        """Asterisk, channel and what was told, of everybody in that call."""
        found = [(key, told) for key, told in self._told.items() if told.call_id == call_id]
        return tuple((pbx, uniqueid, told) for (pbx, uniqueid), told in found)

    def withdraw(self, pbx: str, uniqueid: str) -> None:
        """Whoever is there no longer agrees."""
        told = self._told.get((pbx, uniqueid))
        if told is not None:
            self._told[pbx, uniqueid] = replace(told, state=ConsentState.WITHDRAWN)

    def gone(self, pbx: str, uniqueid: str) -> None:
        """The channel is no more."""
        self._told.pop((pbx, uniqueid), None)
