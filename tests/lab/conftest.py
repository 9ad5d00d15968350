"""One PBX and one set of tones for a whole module of laboratory tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import audio, traced
from tests.lab.asterisk import Asterisk
from tests.lab.calls import Telephony
from tests.lab.guarded import GuardedPbx
from tests.lab.ports import PortRange
from tests.lab.switchboard import Switchboard
from tests.lab.vault import Vault


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    """A guarded PBX with one phone, one carrier trunk, and a two-second notice."""
    with Asterisk(tmp_path_factory.mktemp("pbx")) as running:
        audio.write_wav(running.prompts / "notice.wav", audio.tone(audio.NOTICE_TONE, 2.0))
        yield running


@pytest.fixture
def telephony(pbx: Asterisk, tmp_path: Path) -> Telephony:
    """Calls through that PBX; nothing is alive until the test says so."""
    pbx.cli("dialplan set global CALLGUARD_ALIVE 0")
    return Telephony(pbx, tmp_path)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedPbx]:
    """Master key, database, tenant and keys, made once; it never serves."""
    folder = tmp_path_factory.mktemp("furnished")
    pbx = Asterisk(folder / "pbx")
    yield GuardedPbx(pbx, folder).furnish()
    pbx.close()


@pytest.fixture(scope="module")
def guarded(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    """That PBX with callguard beside it, serving, and its tenant."""
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("guarded"))
    try:
        yield beside.open(furnished)
    finally:
        beside.close()


@pytest.fixture
def ports() -> Iterator[PortRange]:
    """Ports for more phones than one."""
    with PortRange() as free:
        yield free


@pytest.fixture(scope="session")
def board(furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switchboard]:
    """A PBX with transfers, parking and conferences, callguard, and phones in the test's hand."""
    made = Switchboard(tmp_path_factory.mktemp("switchboard"))
    try:
        yield made.open(furnished)
    finally:
        made.close()


@pytest.fixture(scope="session")
def vault(furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A PBX whose recordings grow in memory, a tenant for each way of coding, and phones that can
    speak faster than anybody."""
    seen = traced.WRITES if traced.able() else ()
    made = Vault(tmp_path_factory.mktemp("vault"), theirs=seen)
    try:
        yield made.open(furnished)
    finally:
        made.close()
