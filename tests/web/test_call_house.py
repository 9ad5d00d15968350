"""Acting on a call over the web, in the whole house: what the recording hears obeys."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from callguard.storage.schema import recordings
from callguard.web.call_api import PATH as CALLS
from callguard.web.call_page import PATH as PAGE
from callguard.web.token import new_token
from tests.harness.virtual import real_io, virtual_time
from tests.house import NOTICE, PARTY, House, house

TOKEN = new_token()


async def ask(home: House, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{home.service.web_port}{path}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with real_io():
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, url, headers=headers, json=body) as answer,
        ):
            return answer.status, await answer.json()


async def press(home: House, act: str) -> str:
    """Opens the status page and presses a button that stands on it."""
    address = f"http://127.0.0.1:{home.service.web_port}"
    with real_io():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            async with client.get(address) as answer:
                page = await answer.text()
            (value,) = re.findall(rf'name="act" value="({act} [^"]+)"', page)
            mark = re.findall(r'name="mark" value="(\w+)"', page)[0]
            fields = urlencode({"mark": mark, "act": value, "sure": "yes"}).encode()
            sent = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Sec-Fetch-Site": "same-origin",
            }
            async with client.post(address + PAGE, data=fields, headers=sent) as answer:
                return await answer.text()


@virtual_time
async def test_a_call_is_silenced_by_the_api_and_erased_by_the_page(tmp_path: Path) -> None:
    (tmp_path / "api.token").write_text(TOKEN)
    (tmp_path / "api.token").chmod(0o600)
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=2)
        status, told = await ask(home, "GET", CALLS)
        (live,) = told["calls"]
        paused = await ask(home, "POST", f"{CALLS}/{live['id']}/recording", {"action": "pause"})
        (recorder,) = call.recorders
        silent = bool(recorder.muted)
        _, after = await ask(home, "GET", CALLS)
        page = await press(home, "withdraw")
        running = recorder.running
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        row = home.one(recordings)
        gone = await ask(home, "POST", f"{CALLS}/{live['id']}/recording", {"action": "pause"})
    assert (status, live["recording"], live["consent"]) == (200, "recorded", "granted")
    assert live["subject"] == "+44********23"
    assert (paused[0], paused[1]["now"], silent) == (200, "paused", True)
    assert after["calls"][0]["recording"] == "paused"
    assert "Erased: what was recorded" in page
    assert (running, row["state"], row["header"]) == (False, "erasing", None)
    assert gone[0] == 404
