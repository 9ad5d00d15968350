"""``callguard serve``: what it prepares before the service runs."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.cli.serve import serve
from callguard.config import ConfigError


@pytest.fixture
def dispositions() -> Iterator[None]:
    """What the process does with SIGIO, put back afterwards."""
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("dispositions")
def test_a_lease_that_somebody_breaks_does_not_end_the_service(tmp_path: Path) -> None:
    """Opening a spool entry to write while it is looked at signals the looker, by default to
    death (fcntl(2), F_SETLEASE)."""
    with pytest.raises(ConfigError):
        serve(tmp_path / "absent.toml")
    assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN
