"""The end of a contract as the service carries it out, with the folders that it governs."""

from pathlib import Path

import pytest

from callguard.config import Folder
from callguard.retention.folders import items
from callguard.retention.termination.asking import Wanted, ask, latest
from callguard.storage.schema import purges
from tests.harness.virtual import current_clock, virtual_time
from tests.house import House, furnish, serving, simulated_pbx
from tests.retention.folders.conftest import put


@virtual_time
async def test_a_service_ends_a_contract_once_the_voice_messages_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, identity = furnish(tmp_path)
    message = put(tmp_path.with_name(f"{tmp_path.name}-voicemail") / "sales" / "msg0000.wav")
    governed = Folder(
        name="voicemail",
        path=message.parent.parent,
        data_class="voicemail",
        tenants={"sales": "acme"},
        layout="voicemail",
    )
    pbx = simulated_pbx(tmp_path)
    settings = settings.model_copy(update={"folders": (governed,)})
    async with pbx, serving(settings, pbx) as service:
        home, now = House(service, pbx, tmp_path, identity), current_clock().now()
        await service.vault.write(
            lambda c: ask(c, Wanted("acme", now.replace(year=now.year - 1)), at=now, actor="test")
        )
        await service.vault.terminations.advance(now)
        with service.database.reading() as connection:
            ending = latest(connection, "acme")
        assert ending is not None
        assert (ending.state, ending.steps["waits"]) == ("waiting", "files: voicemail")
        assert message.exists()  # somebody may still write it
        monkeypatch.setattr(items, "is_quiet", lambda *_: True)
        assert await service.vault.terminations.advance(now, again=True) == ["acme"]
        assert not message.exists()
        kinds = {row["kind"]: row["certificate"] for row in home.rows(purges)}
        assert kinds["folder"]["tenants"] == {"acme": 1}
        assert kinds["terminate"]["classes"]["voicemail_file"] == {"taken": 1}
