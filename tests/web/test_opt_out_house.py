"""Wishes that come over the web, in the whole house: the next call obeys them."""

from pathlib import Path
from typing import Any

import aiohttp

from callguard.web.opt_out_api import PATH as OPT_OUTS
from callguard.web.sms import PATH as SMS
from callguard.web.token import new_token
from tests.harness.virtual import real_io, virtual_time
from tests.house import DID, PARTY, House, house

TOKEN = new_token()
OTHER = "+442079460150"


def tokens(folder: Path) -> None:
    for name in ("api.token", "sms.token"):
        (folder / name).write_text(TOKEN)
        (folder / name).chmod(0o600)


async def post(home: House, path: str, **said: Any) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{home.service.web_port}{path}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with real_io():
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, headers=headers, **said) as answer,
        ):
            return answer.status, await answer.json()


@virtual_time
async def test_the_call_after_a_text_message_is_not_placed(tmp_path: Path) -> None:
    tokens(tmp_path)
    async with house(tmp_path) as home:
        assert (await home.whole_call()).connected
        sent = {"from": PARTY, "to": DID, "text": "STOP", "id": "m1"}
        status, answer = await post(home, SMS, json=sent)
        after = await home.pbx.outbound(PARTY, tenant="acme").ended()
        started = await post(home, SMS, json={**sent, "text": "START", "id": "m2"})
        again = await home.whole_call()
    assert (status, answer["reply"][:5]) == (200, "Acme:")
    assert not after.carrier_invited
    assert started[0] == 200
    assert again.connected


@virtual_time
async def test_the_call_after_an_entry_by_a_program_is_not_placed(tmp_path: Path) -> None:
    tokens(tmp_path)
    async with house(tmp_path) as home:
        entered = {"tenant": None, "numbers": [PARTY]}
        status, _ = await post(home, OPT_OUTS, json=entered)
        blocked = await home.pbx.outbound(PARTY, tenant="acme").ended()
        free = await home.whole_call(OTHER)
    assert status == 200
    assert not blocked.carrier_invited
    assert free.connected


@virtual_time
async def test_without_a_token_no_message_is_taken_in(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        sent = {"from": PARTY, "to": DID, "text": "STOP", "id": "m1"}
        status, answer = await post(home, SMS, json=sent)
    assert (status, answer["error"]) == (503, "no SMS token")
