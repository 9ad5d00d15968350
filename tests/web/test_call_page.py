"""A person at this machine acts on calls from the page."""

import asyncio
import json
import re
from dataclasses import replace
from html import unescape
from urllib.parse import urlencode

import pytest

from callguard.storage.schema import consents
from callguard.web.call_page import PATH
from callguard.web.form import COOKIE
from tests.databases import clock, database, journal
from tests.gate.preflights import rows
from tests.web.doors import Doors, Failing, doors
from tests.web.recorded import CALL_ID, SUBJECT
from tests.web.state import BUSY, CALL, EMPTY

__all__ = ["clock", "database", "doors", "journal"]

OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
ERASING = "can never be read again"


class Browser:
    """Opens a page, keeps its cookie, and presses buttons as they stand in it."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self.cookie = ""
        self.page = ""

    async def open(self, path: str = "/") -> str:
        cookies = {COOKIE: self.cookie} if self.cookie else {}
        async with self._doors.client.get(self._doors.address + path, cookies=cookies) as answer:
            assert answer.status == 200
            self.page = unescape(await answer.text())
            self.cookie = answer.cookies[COOKIE].value
            return self.page

    def buttons(self) -> list[str]:
        return re.findall(r'name="act" value="([^" ]+) ', self.page)

    @property
    def mark(self) -> str:
        (mark, *_) = re.findall(r'name="mark" value="(\w+)"', self.page)
        return str(mark)

    async def press(
        self,
        act: str,
        *,
        sure: bool = False,
        lang: str = "en",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        fields = {"mark": self.mark, "act": f"{act} {CALL_ID}", **({"sure": "yes"} if sure else {})}
        return await self.send(fields, lang=lang, headers=headers)

    async def send(
        self,
        fields: dict[str, str],
        *,
        lang: str = "en",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"{COOKIE}={self.cookie}",
            **(headers or OURS),
        }
        data = urlencode(fields).encode()
        url = f"{self._doors.address}{PATH}?lang={lang}"
        async with self._doors.client.post(url, data=data, headers=sent) as answer:
            return answer.status, unescape(await answer.text())


@pytest.fixture
async def browser(doors: Doors) -> Browser:
    doors.client.cookie_jar.clear()
    doors.source.now = replace(BUSY, calls=(CALL,))
    opened = Browser(doors)
    await opened.open()
    return opened


@pytest.mark.parametrize(
    ("recording", "said", "buttons"),
    [
        ("recorded", "Being recorded", ["pause", "stop", "withdraw", "optout"]),
        ("paused", "Paused", ["resume", "stop", "withdraw", "optout"]),
        ("silent", "Silent for now", ["pause", "stop", "withdraw", "optout"]),
        ("none", "Not recorded", ["withdraw", "optout"]),
    ],
)
async def test_a_call_shows_how_it_is_recorded_and_what_can_be_done(
    doors: Doors, browser: Browser, recording: str, said: str, buttons: list[str]
) -> None:
    call = replace(CALL, recording=recording, reasons=("not told: <7.1>",))  # type: ignore[arg-type]  # a word of the table
    doors.source.now = replace(EMPTY, calls=(call,))
    for path in ("/", PATH):
        page = await browser.open(path)
        assert said in page
        assert "<bdi>not told: <7.1></bdi>" in page
        assert "Consent: given (notice)" in page
        assert browser.buttons() == buttons


async def test_live_updates_bring_the_buttons_which_belong_to_the_form_of_the_page(
    doors: Doors, browser: Browser
) -> None:
    async with doors.client.get(doors.address + "/events?lang=en") as events:
        async with asyncio.timeout(10):
            while True:
                line = await events.content.readline()
                if line.startswith(b"data:") and "html" in (told := json.loads(line[5:])):
                    break
    assert f'form="calls-form" name="act" value="pause {CALL_ID}"' in told["html"]
    assert browser.mark not in told["html"]
    form = browser.page[browser.page.index('<form id="calls-form"') :]
    assert f'action="{PATH}?lang=en"' in form
    assert browser.page.index("</main>") < browser.page.index('<form id="calls-form"')


async def test_pressing_pauses_resumes_and_stops_and_says_so(
    doors: Doors, browser: Browser
) -> None:
    for act, said in (
        ("pause", "Paused: the recording is silent"),
        ("resume", "Resumed."),
        ("stop", "Stopped: nothing more"),
        ("stop", "Stopped: nothing more"),
        ("pause", "Nothing of this call is recorded."),
    ):
        status, page = await browser.press(act)
        assert (status, said in page) == (200, True)
    assert doors.recorded.did == [("pause", "page"), ("resume", "page"), ("stop", "page")]
    assert rows(doors.gate, consents) == []


async def test_erasing_is_asked_again_without_scripts(doors: Doors, browser: Browser) -> None:
    status, page = await browser.press("withdraw")
    assert (status, "Erase what was recorded?" in page, ERASING in page) == (200, True, True)
    assert doors.recorded.did == []
    assert "<script" not in page
    assert "http-equiv" not in page
    confirm = page[page.index('<form class="acts"') :]
    confirm = confirm[: confirm.index("</form>")]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', confirm))
    assert fields["act"] == f"withdraw {CALL_ID}"
    status, page = await browser.send(fields)
    assert (status, "Erased: what was recorded" in page) == (200, True)
    assert doors.recorded.did == [("erase", "page")]
    (row,) = rows(doors.gate, consents)
    assert (row["state"], row["subject"], row["actor"]) == ("withdrawn", SUBJECT, "page")
    status, page = await browser.press("resume")
    assert (status, "it is not resumed" in page) == (409, True)


async def test_opting_out_by_the_page_binds(
    doors: Doors, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(doors.gate, monkeypatch)
    status, page = await browser.press("optout")
    assert (status, "Nothing was entered" in page) == (503, True)
    failing.on = False
    status, page = await browser.press("optout")
    assert (status, "will not be called any more" in page) == (200, True)
    (wish,) = doors.written()
    assert (wish["subject"], wish["way"], wish["actor"]) == (SUBJECT, "page", "page")


async def test_what_is_not_done_is_never_said_to_be(
    doors: Doors, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.recorded.works = False
    status, page = await browser.press("stop")
    assert (status, "could not be done" in page) == (503, True)
    doors.recorded.works = True
    failing = Failing(doors.gate, monkeypatch)
    status, page = await browser.press("withdraw", sure=True)
    assert (status, "could not be kept yet" in page, "Erased:" in page) == (200, True, False)
    failing.on = False
    doors.gate.calls.end("asterisk", doors.call.uniqueid)
    status, page = await browser.press("pause")
    assert (status, "This call has ended." in page) == (404, True)
    doors.source.error = TimeoutError()  # what was done is told all the same
    status, page = await browser.press("pause")
    assert (status, "This call has ended." in page) == (404, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://evil.example"},
        {"X-Nothing": "said"},
    ],
)
async def test_no_other_site_presses_a_button(
    doors: Doors, browser: Browser, headers: dict[str, str]
) -> None:
    assert (await browser.press("stop", headers=headers))[0] == 403
    assert doors.recorded.did == []


async def test_a_button_needs_the_mark_of_the_page_it_stands_on(
    doors: Doors, browser: Browser
) -> None:
    doors.client.cookie_jar.clear()
    other = Browser(doors)
    await other.open()
    for mark in ("", "x", other.mark):
        status, page = await browser.send({"mark": mark, "act": f"stop {CALL_ID}"})
        assert (status, "please press again" in page) == (403, True)
    for act in ("", "dance 1", "stop"):
        status, _ = await browser.send({"mark": browser.mark, "act": act})
        assert status == (404 if act == "stop" else 400)
    assert doors.recorded.did == []


@pytest.mark.parametrize(
    ("code", "direction", "said", "sure"),
    [
        ("he", "rtl", "ההקלטה מושהית", "למחוק את מה שהוקלט?"),
        ("nl", "ltr", "Gepauzeerd: de opname", "Wissen wat is opgenomen?"),
        ("ru", "ltr", "Приостановлено: обе", "Стереть записанное?"),
        ("fr", "ltr", "Suspendu : l’enregistrement", "Effacer ce qui a été enregistré ?"),
    ],
)
async def test_buttons_and_answers_are_in_the_readers_language(
    doors: Doors, browser: Browser, code: str, direction: str, said: str, sure: str
) -> None:
    await browser.open(f"/?lang={code}")
    status, page = await browser.press("pause", lang=code)
    assert (status, said in page) == (200, True)
    assert f'<html lang="{code}" dir="{direction}">' in page
    assert f'action="{PATH}?lang={code}"' in page
    assert sure in (await browser.press("withdraw", lang=code))[1]


async def test_without_the_desk_calls_have_no_buttons() -> None:
    from callguard.web.app import build_app
    from tests.web.state import NoonClock, ToldSource

    app = build_app(ToldSource(), clock=NoonClock())
    assert PATH not in {resource.canonical for resource in app.router.resources()}
