"""Whatever happens, nobody outside is recorded without a consent that stands.

Random sequences of moves on the whole house; what the simulated Asterisk recorded is judged against
the ledger. ``CALLGUARD_LONG=N`` plays N sequences instead of a few, drawn anew each time.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from callguard.config import Settings
from callguard.recording import age
from callguard.web.pages import Pages
from tests.gate.stateful_judge import Judge, muted_wrongly
from tests.gate.stateful_world import DELAY_S, MOVES, World, play
from tests.harness.virtual import current_clock, current_loop, run_virtual
from tests.house import House, furnish, simulated_pbx

LONG = int(os.environ.get("CALLGUARD_LONG", "0"))
FEW = 40
MODES = ("silent", "notice", "notice_or_refuse", "ask")

Moves = list[tuple[str, int, int]]

OFTEN = (
    *("converses", "converses", "converses", "answers", "answers", "waits", "code", "code", "asks"),
    *("blind transfer", "blind transfer", "attended transfer", "holds", "unmutes"),
)
"""Moves without which little happens."""

moves = st.lists(
    st.tuples(st.sampled_from([*MOVES, *OFTEN]), st.integers(0, 31), st.integers(0, 31)),
    min_size=8,
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
    """Houses that are furnished but for the tenant's choices, made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[Settings, age.Identity, Path]] = {}
        self._count = 0

    def house(self, chosen: dict[str, object]) -> tuple[Settings, age.Identity, Path]:
        """A fresh house with these choices."""
        key = repr(sorted(chosen.items()))
        if key not in self._made:
            model = self._folder / f"model{len(self._made)}"
            model.mkdir()
            settings, identity = run_virtual(lambda: self._furnish(model, chosen))
            self._made[key] = settings, identity, model
        settings, identity, model = self._made[key]
        self._count += 1
        folder = self._folder / f"house{self._count}"
        prompts = shutil.ignore_patterns("prompts")
        shutil.copytree(model, folder, ignore=prompts)
        (folder / "prompts").symlink_to(model / "prompts")
        return _moved(settings, model, folder), identity, folder

    @staticmethod
    async def _furnish(folder: Path, chosen: dict[str, object]) -> tuple[Settings, age.Identity]:
        settings, identity = furnish(folder, **chosen)
        (asterisk,) = settings.asterisk
        guarded = asterisk.model_copy(update={"trunks": ("PJSIP/carrier",)})
        return settings.model_copy(update={"asterisk": (guarded,)}), identity


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


async def played(settings: Settings, identity: age.Identity, folder: Path, plan: Moves) -> str:
    """Plays a sequence to its end; what was wrong with it, with the story."""
    pbx = simulated_pbx(folder)
    pbx.manager.delay_s = DELAY_S
    world = World(settings, pbx, folder)
    async with pbx:
        try:
            wrong = await _played(world, identity, plan)
        finally:
            await world.stop(crashing=True)
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
    max_examples=LONG or FEW,
    derandomize=not LONG,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=bool(LONG),
)
@given(chosen=choices, plan=moves)
def test_nobody_is_recorded_without_consent(
    model: Model, chosen: dict[str, object], plan: Moves
) -> None:
    settings, identity, folder = model.house(chosen)
    try:
        wrong = run_virtual(lambda: played(settings, identity, folder, plan))
    finally:
        shutil.rmtree(folder)
    if wrong:
        note(wrong)
    assert not wrong, wrong
