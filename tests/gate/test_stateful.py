"""Whatever happens, nobody outside is recorded without a consent that stands.

Random sequences of moves on the whole house; what the simulated Asterisk recorded is judged against
the ledger. ``CALLGUARD_LONG=1`` plays thousands instead of a few, drawn anew each time, and any
greater number that many.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callguard.config import Settings
from callguard.recording import age
from callguard.storage.database import Database
from callguard.tenants.store import change_settings
from callguard.web.pages import Pages
from tests.gate.stateful_judge import Judge, muted_wrongly
from tests.gate.stateful_world import DELAY_S, MOVES, World, play
from tests.harness.virtual import current_clock, current_loop, run_virtual
from tests.house import House, furnish, simulated_pbx

LONG = int(os.environ.get("CALLGUARD_LONG", "0"))
RUNS = {0: 16, 1: 2000}.get(LONG, LONG)
MODES = ("silent", "notice", "notice_or_refuse", "ask")

Moves = list[tuple[str, int, int]]

OFTEN = (
    *("converses", "converses", "converses", "answers", "answers", "waits", "code", "code", "asks"),
    *("blind transfer", "blind transfer", "attended transfer", "holds", "unmutes"),
)
"""Moves without which little happens."""

moves = st.lists(
    st.tuples(st.sampled_from([*MOVES, *OFTEN]), st.integers(0, 31), st.integers(0, 31)),
    min_size=16,
    max_size=40,
)
choices = st.fixed_dictionaries(
    {
        "recording_mode": st.sampled_from(MODES),
        "on_refusal": st.sampled_from(("connect", "end")),
        "on_opt_out": st.sampled_from(("connect", "end")),
        "barge_in": st.booleans(),
        "remember_days": st.sampled_from((0, 30)),
    }
)


class Model:
    """A furnished house, made once, of which each sequence gets a copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model = folder / "model"
        self._model.mkdir()
        self._settings, self.identity = run_virtual(self._furnish)
        self._count = 0

    def house(self, ungated: str) -> tuple[Settings, Path]:
        """A copy; ``ungated`` is what becomes of calls that pass no gate."""
        self._count += 1
        folder = self._folder / f"house{self._count}"
        shutil.copytree(self._model, folder, ignore=shutil.ignore_patterns("prompts"))
        (folder / "prompts").symlink_to(self._model / "prompts")
        settings = _moved(self._settings, self._model, folder)
        (asterisk,) = settings.asterisk
        guarded = asterisk.model_copy(update={"trunks": ("PJSIP/carrier",), "ungated": ungated})
        return settings.model_copy(update={"asterisk": (guarded,)}), folder

    async def _furnish(self) -> tuple[Settings, age.Identity]:
        return furnish(self._model)


def _chosen(settings: Settings, chosen: Mapping[str, object]) -> None:
    """What the tenant of a house chooses."""
    database = Database(settings.database_url)
    with database.writing() as connection:
        change_settings(connection, "acme", chosen, at=current_clock().now(), actor="test")
    database.close()


def _moved(settings: Settings, there: Path, here: Path) -> Settings:
    def moved(value: object) -> object:
        match value:
            case Path():
                text = str(value)
                return Path(text.replace(str(there), str(here), 1))
            case dict():
                return {key: moved(one) for key, one in value.items()}
            case list() | tuple():
                return [moved(one) for one in value]
        return value

    return Settings.model_validate(moved(settings.model_dump()))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with (
        patch.object(Pages, "_warm", lambda _: None),
        patch("tests.harness.recorder._TICK", 5.0),
        # How long to wait before the next attempt to connect.
        patch("callguard.gate.pbx.random", SimpleNamespace(Random=lambda: Random(1))),
        # Waiting for another writer takes real time, in which virtual time stands still.
        patch("callguard.storage.pragmas.BUSY_MS", 1),
    ):
        yield Model(tmp_path_factory.mktemp("houses"))


async def played(model: Model, ungated: str, chosen: Mapping[str, object], plan: Moves) -> str:
    """Plays a sequence to its end; what was wrong with it, with the story."""
    settings, folder = model.house(ungated)
    _chosen(settings, chosen)
    pbx = simulated_pbx(folder)
    pbx.manager.delay_s = DELAY_S
    world = World(settings, pbx, folder)
    async with pbx:
        try:
            wrong = await _played(world, model.identity, plan)
        finally:
            await world.stop(crashing=True)
            shutil.rmtree(folder)
    return "\n".join([*wrong, pbx.asterisk.story()]) if wrong else ""


async def _played(world: World, identity: age.Identity, plan: Moves) -> list[str]:
    asterisk = world.pbx.asterisk
    await world.start()
    await asterisk.until(lambda: "CALLGUARD_ALIVE" in asterisk.globals, "lease")
    for move in plan:
        await play(world, move)
        asterisk.raise_failure()
    await world.heal()
    service = world.service
    assert service is not None
    home = House(service, world.pbx, world.folder, identity)
    base = current_clock().epoch() - current_loop().time()
    wrong = muted_wrongly(world, Judge(world, home, base), current_loop().time())
    await world.end()
    wrong += Judge(world, home, base).wrong()
    wrong += [f"left in the spool: {name}" for name in home.spooled()]
    wrong += [f"told for ever: {key}" for key in service.gate.told._told]
    for silence in service.recordings.supervision.silences.values():
        wrong += [f"followed for ever: {key}" for key in silence._followed]
    await world.stop(crashing=False)
    return wrong


@settings(
    max_examples=RUNS,
    derandomize=not LONG,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=bool(LONG),
)
@given(ungated=st.sampled_from(("report", "hangup")), chosen=choices, plan=moves)
def test_nobody_is_recorded_without_consent(
    model: Model, ungated: str, chosen: dict[str, object], plan: Moves
) -> None:
    wrong = run_virtual(lambda: played(model, ungated, chosen, plan))
    assert not wrong, wrong
