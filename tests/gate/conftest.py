"""What the tests of the gate share."""

import pytest


@pytest.fixture(autouse=True)
def _no_real_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody holds is waited for in real time, which virtual time does not
    shorten: a tenth of it is long enough for what a house does itself."""
    monkeypatch.setattr("callguard.storage.pragmas.BUSY_MS", 100)
