"""The form by which a person opts a number out."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest

from callguard.storage.database import Database
from callguard.web.form import COOKIE
from callguard.web.opt_out_page import MAX_REASON, PATH
from tests.databases import clock, database, journal
from tests.gate.preflights import PARTY
from tests.web.doors import Doors, Failing, doors

__all__ = ["clock", "database", "doors", "journal"]

OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}


class Browser:
    """Reads the page, fills the form in, sends it."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self.mark = ""
        self.cookie = ""

    async def open(self, path: str = "/") -> str:
        cookies = {COOKIE: self.cookie} if self.cookie else {}
        url = self._doors.address + path
        async with self._doors.client.get(url, cookies=cookies) as answer:
            assert answer.status == 200
            self.cookie = answer.cookies[COOKIE].value
            page = await answer.text()
        found = re.search(r'name="mark" value="([^"]+)"', page)
        assert found is not None
        self.mark = found[1]
        return page

    async def send(
        self,
        tenant: str = "acme",
        number: str = "020 7946 0123",
        reason: str = "",
        headers: dict[str, str] | None = None,
        lang: str = "en",
        **more: str,
    ) -> tuple[int, str]:
        fields = {"mark": self.mark, "tenant": tenant, "number": number, "reason": reason, **more}
        url = f"{self._doors.address}{PATH}?lang={lang}"
        cookies = {COOKIE: self.cookie} if self.cookie else {}
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            **(OURS if headers is None else headers),
        }
        if cookies:
            sent["Cookie"] = f"{COOKIE}={self.cookie}"
        async with self._doors.client.post(
            url, data=urlencode(fields).encode(), headers=sent
        ) as answer:
            return answer.status, unescape(await answer.text())


@pytest.fixture
async def browser(doors: Doors) -> Browser:
    doors.client.cookie_jar.clear()
    opened = Browser(doors)
    await opened.open()
    return opened


async def test_a_number_is_entered_and_confirmed_masked(doors: Doors, browser: Browser) -> None:
    status, page = await browser.send(reason="told the agent")
    assert status == 200
    assert "Entered, and kept." in page
    assert "+44********23" in page
    assert PARTY not in page
    (row,) = doors.written()
    assert (row["subject"], row["tenant_id"], row["way"], row["actor"], row["reason"]) == (
        PARTY,
        "acme",
        "page",
        "page",
        "told the agent",
    )
    assert doors.standing(PARTY) == ["acme"]


async def test_a_form_that_is_sent_twice_is_one_row(doors: Doors, browser: Browser) -> None:
    await browser.send()
    status, page = await browser.send()
    assert (status, "This opt-out stands already" in page) == (200, True)
    assert len(doors.written()) == 1


async def test_all_tenants_are_chosen_by_name_and_none_is_not_all(
    doors: Doors, browser: Browser
) -> None:
    status, page = await browser.send(tenant="")
    assert (status, "Choose whose calls" in page) == (400, True)
    assert doors.written() == []
    assert (await browser.send(tenant="*"))[0] == 200
    assert [row["tenant_id"] for row in doors.written()] == [None]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("number", "", "no telephone number"),
        ("number", "Joe <b>", "no telephone number"),
        ("tenant", "nobody", "Choose whose calls"),
        ("reason", "x" * (MAX_REASON + 1), "too long"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_is_given_back(
    doors: Doors, browser: Browser, field: str, value: str, said: str
) -> None:
    status, page = await browser.send(**{"reason": "kept", field: value})  # type: ignore[arg-type]
    assert status == 400
    assert said in page
    assert field == "reason" or 'value="kept"' in page
    assert doors.written() == []


async def test_what_was_typed_is_shown_as_text(doors: Doors, browser: Browser) -> None:
    fields = {"mark": browser.mark, "tenant": "acme", "number": '"><script>x</script>'}
    async with doors.client.post(
        doors.address + PATH,
        data=urlencode(fields).encode(),
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"{COOKIE}={browser.cookie}",
            **OURS,
        },
    ) as answer:
        assert "<script>x" not in await answer.text()


async def test_what_could_not_be_kept_is_not_confirmed(
    doors: Doors, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(doors.gate, monkeypatch)
    status, page = await browser.send()
    assert status == 503
    assert "Nothing was entered" in page
    assert "Entered, and kept" not in page
    assert 'value="020 7946 0123"' in page
    failing.on = False
    assert (await browser.send())[0] == 200
    assert len(doors.written()) == 1


async def test_a_locked_database_is_said(
    doors: Doors, browser: Browser, database: Database
) -> None:
    doors.gate.durable_s = 0.2
    with database.writing():
        assert (await browser.send())[0] == 503


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://evil.example", "Referer": "http://127.0.0.1/"},
        {},
    ],
)
async def test_no_other_site_sends_the_form_even_with_its_mark(
    doors: Doors, browser: Browser, headers: dict[str, str]
) -> None:
    assert (await browser.send(headers=headers))[0] == 403
    assert doors.written() == []


async def test_an_old_browser_says_its_origin(doors: Doors, browser: Browser) -> None:
    for origin in ("null", doors.address):
        assert (await browser.send(headers={"Origin": origin}))[0] == 200


async def test_a_form_needs_the_mark_that_belongs_to_its_cookie(
    doors: Doors, browser: Browser
) -> None:
    other = Browser(doors)
    await other.open()
    assert other.mark != browser.mark
    for mark, cookie in (
        ("", browser.cookie),
        ("x", browser.cookie),
        (other.mark, browser.cookie),
        (browser.mark, other.cookie),
        (browser.mark, ""),
        (browser.mark, "x" * 43),
        ("é", browser.cookie),
    ):
        forged = Browser(doors)
        forged.mark, forged.cookie = mark, cookie
        doors.client.cookie_jar.clear()
        status, page = await forged.send()
        assert (status, "too old" in page) == (403, True)
    assert doors.written() == []
    assert (await browser.send())[0] == 200


async def test_the_cookie_is_for_this_site_only_and_out_of_reach_of_scripts(doors: Doors) -> None:
    async with doors.client.get(doors.address + "/") as answer:
        (cookie,) = answer.headers.getall("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age" not in cookie


async def test_the_page_may_send_its_form_to_itself_alone(doors: Doors) -> None:
    for path in ("/", PATH):
        async with doors.client.get(doors.address + path) as answer:
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("code", "direction", "entered"),
    [
        ("he", "rtl", "נרשם ונשמר"),
        ("nl", "ltr", "Ingevoerd en bewaard"),
        ("ru", "ltr", "Внесено и сохранено"),
        ("fr", "ltr", "Enregistré et conservé"),
    ],
)
async def test_the_form_and_its_answer_are_in_the_readers_language(
    doors: Doors, browser: Browser, code: str, direction: str, entered: str
) -> None:
    page = await browser.open(f"/?lang={code}")
    assert f'action="{PATH}?lang={code}"' in page
    status, page = await browser.send(lang=code)
    assert (status, entered in page) == (200, True)
    assert f'<html lang="{code}" dir="{direction}">' in page


async def test_without_scripts_there_is_a_page_that_does_not_reload(doors: Doors) -> None:
    browser = Browser(doors)
    page = await browser.open("/")
    assert '<noscript><p><a href="/opt-outs?lang=en">' in page
    page = await browser.open(PATH)
    assert "http-equiv" not in page
    assert "<script" not in page
    assert (await browser.send())[0] == 200


async def test_a_body_that_is_no_form_is_a_page_of_its_own(doors: Doors) -> None:
    for sort, body, status in (
        ("application/json", b"{}", 400),
        ("application/x-www-form-urlencoded", b"x" * 9_000, 413),
        ("application/x-www-form-urlencoded", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"", 403),
    ):
        headers = {"Content-Type": sort, **OURS}
        url = doors.address + PATH
        async with doors.client.post(url, data=body, headers=headers) as answer:
            assert answer.status == status
            assert answer.content_type == "text/html"
    assert doors.written() == []


async def test_the_page_has_no_form_where_there_is_no_desk() -> None:
    from callguard.web.app import build_app
    from tests.web.state import NoonClock, ToldSource

    app = build_app(ToldSource(), clock=NoonClock())
    paths = {resource.canonical for resource in app.router.resources()}
    assert PATH not in paths
