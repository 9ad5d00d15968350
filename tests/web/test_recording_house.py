"""Recordings are read in the whole house: with the keys, the store and the log that calls use."""

from pathlib import Path

import aiohttp

from callguard.web.recording_api import PATH
from callguard.web.token import new_token
from tests.harness.virtual import current_clock, real_io, virtual_time
from tests.house import furnish, serving, simulated_pbx
from tests.recording.playback.vault import AUDIO, logged, seal_into


@virtual_time
async def test_the_service_hands_a_recording_out_and_logs_it_first(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    token = new_token()
    settings.api_token.write_text(token)
    settings.api_token.chmod(0o600)
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        name = seal_into(
            service.database, service.vault.store, current_clock().now(), subject="+44207"
        )
        url = f"http://127.0.0.1:{service.web_port}{PATH}/{name}/audio"
        headers = {"Authorization": f"Bearer {token}", "Callguard-Reason": "claim"}
        with real_io():
            async with aiohttp.ClientSession(headers=headers) as client:
                async with client.get(url) as answer:
                    assert answer.status == 200, await answer.text()
                    assert (await answer.read())[44:] == AUDIO
                async with client.get(f"{url}?reason=twice") as answer:
                    assert answer.status == 400
        ((actor, action, _),) = logged(service.database)
    assert (actor, action) == ("api", "recording.play")
